#!/usr/bin/env python3
"""
Two nodes on one PostgreSQL, then three on three under Patroni: what one makes all open; a node or the primary dies under
load, and nothing that was acknowledged is lost, nothing is applied twice, and opening goes on.
"""
import concurrent.futures
import contextlib
import hashlib
import json
import pathlib
import re
import socket
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import patroni  # noqa: E402
import postgres  # noqa: E402
from clients import KEYRING, STALE, Book  # noqa: E402
from history import OK, History  # noqa: E402
from node import UnixConnection  # noqa: E402
from nodes import Kms, Nodes, Opener, RemoteException, Writer, check_key, is_unknown  # noqa: E402
from postgres import wait_for  # noqa: E402
from test_faults import OpensInTurn  # noqa: E402


def shows(node, call):
    """Whether the call works there, or is answered as for a key that is not known yet."""
    kms = Kms(node)
    try:
        return call(kms)
    except RemoteException as error:
        if is_unknown(error):
            return None
        raise
    finally:
        kms.close()


def each_opens_what_another_makes(nodes):
    for at in range(len(nodes)):
        maker = Kms(nodes[at])
        other = nodes[(at + 1) % len(nodes)]
        name = f"from-{at}"
        maker.create(name)
        edek = maker.generate(name)[0]
        dek = maker.decrypt(edek)
        wait_for(lambda: shows(other, lambda kms: kms.decrypt(edek)) == dek, "key of the other node", 20)
        maker.roll(name)
        wait_for(lambda: shows(other, lambda kms: kms.generate(name)[0]["versionName"]) == f"{name}@1",
                 "version of the other node", 20)
        maker.close()


@contextlib.contextmanager
def load(nodes, seed):
    """Writers and openers on each node; ends them and passes their failures on."""
    kms = Kms(nodes[0])
    kms.create(f"opened-{seed}")
    edeks = [(edek, kms.decrypt(edek)) for edek in kms.generate(f"opened-{seed}", 8)]
    kms.close()
    for node in nodes.members:
        wait_for(lambda: shows(node, lambda kms: kms.decrypt(edeks[0][0])), "first key everywhere", 20)
    writers = [Writer(node, seed + at) for at, node in enumerate(nodes.members)]
    openers = [Opener(node, seed + at, edeks) for at, node in enumerate(nodes.members)]
    for client in writers + openers:
        client.start()
    try:
        wait_for(lambda: all(client.done() > 20 or client.failure for client in writers + openers), "load", 60)
        yield writers, openers
    finally:
        for client in writers + openers:
            client.stopping.set()
    for client in writers + openers:
        client.stop()


def more_than_now(clients, by=20):
    """Waits until each of these has been answered so often again."""
    now = [client.done() for client in clients]
    wait_for(lambda: all(client.done() > before + by or client.failure for client, before in zip(clients, now)),
             "answers after the fault", 60)


def check_everywhere(nodes, writers):
    for node in nodes.members:
        kms = Kms(node)
        for writer in writers:
            for key in writer.keys:
                wait_for(lambda: shows(node, lambda kms: kms.metadata(key.name)) or not key.versions, key.name, 20)
                check_key(kms, key)
        kms.close()


def report(what, writers, openers, broken=None):
    others = [opener for opener in openers if opener.node is not broken]
    print(f"{what}: {sum(writer.acknowledged() for writer in writers)} creates and rolls acknowledged, none lost, none "
          f"twice; longest pause of a writer {max(writer.pause_ms() for writer in writers)} ms, errors "
          f"{sum(len(writer.errors) for writer in writers)}; {sum(opener.done() for opener in others)} opened, longest "
          f"pause {max(opener.pause_ms() for opener in others)} ms, errors {sum(len(opener.errors) for opener in others)}",
          flush=True)
    errors = [(opener.node.port, why) for opener in others for why in opener.errors]
    assert not errors, f"opening must go on without an error: {errors[:5]}"


def state_of(node, name):
    return next(entry["state"] for entry in node.run_json("node", "list")["nodes"] if entry["name"] == name)


def item(node, name):
    """One line of a node's status, or None."""
    return next((entry for entry in node.run_json("status")["items"] if entry["item"] == name), None)


def a_node_is_killed(nodes):
    """Each change waits for it at first; once it is away, none does."""
    with load(nodes, 100) as (writers, openers):
        victim, other = nodes[0], nodes[1]
        victim.kill()
        more_than_now(openers[1:])
        assert writers[0].errors, "the fault has not happened"
        wait_for(lambda: state_of(other, "node-1") == "away", "member that is away")
        assert item(other, "member node-1")["light"] == "amber"
        for node in nodes.members[1:]:
            wait_for(lambda: look(node).get("holdfast_members_away") == 1, "metric of the member that is away")
        # If each waited for as long as a lease lasts, these would take half as long again as there is time for them.
        more_than_now(writers[1:], 40)
        victim.start()
        wait_for(lambda: state_of(other, "node-1") == "approved", "member that is back")
        # It writes again, so it has a lease; and the others wait for it, so what one makes it knows.
        more_than_now(writers + openers)
        assert item(other, "member node-1") is None
        for node in nodes.members:
            wait_for(lambda: look(node).get("holdfast_members_away") == 0, "metric without it")
    check_everywhere(nodes, writers)
    report(f"one of {len(nodes)} nodes killed", writers, openers, broken=victim)


def the_primary_is_killed(nodes, cluster):
    with load(nodes, 200) as (writers, openers):
        primary = cluster.primary()
        primary.kill()
        more_than_now(openers)
        wait_for(lambda: cluster.primary() not in (None, primary), "new primary", 60)
        more_than_now(writers + openers)
    check_everywhere(nodes, writers)
    report("the primary killed", writers, openers)
    assert max(writer.pause_ms() for writer in writers) > 500, "the fault has not happened"


class Watcher(Opener):
    """Keeps what the answers said of their age: None where nothing was said."""

    def __init__(self, node, seed, edeks):
        super().__init__(node, seed, edeks)
        self.marks = []

    def step(self):
        super().step()
        self.marks.append(self.kms.answer.getheader(STALE))


LOOKED_AT = r"^(holdfast_(?:lease|stale_\w+|applied_seq|members_away|job_overdue_seconds\S+)) (-?\d+)$"


def look(node):
    """The numbers of one moment that tell of the lease and of what waits for one."""
    return {name: int(value) for name, value in re.findall(LOOKED_AT, node.admin("GET", "/health/metrics")[1], re.M)}


OVERDUE = 'holdfast_job_overdue_seconds{job="rewrap"}'


def is_served_with_lease(node):
    found = look(node)
    return found["holdfast_lease"] == 1 and found.get("holdfast_members_away") == 0


def all_know_everything(nodes):
    return (all(is_served_with_lease(node) for node in nodes.members)
            and len({look(node)["holdfast_applied_seq"] for node in nodes.members}) == 1)


def tell_of_a_lease(nodes):
    """The metrics of nodes that have one."""
    wait_for(lambda: all_know_everything(nodes), "nodes that have a lease and the same commits")
    for node in nodes.members:
        found = look(node)
        # With a lease it cannot be older than that lasts; without one it is what the next look is for.
        assert found["holdfast_lease"] == 0 or found["holdfast_stale_seconds"] in (0, 1), found
        assert found["holdfast_members_away"] == 0, found


def stale_calls(node):
    """Nothing is said of it before the first."""
    return look(node).get("holdfast_stale_calls_total", 0)


def count_marked(node, edeks, calls=20):
    """Opens so often; the counter of the node has gone on by what was marked, and that is given."""
    kms = Kms(node)
    before = stale_calls(node)
    marks = []
    for edek, dek in (edeks * calls)[:calls]:
        assert kms.decrypt(edek) == dek
        marks.append(kms.answer.getheader(STALE))
    kms.close()
    marked = sum(mark is not None for mark in marks)
    assert stale_calls(node) - before == marked, (before, marks)
    return marked


def hold_job(cluster, duration_ms):
    """Somebody who is no node has the job until that time is over, so it stays due."""
    cluster.primary().sql(f"""INSERT INTO lease VALUES ('job-rewrap', 'nobody', 1, 1, 1, {duration_ms})
        ON CONFLICT (name) DO UPDATE SET holder = 'nobody', renewals = lease.renewals + 1, duration_ms = {duration_ms}""")


def is_gone(pid):
    """A process that nobody has waited for is gone all the same."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def kill_databases(cluster):
    """And makes sure of it: no process is left, and nobody listens."""
    pids = [pid for member in cluster.members for pid in member.pids()]
    assert len(pids) > 2 * len(cluster.members), pids
    cluster.kill_all()
    wait_for(lambda: all(is_gone(pid) for pid in pids), "end of all servers")
    for member in cluster.members:
        try:
            socket.create_connection(("127.0.0.1", member.port), timeout=10).close()
        except ConnectionRefusedError:
            continue
        raise AssertionError(f"{member.name} still listens")


def is_refused_by_hadoop(node, change, key):
    """Clients go on to another node after this one."""
    kms = Kms(node)
    # Until then it has waited for a lease.
    kms.wire.timeout = 120
    try:
        getattr(kms, change)(key)
    except RemoteException as error:
        assert (error.status, error.java_class) == (500, "java.io.IOException"), error
        assert "not available" in error.message, error
    else:
        raise AssertionError(f"{change} was acknowledged without a database")
    finally:
        kms.close()


def is_refused_by_admin(node):
    wire = UnixConnection(node.dir / "admin.sock", 120)
    wire.request("POST", KEYRING, json.dumps({"name": "never", "algorithm": "aes-128"}), {"Content-Type": "application/json"})
    answer = wire.getresponse()
    told = json.loads(answer.read())["error"]
    wire.close()
    assert (answer.status, told["code"]) == (503, "unavailable"), told


def refuse_changes(nodes):
    """All at once, since each waits for as long as a request may take."""
    with concurrent.futures.ThreadPoolExecutor() as clients:
        calls = [call for node in nodes for call in (clients.submit(is_refused_by_hadoop, node, "create", "never"),
                                                     clients.submit(is_refused_by_hadoop, node, "roll", "kept"),
                                                     clients.submit(is_refused_by_admin, node))]
    for call in calls:
        call.result()


def make_kept(nodes):
    kms = Kms(nodes[0])
    kms.create("kept")
    edeks = [(edek, kms.decrypt(edek)) for edek in kms.generate("kept", 8)]
    kms.close()
    for node in nodes.members:
        wait_for(lambda: shows(node, lambda kms: kms.decrypt(edeks[0][0])), "key everywhere", 20)
    return edeks


@contextlib.contextmanager
def watched(nodes, edeks):
    """An opener on each node, who hears how old the answers are, and ends without one failure unless it is told of one."""
    watchers = [Watcher(node, 300 + at, edeks) for at, node in enumerate(nodes.members)]
    for watcher in watchers:
        watcher.start()
    try:
        yield watchers
    finally:
        for watcher in watchers:
            watcher.stopping.set()
    for watcher in watchers:
        watcher.stop()


def all_databases_are_gone(nodes, cluster):
    """Nothing can be written, and what is known is opened; the client is told so, and people are."""
    edeks = make_kept(nodes)
    tell_of_a_lease(nodes)
    for node in nodes.members:
        count_marked(node, edeks)
    wait_for(lambda: all(look(node)[OVERDUE] == 0 for node in nodes.members), "jobs that are done")
    hold_job(cluster, 24 * 3600 * 1000)
    nodes[0].run("keyring", "rotate", "hadoop")
    wait_for(lambda: all(look(node)[OVERDUE] > 0 for node in nodes.members), "job that is due")
    with watched(nodes, edeks) as watchers:
        with load(nodes, 300) as (writers, openers):
            kill_databases(cluster)
            wait_for(lambda: all(look(node)["holdfast_lease"] == 0 for node in nodes.members), "end of all leases")
            # What is under way now may have begun before.
            without = [len(watcher.marks) + 1 for watcher in watchers]
            more_than_now([*openers, *watchers], 200)
            # What was durable before may still be answered, by time; what comes after is refused.
            wait_for(lambda: all(writer.errors for writer in writers), "writers that are told", 60)
        without_a_lease(nodes, edeks, watchers)
    for watcher, begin in zip(watchers, without):
        assert not watcher.errors, watcher.errors
        seconds = [int(mark) for mark in watcher.marks[begin:]]
        assert len(seconds) > 200 and seconds == sorted(seconds), seconds
    assert not any(opener.errors for opener in openers)
    print(f"all databases gone: {sum(opener.done() for opener in openers)} opened, no error, longest pause "
          f"{max(opener.pause_ms() for opener in openers)} ms; writers were told so {sum(len(w.errors) for w in writers)} "
          "times", flush=True)
    return edeks, writers


def without_a_lease(nodes, edeks, watchers):
    """Each node refuses changes, and its metrics have the truth."""
    before = [look(node) for node in nodes.members]
    refuse_changes(nodes.members)
    for node, watcher, then in zip(nodes.members, watchers, before):
        marked = int(watcher.marks[-1])
        found = wait_for(lambda: (now := look(node))[OVERDUE] > then[OVERDUE] and now, "job that is overdue for longer")
        assert found["holdfast_lease"] == 0 and found["holdfast_members_away"] == 0, found
        assert found["holdfast_stale_seconds"] >= max(marked, then["holdfast_stale_seconds"], 1), (found, then, marked)
        assert found["holdfast_applied_seq"] == then["holdfast_applied_seq"], (found, then)
        assert found.get("holdfast_stale_calls_total", 0) > then.get("holdfast_stale_calls_total", 0), (found, then)
        wait_for(lambda: look(node)["holdfast_stale_seconds"] > found["holdfast_stale_seconds"], "older copy")


def a_node_comes_back_without_databases(nodes, edeks):
    """
    It opens from its copy, says how old that is, and an operator may let it open for longer. Clients of the other nodes, and
    those that know all, notice nothing.
    """
    node = nodes[0]
    applied = look(node)["holdfast_applied_seq"]
    book = Book(History(), nodes)
    for edek, _ in edeks:
        book.keep("kept", edek)
    roaming = [OpensInTurn(book, f"roaming-{at}", 400 + at, at=at) for at in range(2)]
    for client in roaming:
        client.start()
    with watched(nodes, edeks) as watchers:
        more_than_now(watchers)
        node.stop()
        more_than_now(watchers[1:], 100)
        node.start()
        more_than_now(watchers, 100)
        wait_for(lambda: all(client.good() > 100 or client.failure for client in roaming), "answers to who roams")
    for client in roaming:
        client.stop()
        assert all(call.good for call in client.calls), [call.why for call in client.calls if not call.good]
    assert any("n1" == operation.node and operation.outcome != OK for operation in book.history.operations), "no restart"
    digests = {hashlib.sha256(dek).hexdigest()[:24] for _, dek in edeks}
    assert {operation.digest for operation in book.history.operations if operation.outcome == OK} == digests
    assert watchers[0].errors and not any(watcher.errors for watcher in watchers[1:]), [one.errors for one in watchers]
    assert all(mark is not None for watcher in watchers for mark in watcher.marks), "an answer without a mark"
    assert count_marked(node, edeks) == 20
    wait_for(lambda: look(node)[OVERDUE] > 0, "job that is due here, too")
    found = wait_for(lambda: "holdfast_members_away" in (now := look(node)) and now, "number of members that are away")
    assert found["holdfast_lease"] == 0 and found["holdfast_stale_seconds"] > 0, found
    assert found["holdfast_members_away"] == 0, found
    assert found["holdfast_applied_seq"] == applied, (found, applied)
    lease = next(item for item in node.admin("GET", "/api/v1/status")[1]["items"] if item["item"] == "lease")
    assert lease["light"] == "amber" and lease["text"].startswith("none for"), lease
    refuse_changes([node])
    assert "for so long" in node.run("node", "serve-stale", "--for", "1h")
    print("a node restarted with all databases gone: it opens, and says that it has no lease", flush=True)


def the_databases_come_back(nodes, cluster, edeks, writers):
    """All is as it was, and what could not be done is done."""
    applied = max(look(node)["holdfast_applied_seq"] for node in nodes.members)
    for member in cluster.members:
        member.start()
    wait_for(cluster.is_whole, "whole cluster", 180)
    tell_of_a_lease(nodes)
    for node in nodes.members:
        wait_for(lambda: count_marked(node, edeks) == 0, "answers without a mark")
    kms = Kms(nodes[1])
    assert not kms.metadata("never") and kms.metadata("kept")["versions"] == 1
    kms.roll("kept")
    kms.close()
    hold_job(cluster, 0)
    wait_for(lambda: all(look(node)[OVERDUE] == 0 for node in nodes.members), "end of the job")
    tell_of_a_lease(nodes)
    assert all(look(node)["holdfast_applied_seq"] > applied for node in nodes.members)
    check_everywhere(nodes, writers)
    print("the databases are back: leases, changes and the job that was due", flush=True)


def two_nodes_on_one_server():
    with postgres.Server() as server:
        server.start()
        server.make_database()
        with Nodes(2, [server.port], synchronous=0) as nodes:
            each_opens_what_another_makes(nodes)
            a_node_is_killed(nodes)


def three_nodes_under_patroni():
    with patroni.Cluster() as cluster:
        cluster.start()
        with Nodes(3, [member.port for member in cluster.members], synchronous=1) as nodes:
            each_opens_what_another_makes(nodes)
            a_node_is_killed(nodes)
            the_primary_is_killed(nodes, cluster)
            edeks, writers = all_databases_are_gone(nodes, cluster)
            a_node_comes_back_without_databases(nodes, edeks)
            the_databases_come_back(nodes, cluster, edeks, writers)


if __name__ == "__main__":
    lacking = patroni.missing()
    if lacking is not None:
        print(f"skipped: {lacking} is not installed; see tests/deps")
        sys.exit(77)
    two_nodes_on_one_server()
    three_nodes_under_patroni()
