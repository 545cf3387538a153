#!/usr/bin/env python3
"""
Two nodes on one PostgreSQL, then three on three under Patroni: what one makes all open; a node or the primary dies under
load, and nothing that was acknowledged is lost, nothing is applied twice, and opening goes on.
"""
import contextlib
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import patroni  # noqa: E402
import postgres  # noqa: E402
from nodes import Kms, Nodes, Opener, RemoteException, Writer, check_key, is_unknown  # noqa: E402
from postgres import wait_for  # noqa: E402


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
    assert not any(opener.errors for opener in others), "opening must go on without an error"


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
        # If each waited for as long as a lease lasts, these would take half as long again as there is time for them.
        more_than_now(writers[1:], 40)
        victim.start()
        wait_for(lambda: state_of(other, "node-1") == "approved", "member that is back")
        # It writes again, so it has a lease; and the others wait for it, so what one makes it knows.
        more_than_now(writers + openers)
        assert item(other, "member node-1") is None
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


def all_databases_are_gone(nodes, cluster):
    """Nothing can be written, and what is known is opened; the client is told so."""
    with load(nodes, 300) as (writers, openers):
        cluster.kill_all()
        more_than_now(openers, 200)
    assert not any(opener.errors for opener in openers)
    print(f"all databases gone: {sum(opener.done() for opener in openers)} opened, no error, longest pause "
          f"{max(opener.pause_ms() for opener in openers)} ms; writers were told so {sum(len(w.errors) for w in writers)} "
          "times", flush=True)


def a_node_comes_back_without_databases(nodes):
    """It opens from its copy, says how old that is, and an operator may let it open for longer."""
    node = nodes[0]
    kms = Kms(nodes[1])
    edek = kms.generate("opened-300")[0]
    dek = kms.decrypt(edek)
    kms.close()
    node.stop()
    node.start()
    kms = Kms(node)
    assert kms.decrypt(edek) == dek
    kms.close()
    lease = next(item for item in node.admin("GET", "/api/v1/status")[1]["items"] if item["item"] == "lease")
    assert lease["light"] == "amber" and lease["text"].startswith("none for"), lease
    assert "for so long" in node.run("node", "serve-stale", "--for", "1h")
    print("a node restarted with all databases gone: it opens, and says that it has no lease", flush=True)


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
            all_databases_are_gone(nodes, cluster)
            a_node_comes_back_without_databases(nodes)


if __name__ == "__main__":
    lacking = patroni.missing()
    if lacking is not None:
        print(f"skipped: {lacking} is not installed; see tests/deps")
        sys.exit(77)
    two_nodes_on_one_server()
    three_nodes_under_patroni()
