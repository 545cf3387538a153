#!/usr/bin/env python3
"""
Two sites, the second of which follows asynchronously: what 'holdfast site promote' says would be lost, what it refuses, and
what it does; what a node whose copy is ahead gives up, and that it says so. On loopback: sites are told, not apart.
"""
import contextlib
import json
import pathlib
import shutil
import socket
import ssl
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import patroni  # noqa: E402
import postgres  # noqa: E402
from nodes import Kms, Member, Node, RemoteException, store_options  # noqa: E402
from postgres import wait_for  # noqa: E402
import openapi  # noqa: E402  # pylint: disable=wrong-import-order

DOCUMENT = openapi.Document()


ROLE = "kms"


def add_site(node, site):
    """And no drill that would commit something while a test counts commits."""
    path = node.dir / "holdfast.conf"
    path.write_text(f'site = "{site}"\nproof {{\n    drill_hours = 0\n}}\n' + path.read_text())


def items(node, start):
    return {item["item"]: item for item in node.run_json("status")["items"] if item["item"].startswith(start)}


def trail_of(node):
    return [json.loads(line) for line in (node.dir / "audit" / "audit.log").read_text().splitlines()]


class StandbyCluster(patroni.Cluster):
    """
    One host under Patroni that follows another cluster: what Patroni calls a standby cluster. Its REST API speaks TLS and
    wants a certificate of whoever asks.
    """

    def __init__(self, source):
        super().__init__()
        self.member = self.members[0]
        self.members = [self.member]
        try:
            self.follow(source)
        except BaseException:
            self.close()
            raise
        self.port = self.member.port
        self.sql = self.member.sql
        self.address = f" patroni=https://127.0.0.1:{self.member.rest}"

    def certify(self):
        """An authority, the certificate of the host, and one that the nodes show."""
        key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
        postgres.run(["openssl", "req", "-x509", *key, "-days", 30, "-subj", "/CN=database authority",
                      "-keyout", self.base / "ca.key", "-out", self.base / "ca.crt"])
        for name in ("host", "node"):
            signed = self.base / f"{name}.crt"
            postgres.run(["openssl", "req", "-x509", *key, "-days", 30, "-subj", f"/CN={name}", "-CA", self.base / "ca.crt",
                          "-CAkey", self.base / "ca.key", "-addext", "basicConstraints=critical,CA:FALSE",
                          "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", self.base / f"{name}.key", "-out", signed])
        self.files = ("--store-ca", self.base / "ca.crt", "--store-certificate", self.base / "node.crt",
                      "--store-key", self.base / "node.key")
        self.member.tls = ssl.create_default_context(cafile=self.base / "ca.crt")
        self.nobody = ssl.create_default_context(cafile=self.base / "ca.crt")
        self.member.tls.load_cert_chain(self.base / "node.crt", self.base / "node.key")

    def follow(self, source):
        for role in ("replicator", "rewinder"):
            source.sql(f"CREATE ROLE {role} SUPERUSER LOGIN REPLICATION", "postgres")
        self.etcds[0].start(self.etcds)
        self.member.write(self.etcds[0].client, 6)
        self.certify()
        text = self.member.file.read_text()
        text = text.replace("restapi:\n", f"restapi:\n  certfile: {self.base}/host.crt\n  keyfile: {self.base}/host.key\n"
                                          f"  cafile: {self.base}/ca.crt\n  verify_client: required\n")
        text = text.replace("synchronous_mode: true", "synchronous_mode: false").replace(
            "synchronous_mode_strict: true", "synchronous_mode_strict: false").replace(
            "    ttl: 6\n", f"    ttl: 6\n    standby_cluster: {{host: 127.0.0.1, port: {source.port}, "
                           "create_replica_methods: [basebackup]}\n").replace(
            "  authentication:\n", "  basebackup: [{checkpoint: fast}]\n  authentication:\n")
        assert "standby_cluster" in text and "checkpoint" in text and "verify_client" in text
        self.member.file.write_text(text)
        self.member.start()
        wait_for(lambda: self.member.role() == "standby_leader", f"standby cluster ({self.member.log})", 60)
        known, self.member.tls = self.member.tls, self.nobody
        assert self.member.ask("patroni") == {}, "Patroni answers whoever asks"
        self.member.tls = known


class Sites(contextlib.ExitStack):
    """Site a with the primary and a node, site b with a standby that is not waited for, and a node."""

    def __init__(self, standby_cluster=False, address=""):
        super().__init__()
        self.a = self.enter_context(postgres.Server(name="a"))
        self.a.start()
        # As docs/postgresql.md has it: a role that is no superuser, and sees the standbys.
        for order in (f"CREATE ROLE {ROLE} LOGIN", f"GRANT pg_read_all_stats TO {ROLE}",
                      f"CREATE DATABASE {postgres.DATABASE} OWNER {ROLE}"):
            self.a.sql(order, "postgres")
        if standby_cluster:
            self.b = self.enter_context(StandbyCluster(self.a))
        else:
            self.b = self.enter_context(postgres.Server(copy_of=self.a, name="b"))
            self.b.start()
        address = getattr(self.b, "address", address)
        hosts = [f"127.0.0.1:{self.a.port} site=a", f"127.0.0.1:{self.b.port} site=b{address}"]
        options = [word for host in hosts for word in ("--store-host", host)]
        options += getattr(self.b, "files", ())
        self.node_a = self.enter_context(Node(*store_options([], 0), "--store-user", ROLE, *options))
        self.node_a.configure('hadoop_keyring = "hadoop"', 'hadoop_keyring = "hadoop"\n    hadoop_retry_window = 0')
        add_site(self.node_a, "a")
        self.node_a.start()
        self.node_b = self.enter_context(Member(self.node_a, 2))
        add_site(self.node_b, "b")
        self.node_b.start()

    def seq(self, server):
        return int(server.sql("SELECT seq FROM state"))

    def settle(self):
        """Everything is everywhere, and nothing else is being written."""
        wait_for(lambda: self.seq(self.b) == self.seq(self.a), "site b with all of site a", 30)
        self.settle_copies()
        wait_for(lambda: self.seq(self.b) == self.seq(self.a), "site b with all of site a", 30)

    def settle_copies(self):
        wait_for(lambda: self.copy(self.node_b) == self.copy(self.node_a) == self.seq(self.a), "copies", 30)

    def copy(self, node):
        """The commit at which the node's copy stands."""
        words = items(node, "mirror")["mirror"]["text"].split()
        return int(words[words.index("commit") + 1].rstrip(","))

    def nothing_lost(self):
        """What the dry run says once the standby has what was written in the background, too."""
        def told():
            answer = plan(self.node_b)
            return answer if answer["losses"] == 0 and answer["standby"]["seq"] == self.seq(self.a) else None
        return wait_for(told, "standby with everything", 30)

    def may_promote(self):
        self.a.sql(f"GRANT EXECUTE ON FUNCTION pg_promote TO {ROLE}")
        asked = f"SELECT has_function_privilege('{ROLE}', 'pg_promote(boolean, integer)', 'EXECUTE')"
        wait_for(lambda: self.b.sql(asked) == "t", "right in site b", 20)

    def cut_replication(self):
        self.b.sql("ALTER SYSTEM SET primary_conninfo = ''", "postgres")
        self.b.sql("SELECT pg_reload_conf()", "postgres")
        wait_for(lambda: self.b.sql("SELECT count(*) FROM pg_stat_wal_receiver") == "0", "end of replication", 20)


def as_documented(answer, path):
    """The answer, which docs/openapi.yaml describes."""
    problems = list(DOCUMENT.problems(answer, DOCUMENT.answer_schema(DOCUMENT.operations["POST", path], 200)))
    assert not problems, problems
    return answer


def promote(node, *words):
    return as_documented(node.run_json("site", "promote", "b", *words), "/api/v1/sites/{site}/promote")


def accept(node, *words):
    return as_documented(node.run_json("store", "accept-history", *words), "/api/v1/store/accept-history")


def plan(node, *words):
    return promote(node, "--dry-run", *words)


def promotion_without_loss():
    with Sites() as sites:
        kms = Kms(sites.node_a)
        kms.create("orders")
        edek = kms.generate("orders")[0]
        dek = kms.decrypt(edek)
        sites.settle()
        hosts = items(sites.node_b, "database")
        assert len(hosts) == 2 and all(item["light"] == "green" for item in hosts.values()), hosts
        near = hosts[f"database 127.0.0.1:{sites.b.port}"]["text"]
        assert near.startswith("site b (this one), a standby, timeline 1"), near
        # The primary answers: it is said, and refused.
        told = sites.nothing_lost()
        assert told["lost"]["count"] == 0 and told["standby"]["by"] == "pg_promote", told
        assert "still answers as the primary" in told["refused"], told
        sites.node_b.run("site", "promote", "b", code=5)
        assert "still answers" in sites.node_b.error, sites.node_b.error
        sites.node_b.run("site", "promote", "a", code=5)
        sites.node_b.run("site", "promote", "nowhere", code=4)
        sites.node_b.run("site", "promote", "b", "--force", code=3)
        assert "GRANT EXECUTE ON FUNCTION pg_promote" in sites.node_b.error, sites.node_b.error
        assert sites.b.sql("SELECT pg_is_in_recovery()") == "t", "a dry run or a refusal promoted"
        sites.may_promote()
        sites.nothing_lost()
        sites.a.kill()
        assert plan(sites.node_b)["refused"] is None
        done = promote(sites.node_b)
        assert done["promoted"] and done["timeline"] == 2 and done["after"] is None, done
        # Both nodes go on by themselves, on the new timeline, with a raised epoch.
        for node in (sites.node_a, sites.node_b):
            wait_for(lambda: can_create(node, f"after-{node.port}"), "write after the promotion", 30)
            assert Kms(node).decrypt(edek) == dek
        assert sites.b.sql("SELECT epoch FROM state") == "2"
        # Neither node believes the old one when it comes back, though it says that it is the primary.
        sites.a.start()
        assert sites.a.sql("SELECT pg_is_in_recovery()") == "f"
        name = f"database 127.0.0.1:{sites.a.port}"
        wait_for(lambda: "a timeline that another host has left" in items(sites.node_b, name)[name]["text"],
                 "quarantine of the old primary", 20)
        before = sites.seq(sites.a)
        Kms(sites.node_a).create("not-on-the-old-one")
        assert sites.seq(sites.a) == before and sites.seq(sites.b) > before
        trail = sites.node_b.run("audit", "verify")
        print(trail.splitlines()[0])


def promotion_with_loss():
    with Sites() as sites:
        kms = Kms(sites.node_a)
        kms.create("kept")
        kms.create("deleted")
        sites.may_promote()
        sites.settle()
        common = sites.seq(sites.a)
        sites.cut_replication()
        # What only site a has from here on was answered all the same: nothing waits for site b.
        Kms(sites.node_b).create("lost-key")
        edek = Kms(sites.node_b).generate("lost-key")[0]
        sites.node_a.run("key", "delete", "hadoop/deleted", "--reason", "test")
        sites.settle_copies()
        answered = sites.seq(sites.a)
        sites.a.kill()
        told = plan(sites.node_b)
        known = told["known_seq"]
        assert told["standby"]["seq"] == sites.seq(sites.b) == common, told
        assert known >= answered and told["losses"] == known - common, (told, answered, common)
        assert told["lost"]["count"] == told["copy_seq"] - common >= answered - common, told
        lost = {(commit["operation"], commit["what"]): commit for commit in told["lost"]["commits"]}
        assert ("key.create", "hadoop/lost-key") in lost and ("key.delete", "hadoop/deleted") in lost, lost
        # Jobs keep records of their own meanwhile; these take nothing away.
        taking = [(commit["operation"], commit["what"]) for commit in told["lost"]["commits"] if commit["takes_away"]]
        assert taking == [("key.delete", "hadoop/deleted")] and told["lost"]["taking_away"] == 1, told
        assert told["lost"]["unlisted"] == 0, told
        assert f"--lose {known - common}" in told["refused"], told
        sites.node_b.run("site", "promote", "b", "--lose", known - common - 1, code=5)
        assert sites.b.sql("SELECT pg_is_in_recovery()") == "t"
        done = promote(sites.node_b, "--lose", known - common)
        assert done["promoted"] and "store accept-history" in done["after"], done
        # Nothing is followed silently: the copy stays, keys open, nothing is written.
        wait_for(lambda: items(sites.node_b, "mirror")["mirror"]["light"] == "red", "refusal of the mirror", 20)
        assert Kms(sites.node_b).decrypt(edek)
        try:
            Kms(sites.node_b).create("too-early")
            raise AssertionError("a node wrote to a history that it does not follow")
        except RemoteException as error:
            assert error.status >= 500, error
        for node in (sites.node_b, sites.node_a):
            told = accept(node, "--dry-run")
            assert told["common_seq"] == common and told["lost"]["count"] == told["copy_seq"] - common, told
            assert "took something away" in told["refused"], told
            node.run("store", "accept-history", code=5)
            assert items(node, "mirror")["mirror"]["light"] == "red"
            accept_that_fails(node)
            if node is sites.node_b:
                accept_without_slots(node)
            else:
                done = accept(node, "--force")
                assert done["accepted"] and done["unlocked"] and done["after"] is None, done
            node.run("store", "accept-history", code=5)
            assert "nothing to accept" in node.error, node.error
            after = Kms(node)
            assert after.metadata("kept") and after.metadata("deleted"), "what was common is gone"
            assert not after.metadata("lost-key")
            after.create(f"after-{node.port}")
            kept = list((node.dir / "mirror").glob("given-up-*.db"))
            assert len(kept) == 1, kept
            said = [line for line in trail_of(node) if line["operation"] == "store.accept"]
            assert any("hadoop/deleted, which took something away" in line.get("detail", "") for line in said), said
            assert any("hadoop/lost-key" in line.get("detail", "") for line in said), said
            wait_for(lambda: any(line["operation"] == "key.create" and line.get("key") == f"after-{node.port}"
                                 for line in trail_of(node)), "note of the new history in the trail", 10)
            node.run("audit", "verify")
            node.stop()
            node.start()
            assert Kms(node).metadata(f"after-{node.port}")


@contextlib.contextmanager
def no_room_for_the_copy(node):
    blocked = node.dir / "mirror" / "store.db.new" / "in-the-way"
    blocked.mkdir(parents=True)
    yield
    shutil.rmtree(blocked.parent)


@contextlib.contextmanager
def no_slot_opens(node):
    own = node.dir / "secrets" / "node-join.key"
    aside = own.with_suffix(".aside")
    own.rename(aside)
    yield
    aside.rename(own)


def nothing_was_given_up(node):
    assert items(node, "mirror")["mirror"]["light"] == "red"
    assert Kms(node).metadata("lost-key")
    assert not list((node.dir / "mirror").glob("given-up-*.db"))


def accept_that_fails(node):
    """The copy cannot be made: nothing is given up, and the node serves on from what it has."""
    with no_room_for_the_copy(node):
        node.run("store", "accept-history", "--force", code=5)
    assert "the history is not accepted: " in node.error and "the node is open again" in node.error, node.error
    nothing_was_given_up(node)


def accept_without_slots(node):
    """No slot opens the node afterwards: told beside the failure, and beside the success, which it does not undo."""
    with no_room_for_the_copy(node), no_slot_opens(node):
        node.run("store", "accept-history", "--force", code=5)
    assert "the history is not accepted: " in node.error and "the node stays locked: " in node.error, node.error
    node.stop()
    node.start()
    nothing_was_given_up(node)
    with no_slot_opens(node):
        done = accept(node, "--force")
    assert done["accepted"] and not done["unlocked"], done
    assert done["after"].startswith("the node stays locked: "), done
    node.stop()
    node.start()
    said = [line for line in trail_of(node) if line["operation"] == "store.accept" and line["outcome"] == "ok"]
    assert any("has given up commits" in line.get("detail", "") for line in said), said


def promotion_of_a_stranger():
    """The standby has another store, another history, or nothing to tell by: a dry run says so, and nothing is promoted."""
    with Sites() as sites:
        Kms(sites.node_a).create("orders")
        sites.may_promote()
        sites.settle()
        # Neither node writes any more: what is compared stays as it is.
        sites.node_a.stop()
        sites.nothing_lost()
        head = sites.seq(sites.a)

        def alter(text, asked):
            sites.a.sql(text)
            wait_for(lambda: sites.b.sql(asked) == "t", text, 20)

        def mirror_is(light):
            wait_for(lambda: items(sites.node_b, "mirror")["mirror"]["light"] == light, f"mirror that is {light}", 20)

        def refused(words, forced):
            wait_for(lambda: words in plan(sites.node_b)["refused"], words, 20)
            told = plan(sites.node_b, "--force")["refused"]
            assert (told is not None and words in told) == (not forced), told
            if not forced:
                sites.node_b.run("site", "promote", "b", "--force", code=5)
                assert words in sites.node_b.error, sites.node_b.error
            assert sites.b.sql("SELECT pg_is_in_recovery()") == "t"

        own = sites.a.sql("SELECT encode(store_id, 'hex') FROM state")
        other = "00" * (len(own) // 2)
        alter(f"UPDATE state SET store_id = decode('{other}', 'hex')", f"SELECT encode(store_id, 'hex') = '{other}' FROM state")
        refused("holds another store", forced=False)
        mirror_is("red")
        text = items(sites.node_b, "mirror")["mirror"]["text"]
        assert "another store" in text and "accept-history" not in text, text
        alter(f"UPDATE state SET store_id = decode('{own}', 'hex')", f"SELECT encode(store_id, 'hex') = '{own}' FROM state")
        mirror_is("green")
        shared = plan(sites.node_b)["standby"]["seq"]
        assert shared == head == sites.copy(sites.node_b), (shared, head)
        kept = sites.a.sql(f"SELECT encode(request_id, 'hex') FROM batch WHERE seq = {head}")
        alter(f"UPDATE batch SET request_id = decode('{'ee' * 16}', 'hex') WHERE seq = {head}",
              f"SELECT encode(request_id, 'hex') = '{'ee' * 16}' FROM batch WHERE seq = {head}")
        refused("another history", forced=False)
        alter(f"UPDATE batch SET request_id = decode('{kept}', 'hex'), seq = -seq WHERE seq = {head}",
              f"SELECT count(*) = 0 FROM batch WHERE seq = {head}")
        refused("no commit in common", forced=True)


class Deaf(threading.Thread):
    """A Patroni that takes the order, and whose answer never comes."""

    def __init__(self):
        super().__init__(daemon=True)
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.asked = b""

    def run(self):
        connection, _ = self.socket.accept()
        while b"null}" not in self.asked:
            self.asked += connection.recv(4096)
        connection.close()
        self.socket.close()


def promotion_whose_answer_is_lost():
    """It may have been done: in doubt. One that was never told is not."""
    patroni_of_b = Deaf()
    with Sites(address=f" patroni=http://127.0.0.1:{patroni_of_b.port}") as sites:
        sites.settle()
        sites.a.kill()
        patroni_of_b.start()
        sites.node_b.run("site", "promote", "b", code=6)
        patroni_of_b.join(10)
        assert patroni_of_b.asked.startswith(b"PATCH /config"), patroni_of_b.asked
        assert "its answer was not seen" in sites.node_b.error, sites.node_b.error
        assert any(line["operation"] == "site.promote" and line["outcome"] == "in_doubt" for line in trail_of(sites.node_b))
        sites.node_b.run("site", "promote", "b", code=6)
        assert "its answer was not seen" not in sites.node_b.error, sites.node_b.error


def promotion_of_a_standby_cluster():
    """Patroni would take pg_promote() back: it is told itself."""
    with Sites(standby_cluster=True) as sites:
        Kms(sites.node_a).create("orders")
        sites.settle()
        assert sites.nothing_lost()["standby"]["by"] == "patroni"
        sites.a.kill()
        began = time.monotonic()
        done = promote(sites.node_b)
        assert done["promoted"] and done["timeline"] == 2 and done["after"] is None, done
        took = time.monotonic() - began
        assert sites.b.member.role() in ("master", "primary")
        for node in (sites.node_a, sites.node_b):
            wait_for(lambda: can_create(node, f"after-{node.port}"), "write after the promotion", 30)
        # It stays the primary: Patroni has taken the order, not only the server.
        assert "standby_cluster" not in sites.b.member.status().get("dcs", {}), sites.b.member.status()
        print(f"standby cluster: the command took {took:.1f} s")


def can_create(node, name):
    try:
        return Kms(node).create(name)
    except (RemoteException, OSError):
        return None


if __name__ == "__main__":
    if postgres.binaries() is None:
        print("skipped: PostgreSQL is not installed; see tests/deps")
        sys.exit(77)
    promotion_without_loss()
    promotion_with_loss()
    promotion_of_a_stranger()
    promotion_whose_answer_is_lost()
    if patroni.missing() is None:
        promotion_of_a_standby_cluster()
    else:
        print(f"without a standby cluster: {patroni.missing()} is not installed")
    print("promoted with and without loss; what was given up was said")
