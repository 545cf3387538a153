#!/usr/bin/env python3
"""
Two sites and a witness, 20 ms apart there and back, on five network namespaces: the primary's site is cut off and goes on
opening, the other one writes; it comes back and follows; then the other one is lost altogether. Nothing that was
acknowledged is lost, and a key that was deleted in one site comes back in the other.
HOLDFAST_LONG=1 makes the faults again and again, by turns.
"""
import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import netns  # noqa: E402
import patroni  # noqa: E402
import postgres  # noqa: E402
from nodes import Kms, Member, Node, Opener, RemoteException, Writer, check_key, is_unknown, store_options  # noqa: E402


def wait_for(condition, what, seconds):
    """Asks a few times a second only: each question is a program that starts."""
    return postgres.wait_for(lambda: condition() or time.sleep(0.25), what, seconds)


DELAY_MS = 10
LONG = bool(os.environ.get("HOLDFAST_LONG"))

HOST = """
scope: holdfast
name: {name}
restapi:
  listen: {address}:8008
  connect_address: {address}:8008
etcd3:
  hosts: [{etcd}]
bootstrap:
  dcs: {dynamic}
  initdb: [data-checksums, no-sync, {{encoding: UTF8}}, {{locale: C}}]
postgresql:
  listen: {address},127.0.0.1:5432
  connect_address: {address}:5432
  bin_dir: {bin}
  data_dir: {base}/data
  pgpass: {base}/pgpass
  authentication:
    superuser: {{username: {user}, password: unused}}
    replication: {{username: replicator, password: unused}}
    rewind: {{username: rewinder, password: unused}}
  parameters:
    ssl: "on"
    ssl_cert_file: {base}/server.crt
    ssl_key_file: {base}/server.key
  pg_hba:
    - host all all 127.0.0.1/32 trust
    - host replication all 127.0.0.1/32 trust
    - host replication all 10.77.0.0/24 trust
    - hostnossl all all 10.77.0.0/24 trust
    - hostssl all all 10.77.0.0/24 trust
tags: {{nofailover: {witness}}}
"""


class Host:
    """A machine with etcd, Patroni and PostgreSQL."""

    def __init__(self, base, machine, witness):
        self.machine = machine
        self.name = machine.name
        self.witness = witness
        self.base = base / machine.name
        self.base.mkdir()
        self.log = self.base / "log"
        self.etcd = self.patroni = None

    def configure(self, hosts, authority):
        self.certify(authority)
        dynamic = patroni.DYNAMIC.format(ttl=6).replace("\n", "\n    ")
        etcd = ", ".join(f"{host.machine.address}:2379" for host in hosts)
        (self.base / "patroni.yml").write_text(HOST.format(
            name=self.name, address=self.machine.address, etcd=etcd, dynamic=dynamic, bin=postgres.binaries(),
            base=self.base, user=postgres.USER, witness=str(self.witness).lower()))
        self.members = ",".join(f"{host.name}=http://{host.machine.address}:2380" for host in hosts)

    def certify(self, authority):
        names = f"subjectAltName=IP:{self.machine.address}"
        request = openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
                          f"/CN={self.name}", "-keyout", self.base / "server.key", "-addext", names)
        (self.base / "server.crt").write_text(openssl("x509", "-req", "-CA", authority / "ca.crt", "-CAkey",
                                                      authority / "ca.key", "-days", 30, "-copy_extensions", "copy",
                                                      stdin=request))

    def start(self, state="new"):
        own = f"http://{self.machine.address}"
        self.etcd = self.machine.start(
            ["etcd", "--name", self.name, "--data-dir", self.base / "etcd", "--listen-client-urls", f"{own}:2379",
             "--advertise-client-urls", f"{own}:2379", "--listen-peer-urls", f"{own}:2380",
             "--initial-advertise-peer-urls", f"{own}:2380", "--initial-cluster", self.members,
             "--initial-cluster-state", state, "--unsafe-no-fsync", "--enable-v2"], self.base / "etcd.log")

    def start_patroni(self):
        self.patroni = self.machine.start(["patroni", self.base / "patroni.yml"], self.log)

    def pids(self):
        """Of all three; the server does not end with Patroni."""
        found = []
        for process in (self.etcd, self.patroni):
            if process is not None and process.poll() is None:
                found += [process.pid, *postgres.children(process.pid)]
        try:
            server = int((self.base / "data" / "postmaster.pid").read_text().split()[0])
        except (OSError, ValueError, IndexError):
            return found
        return [*found, server, *postgres.children(server)]

    def kill(self):
        """The machine is gone."""
        postgres.signal_all(self.pids(), signal.SIGKILL)
        for process in (self.etcd, self.patroni):
            if process is not None:
                process.wait()
        (self.base / "data" / "postmaster.pid").unlink(missing_ok=True)

    def ask(self, path):
        """What Patroni answers, or nothing."""
        def ask():
            try:
                with urllib.request.urlopen(f"http://{self.machine.address}:8008/{path}", timeout=2) as got:
                    return json.load(got)
            except urllib.error.HTTPError as error:
                return json.load(error)
            except (OSError, ValueError):
                return {}
        return self.machine.inside(ask)

    def status(self):
        """What it says of itself."""
        return self.ask("patroni")

    def role(self):
        status = self.status()
        if status.get("state") != "running":
            return None
        return "primary" if status.get("role") in ("master", "primary") else "replica"

    def may_take_over(self):
        """Whether Patroni counts on it: it has every commit that was answered, and the election service says so."""
        return self.status().get("sync_standby") is True

    def sql(self, text, database="postgres"):
        return subprocess.run([*self.machine.prefix(), *netns.lower([
            str(postgres.binaries() / "psql"), "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", text,
            f"host=127.0.0.1 user={postgres.USER} dbname={database} sslmode=disable connect_timeout=2"])],
            capture_output=True, text=True, check=True, cwd="/").stdout.strip()

    def synchronous(self):
        """The standby that commits wait for."""
        try:
            return self.sql("SELECT application_name FROM pg_stat_replication WHERE sync_state = 'sync' "
                            "AND state = 'streaming'")
        except subprocess.CalledProcessError:
            return None

    def close(self):
        with contextlib.suppress(OSError):
            self.kill()


def openssl(*words, stdin=None):
    done = subprocess.run(["openssl", *map(str, words)], input=stdin, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise AssertionError(done.stderr)
    return done.stdout


def start_hosts(stack, hosts, base):
    """Their etcd, with certificates of one authority; what ends them goes on the stack."""
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj",
            "/CN=test", "-keyout", base / "ca.key", "-out", base / "ca.crt")
    for host in hosts:
        host.configure(hosts, base)
        host.start()
        stack.callback(host.close)


class There:
    """A node on a machine: its programs run there; who talks to it is there, too."""

    machine = None

    def run(self, *words, code=0, stdin=None):
        made = ("init",), ("node", "accept")
        if words[:1] in made or words[:2] in made:
            words = (*words, "--allow-unlocked-memory")  # Nobody may lock more than a little here.
        done = self.machine.inside(lambda: super(There, self).run(*words, code=code, stdin=stdin))
        return done

    def spawn(self):
        self.prefix = self.machine.prefix()
        super().spawn()

    def ask(self, call):
        """What the call gives for a client of the Hadoop door, made where the node is."""
        def talk():
            kms = Kms(self)
            try:
                return call(kms)
            finally:
                kms.close()
        return self.machine.inside(talk)


class FirstNode(There, Node):
    pass


class SecondNode(There, Member):
    pass


def client_there(kind):
    class Client(kind):
        def run(self):
            self.node.machine.enter_thread()
            super().run()
    return Client


class PacedWriter(Writer):
    """What is written is checked in both sites afterwards, one by one."""

    def step(self):
        super().step()
        self.stopping.wait(0.05)


class PacedOpener(Opener):
    """The processors are for what is being tested."""

    def step(self):
        super().step()
        self.stopping.wait(0.01)


OpenerThere, WriterThere = client_there(PacedOpener), client_there(PacedWriter)


class World(contextlib.ExitStack):
    """Sites a and b with a database host and a node each, and a witness that is never the primary."""

    def __init__(self):
        super().__init__()
        self.base = postgres.private_directory("holdfast-sites-")
        self.callback(shutil.rmtree, self.base, ignore_errors=True)
        self.net = self.enter_context(netns.Network(
            DELAY_MS, {"a": ["a-node", "a-db"], "b": ["b-node", "b-db"], "w": ["w-db"]}))
        self.machines = self.net.machines
        self.a, self.b, self.w = (Host(self.base, self.machines[name], name == "w-db") for name in ("a-db", "b-db", "w-db"))
        self.hosts = [self.a, self.b, self.w]
        self.start_databases()
        self.start_nodes()

    def start_databases(self):
        start_hosts(self, self.hosts, self.base)
        self.a.start_patroni()
        try:
            wait_for(lambda: self.a.role() == "primary", "primary in site a", 60)
            self.b.start_patroni()
            self.w.start_patroni()
            wait_for(lambda: self.a.synchronous() == "b-db", "synchronous standby in site b", 60)
        except AssertionError:
            for host in self.hosts:
                if host.log.exists():
                    print(f"--- {host.name}\n{host.log.read_text()[-2000:]}")
            raise
        self.a.sql(f"CREATE DATABASE {postgres.DATABASE}")

    def start_nodes(self):
        sites = {"a-db": "a", "b-db": "b", "w-db": "w"}
        hosts = [word for host in self.hosts
                 for word in ("--store-host", f"{host.machine.address}:5432 site={sites[host.name]}")]
        options = [word for word in store_options([], 1) if word not in ("--store-sslmode", "disable")]
        FirstNode.machine, SecondNode.machine = self.machines["a-node"], self.machines["b-node"]
        self.node_a = self.enter_context(FirstNode(*options, *hosts, "--store-ca", self.base / "ca.crt"))
        self.node_a.configure('hadoop_keyring = "hadoop"', 'hadoop_keyring = "hadoop"\n    hadoop_retry_window = 0')
        self.add_site(self.node_a, "a")
        self.node_a.start()
        self.node_b = self.enter_context(SecondNode(self.node_a, 2))
        self.add_site(self.node_b, "b")
        self.node_b.start()
        self.members = [self.node_a, self.node_b]

    @staticmethod
    def add_site(node, site):
        path = node.dir / "holdfast.conf"
        path.write_text(f'site = "{site}"\n' + path.read_text())

    def database(self, node, host):
        """What status says there of a database host."""
        name = f"database {host.machine.address}:5432"
        return next(item["text"] for item in node.run_json("status")["items"] if item["item"] == name)


def shows(node, call):
    try:
        return node.ask(call)
    except RemoteException as error:
        if is_unknown(error):
            return None
        raise


def writes(node, name):
    try:
        return node.ask(lambda kms: kms.create(name))
    except (RemoteException, OSError):
        return None


class Load:
    """A writer at one node, and openers at both."""

    def __init__(self, world, writer_node, seed):
        self.name = f"opened-{seed}"
        wait_for(lambda: writes(world.node_a, self.name), "key to open", 60)
        edeks = world.node_a.ask(lambda kms: [(edek, kms.decrypt(edek)) for edek in kms.generate(self.name, 4)])
        wait_for(lambda: shows(world.node_b, lambda kms: kms.decrypt(edeks[0][0])), "key in site b", 20)
        self.writer = WriterThere(writer_node, seed)
        self.openers = {"a": OpenerThere(world.node_a, seed, edeks), "b": OpenerThere(world.node_b, seed, edeks)}
        for client in (self.writer, *self.openers.values()):
            client.start()
        self.go_on(self.writer, *self.openers.values())

    @staticmethod
    def go_on(*clients, by=10, seconds=60):
        now = [client.done() for client in clients]
        wait_for(lambda: all(client.done() >= before + by or client.failure for client, before in zip(clients, now)),
                 "answers", seconds)

    def stop(self, *without_errors):
        for client in (self.writer, *self.openers.values()):
            client.stopping.set()
        for client in (self.writer, *self.openers.values()):
            client.stop()
        for site in without_errors:
            assert not self.openers[site].errors, (site, self.openers[site].errors[:3])


def check_all(world, writer):
    """A node follows what was acknowledged at another; if that takes more than a moment it is a fault."""
    def check(kms):
        for key in writer.keys:
            def has_all(key=key):
                return (kms.metadata(key.name) or {"versions": 0})["versions"] >= key.versions
            wait_for(has_all, f"all of {key.name}", 10)
            check_key(kms, key)
    for node in (world.node_a, world.node_b):
        node.ask(check)


def report(**figures):
    print(" ".join(f"{name}={value}" for name, value in figures.items()), flush=True)


def each_site_uses_its_own(world):
    began = time.monotonic()
    for node, near, far in ((world.node_a, world.a, world.b), (world.node_b, world.b, world.a)):
        assert "(this one)" in world.database(node, near) and "(this one)" not in world.database(node, far)
    assert "the primary" in world.database(world.node_b, world.a)
    # A node of site b reads from the standby there: its sessions are idle after a read, not only probed.
    reading = ("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'holdfast' "
               f"AND client_addr = '{world.machines['b-node'].address}' "
               "AND (query LIKE 'SELECT store_id%' OR query LIKE 'SELECT s.seq,%')")
    wait_for(lambda: int(world.b.sql(reading, postgres.DATABASE)) > 0, "read of a node of site b from there", 60)
    world.node_b.ask(lambda kms: kms.create("made-in-b"))
    edek = world.node_b.ask(lambda kms: kms.generate("made-in-b")[0])
    wait_for(lambda: shows(world.node_a, lambda kms: kms.decrypt(edek)), "key of site b in site a", 20)
    report(own_site="ok", seconds=round(time.monotonic() - began, 1))


def deletion_is_taken_back_elsewhere(world):
    """Deleted in one site it is recoverable in both until its time."""
    world.node_a.ask(lambda kms: kms.create("deleted-in-a"))
    edek = world.node_a.ask(lambda kms: kms.generate("deleted-in-a")[0])
    dek = world.node_a.ask(lambda kms: kms.decrypt(edek))
    wait_for(lambda: shows(world.node_b, lambda kms: kms.decrypt(edek)) == dek, "key in site b", 20)
    world.node_a.run("key", "delete", "hadoop/deleted-in-a", "--reason", "test")

    def listed(node):
        return "deleted-in-a" in node.run("key", "list", "hadoop", "--deleted")
    for node in (world.node_a, world.node_b):
        wait_for(lambda: listed(node), "deleted key in both sites", 20)
        assert not shows(node, lambda kms: kms.metadata("deleted-in-a"))
    return edek, dek


def recover_in_b(world, edek, dek):
    world.node_b.run("key", "recover", "hadoop/deleted-in-a")
    for node in (world.node_a, world.node_b):
        wait_for(lambda: shows(node, lambda kms: kms.decrypt(edek)) == dek, "recovered key", 30)


def cut_off_the_primary(world, seed, primary, other, host, other_host, node, other_node):
    """The primary's site is cut off: it goes on opening, and the other one goes on writing."""
    load = Load(world, other_node, seed)
    # While the witness stands in for the other site, nobody may take over: then there is nothing to be seen here.
    wait_for(other_host.may_take_over, f"synchronous standby in site {other}", 90)
    before = host.sql("SELECT timeline_id FROM pg_control_checkpoint()")
    world.net.sites[primary].cut()
    cut_at = time.monotonic()
    assert not host.machine.reaches(other_host.machine, 5432), "the fault did not happen"
    wait_for(lambda: other_host.role() == "primary", f"primary in site {other}", 60)
    promoted = time.monotonic() - cut_at
    load.go_on(load.writer, *load.openers.values())
    assert load.openers[primary].done() > 0
    assert writes(node, f"cut-off-{seed}") is None, "a node that is cut off changed something"
    wait_for(lambda: "does not answer" in world.database(node, other_host), "loss of the other site in status", 20)
    load.go_on(load.openers[primary])
    world.net.sites[primary].heal()
    healed_at = time.monotonic()
    wait_for(lambda: host.role() == "replica" and other_host.synchronous() == host.name, "old primary as a standby", 90)
    rejoined = time.monotonic() - healed_at
    assert int(other_host.sql("SELECT timeline_id FROM pg_control_checkpoint()")) >= int(before)
    wait_for(lambda: writes(node, f"healed-{seed}"), "write in the site that came back", 60)
    load.stop(primary, other)
    check_all(world, load.writer)
    report(cut=primary, promoted_s=round(promoted, 1), write_pause_ms=load.writer.pause_ms(),
           open_pause_ms=max(opener.pause_ms() for opener in load.openers.values()), rejoined_s=round(rejoined, 1),
           acknowledged=load.writer.acknowledged(), writer_errors=len(load.writer.errors))


def lose_a_site(world, seed):
    """All of site b is gone, with the primary; site a goes on, and has everything."""
    load = Load(world, world.node_a, seed)
    wait_for(world.a.may_take_over, "synchronous standby in site a", 90)
    world.node_b.kill()
    world.b.kill()
    lost_at = time.monotonic()
    wait_for(lambda: not world.a.machine.reaches(world.b.machine, 5432), "fault: site b still answers", 5)
    wait_for(lambda: world.a.role() == "primary", "primary in site a", 60)
    promoted = time.monotonic() - lost_at
    load.go_on(load.writer, load.openers["a"])
    load.openers["b"].stopping.set()
    load.stop("a")
    world.node_b.start()
    check_all(world, load.writer)
    report(lost="b", promoted_s=round(promoted, 1), write_pause_ms=load.writer.pause_ms(),
           open_pause_ms=load.openers["a"].pause_ms(), acknowledged=load.writer.acknowledged(),
           writer_errors=len(load.writer.errors))


@contextlib.contextmanager
def telling(world):
    """The ends of the logs, when something fails."""
    try:
        yield
    except BaseException:
        for host in world.hosts:
            print(f"--- {host.name}\n{host.log.read_text()[-3000:]}")
        for node in world.members:
            print(f"--- {node.machine.name}\n{node.log_text()[-2000:]}")
        raise


def main():
    began = time.monotonic()
    with World() as world, telling(world):
        report(ready_s=round(time.monotonic() - began, 1))
        each_site_uses_its_own(world)
        deleted = deletion_is_taken_back_elsewhere(world)
        cut_off_the_primary(world, 1, "a", "b", world.a, world.b, world.node_a, world.node_b)
        recover_in_b(world, *deleted)
        for turn in range(8 if LONG else 0):
            there = ("b", "a", world.b, world.a, world.node_b, world.node_a)
            back = ("a", "b", world.a, world.b, world.node_a, world.node_b)
            cut_off_the_primary(world, 10 + turn, *(there if turn % 2 == 0 else back))
        lose_a_site(world, 2)
    report(sites="ok", seconds=round(time.monotonic() - began, 1))


if __name__ == "__main__":
    if patroni.missing() is not None:
        print(f"skipped: {patroni.missing()} is not installed; see tests/deps")
        sys.exit(77)
    netns.enter()
    main()
