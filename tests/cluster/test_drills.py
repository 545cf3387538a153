#!/usr/bin/env python3
"""
Three nodes on one PostgreSQL: a drill is signed by all of them, one that is stopped is named and never green, any of them
ends it and shows it; what would be lost with a site is told; and a job goes on when the node that does it is killed, with
nothing done twice.
"""
import json
import pathlib
import re
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import postgres  # noqa: E402
from nodes import Nodes  # noqa: E402
from node import PROGRAM  # noqa: E402, after nodes, which says where it is
from postgres import wait_for  # noqa: E402

GREEN, AMBER, RED, UNKNOWN = 0, 9, 8, 4
SITES = ("east", "west", "west")
KEYS = 60


def names(nodes):
    return [f"node-{at + 1}" for at in range(len(nodes))]


def answers(receipt):
    return {node["node"]: node["result"] for node in receipt["drill"]["nodes"]}


def is_quiet(node):
    """No drill runs, and the nodes whose proofs are too old have had theirs."""
    drills = node.admin("GET", "/api/v1/drill")[1]["drills"]
    text = node.admin("GET", "/api/v1/drill/last")[1] if drills else {"state": "none"}
    return text["state"] == "ended" and len(text["nodes"]) == 3 and text["silent"] == 0


def wait_until_quiet(nodes):
    """Each new node asks for a drill, since it has no proofs."""
    for node in nodes.members:
        wait_for(lambda: is_quiet(node), "end of the first drills", 60)


def drill(node, *words, code=GREEN):
    return json.loads(node.run("--json", "drill", *words, code=code))


def verify(node, file, trusted, code=0):
    options = [word for other in trusted for word in ("--trust", other.dir / "audit.pub")]
    said = node.run("--json", "drill", "verify", file, *options, code=code)
    return {(who["node"], who["signed"]): who["trusted"] for who in json.loads(said)["signers"]} if code == 0 else None


def all_nodes_answer_and_sign(nodes):
    file = nodes[0].base / "receipt.json"
    receipt = drill(nodes[0], "--receipt", file)
    assert receipt["drill"]["light"] == "green", receipt["drill"]
    assert answers(receipt) == dict.fromkeys(names(nodes), "answered"), answers(receipt)
    assert {cell["node"] for cell in receipt["drill"]["cells"] if cell["now"]} == set(names(nodes))
    signers = verify(nodes[1], file, nodes.members)
    assert len(signers) == 4 and all(signers.values()), signers
    at = names(nodes).index(receipt["drill"]["ended_on"])
    signers = verify(nodes[1], file, [nodes[at]])
    assert sum(signers.values()) == 2, signers
    verify(nodes[1], file, [nodes[(at + 1) % 3]], code=7)
    # Another node shows the same, and lists it.
    drill_id = receipt["drill"]["id"]
    wait_for(lambda: any(one["id"] == drill_id for one in nodes[2].admin("GET", "/api/v1/drill")[1]["drills"]), "drill", 10)
    assert json.loads(nodes[2].run("--json", "drill", "show", drill_id)) == receipt
    print("three nodes answered, signed, and were verified", flush=True)


def a_keyring_wants_more_ways_than_there_are(nodes):
    """What the keyring says is amber on every node; what the nodes are configured to want is green."""
    nodes[1].run("keyring", "create", "precious", "--min-ways", "4")
    nodes[1].run("key", "create", "precious/ring")
    nodes[1].run("keyring", "create", "common")
    nodes[1].run("key", "create", "common/everywhere")
    for node in nodes.members:
        receipt = drill(node, code=AMBER)
        assert receipt["drill"]["light"] == "amber", receipt["drill"]
        wants = {ring["keyring"]: (ring["ways"], ring["wanted"]) for ring in receipt["drill"]["keyrings"]}
        assert wants == {"common": (3, 1), "precious": (3, 4)}, wants
        wait_until_known(nodes, receipt)
        receipt = drill(node, "--keyring", "common")
        assert receipt["drill"]["light"] == "green", receipt["drill"]
        wait_until_known(nodes, receipt)
    for node in nodes.members:
        assert proofs(node)["light"] == "amber", proofs(node)
        assert "keyring precious open in 3 independent ways" in proofs(node)["text"], proofs(node)
    nodes[2].run("keyring", "change", "precious", "--min-ways", "3")
    for node in nodes.members:
        assert proofs(node)["light"] == "green", proofs(node)
    assert drill(nodes[0])["drill"]["light"] == "green"
    print("a keyring that wants more ways was amber on all nodes", flush=True)


def wait_until_known(nodes, receipt):
    """Every node knows that the drill has ended; one that does not would refuse the next."""
    def is_known(node):
        last = node.admin("GET", "/api/v1/drill/last")[1]
        return last["id"] == receipt["drill"]["id"] and last["state"] == "ended"
    for node in nodes.members:
        wait_for(lambda: is_known(node), "end of the drill on every node", 30)


def proofs(node):
    """What the status says of them."""
    return next(item for item in node.admin("GET", "/api/v1/status")[1]["items"] if item["item"] == "proofs")


def losses(node, *words, code):
    """By keyring how many versions nobody could read, and how many only with a person's help."""
    answer = json.loads(node.run("--json", "what-if", *words, code=code))
    return {ring["keyring"]: (ring["unreadable"], ring["people_only"]) for ring in answer["keyrings"]}, answer["opens"]


def min_cut(node, *words):
    answer = json.loads(node.run("--json", "what-if", "--min-cut", *words))
    return answer["weakest"], set(answer["ends"]), set(answer["needs_people_after"])


def a_site_that_is_lost_is_told_of(nodes):
    """Two nodes are in the west; one keyring is served by those only."""
    nodes[0].run("keyring", "create", "western", "--serve-on", "node-2,node-3")
    nodes[1].run("key", "create", "western/saddle")
    receipt = drill(nodes[0])
    cells = {(cell["node"], cell["site"]) for cell in receipt["drill"]["cells"] if cell["now"]}
    assert cells == set(zip(names(nodes), SITES)), cells
    asked = {(node["node"], node["site"]) for node in receipt["drill"]["nodes"]}
    assert asked == set(zip(names(nodes), SITES)), asked
    said = nodes[0].run("drill", "show")
    for name, site in zip(names(nodes), SITES):
        assert re.search(rf"(?m)^{name} +{site} +\S+ +opened ", said), said
    versions = {ring["keyring"]: ring["versions"] for ring in receipt["drill"]["keyrings"]}
    assert versions["western"] == 1 and versions["common"] >= 1, versions
    wait_until_known(nodes, receipt)
    for node in nodes.members:
        lost, opens = losses(node, "--lose", "site:west", code=RED)
        assert lost["western"] == (1, 0) and lost["common"] == (0, 0) and opens, (lost, opens)
        assert re.search(r"(?m)^western +1 +1 +0$", node.run("what-if", "--lose", "site:west", code=RED))
        lost, opens = losses(node, "--lose", "site:east", code=GREEN)
        assert set(lost.values()) == {(0, 0)} and opens, (lost, opens)
        lost, opens = losses(node, "--lose", "node:node-2", code=GREEN)
        assert set(lost.values()) == {(0, 0)} and opens, (lost, opens)
        lost, opens = losses(node, "--lose", "site:east", "--lose", "site:west", code=RED)
        assert lost["common"] == (versions["common"], 0) and not opens, (lost, opens)
        node.run("what-if", "--lose", "site:north", code=UNKNOWN)
        # One loss ends what is served in the west only; all else takes the node in the east with it.
        assert min_cut(node, "western/saddle")[1:] == ({"site:west"}, {"site:west"}), min_cut(node, "western/saddle")
        assert min_cut(node) == ("western", {"site:west"}, {"site:west"}), min_cut(node)
        for cut in min_cut(node, "common/everywhere")[1:]:
            assert len(cut) == 2 and "site:west" in cut, cut
    print("what would be lost with a site was told on all nodes", flush=True)


def failed_records(receipt):
    return {(one["record"], one["cause"]) for one in receipt["drill"]["failed"]}


def what_is_altered_in_the_database_after_it_was_copied_is_found(nodes, server):
    """SQL changes the row itself, past the change log that copies follow."""
    for node in nodes.members:
        wait_for(lambda: node.admin("GET", "/health/ready", quiet=True)[0] == 200, "ready node", 60)
    status, body = nodes[0].admin("POST", "/api/v1/keyrings/hadoop/keys", {"name": "copied"})
    assert status == 201, body
    assert drill(nodes[0])["drill"]["light"] == "green"
    path = "version/hadoop/copied/0000000001"
    where = f"path = convert_to('{path}', 'UTF8')"
    cases = [
        ("altered", f"UPDATE record SET body = set_byte(body, 20, get_byte(body, 20) # 1) WHERE {where}"),
        ("removed", f"DELETE FROM record WHERE {where}"),
    ]
    server.sql("CREATE SCHEMA aside; CREATE TABLE aside.kept AS SELECT * FROM record")
    for says, change in cases:
        server.sql(change)
        receipt = drill(nodes[0], code=RED)
        assert receipt["drill"]["light"] == "red", says
        assert failed_records(receipt) == {(path, "altered")}, (says, receipt["drill"]["failed"])
        assert all("shared store" in cell["text"] for cell in receipt["drill"]["cells"] if cell["now"]), says
        server.sql(f"DELETE FROM record WHERE {where};"
                   f"INSERT INTO record SELECT * FROM aside.kept WHERE {where}")
        assert drill(nodes[0])["drill"]["light"] == "green", says
    print("what was altered or removed in the database was found and named", flush=True)


def a_stopped_node_is_silent(nodes):
    nodes[2].process.send_signal(signal.SIGSTOP)
    try:
        begun = time.monotonic()
        receipt = drill(nodes[0], "--wait", "4s", code=AMBER)
        took = time.monotonic() - begun
    finally:
        nodes[2].process.send_signal(signal.SIGCONT)
    assert receipt["drill"]["light"] == "amber"
    assert answers(receipt) == {"node-1": "answered", "node-2": "answered", "node-3": "silent"}, answers(receipt)
    assert took >= 4, "it did not wait"
    wait_for(lambda: nodes[2].admin("GET", "/health/ready", quiet=True)[0] == 200, "third node", 60)
    receipt = drill(nodes[0])
    assert answers(receipt)["node-3"] == "answered"
    print(f"a stopped node was silent, after {took:.1f} s", flush=True)


def the_node_that_was_asked_is_killed(nodes):
    status, asked = nodes[0].admin("POST", "/api/v1/drill", {"wait_ms": 4000})
    assert status == 202, (status, asked)
    nodes[0].kill()
    wait_for(lambda: nodes[1].admin("GET", f"/api/v1/drill/{asked['id']}")[0] == 200, "drill on another node", 10)
    said = subprocess.run([str(PROGRAM), "--dir", str(nodes[1].dir), "--json", "drill", "show", asked["id"]],
                          capture_output=True, timeout=60, check=False)
    receipt = json.loads(said.stdout)
    found = answers(receipt)
    assert found["node-2"] == found["node-3"] == "answered", found
    # It may have ended its part before it was killed.
    assert (said.returncode, receipt["drill"]["light"]) in ((AMBER, "amber"), (GREEN, "green")), receipt["drill"]
    assert (found["node-1"] == "silent") == (said.returncode == AMBER), found
    nodes[0].start()
    print(f"the node that was asked was killed: it was {found['node-1']}, and the drill ended", flush=True)


def job(node, name):
    status, body = node.admin("GET", "/api/v1/jobs", quiet=True)
    return next(one for one in body["jobs"] if one["name"] == name) if status == 200 else None


def rewrapped(node):
    """How often the trail of that node says that each key was moved."""
    counts = {}
    for line in (node.dir / "audit/audit.log").read_text().splitlines():
        if '"operation":"key.rewrap"' in line and '"outcome":"ok"' in line:
            key = json.loads(line)["key"]
            counts[key] = counts.get(key, 0) + 1
    return counts


def catch(node, before, seconds=10):
    """The job while it is in the middle; None when it was over before it was seen. before: as it was before it began."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = job(node, "rewrap")
        if found["state"] == "runs" and 3 <= found["done"] < KEYS - 3:
            return found
        if found["state"] == "rests" and found["ended"] != before["ended"] and found["done"] >= KEYS:
            return None
    raise AssertionError(f"no job within {seconds} s: {job(node, 'rewrap')}")


def rotate_until_caught(nodes):
    """The job, and how often the keyring key was rotated until it was seen at work."""
    for times in range(1, 20):
        before = job(nodes[1], "rewrap")
        status, body = nodes[1].admin("POST", "/api/v1/keyrings/hadoop/rotate", {})
        assert status == 200, body
        found = catch(nodes[1], before)
        if found:
            return found, times
    raise AssertionError("the job is never seen at work")


def a_job_goes_on_when_its_node_is_killed(nodes):
    for at in range(KEYS):
        status, body = nodes[0].admin("POST", "/api/v1/keyrings/hadoop/keys", {"name": f"moved-{at:03}"})
        assert status == 201, body
    found, times = rotate_until_caught(nodes)
    victim = nodes[names(nodes).index(found["node"])]
    victim.kill()
    killed = time.monotonic()
    others = [node for node in nodes.members if node is not victim]

    def over():
        now = job(others[0], "rewrap")
        return now if now["state"] == "rests" and now["ended"] and now["node"] != found["node"] else None
    ended = wait_for(over, "end of the job on another node", 60)
    took = time.monotonic() - killed
    assert ended["done"] > 0 and ended["text"] == "", ended

    def all_told():
        counts = rewrapped(others[0])
        return counts if sum(counts.values()) >= times * KEYS else None
    counts = wait_for(all_told, "lines of all keys in the trail", 30)
    assert len(counts) == KEYS and set(counts.values()) == {times}, (times, counts)
    victim.start()
    print(f"{found['node']} was killed after {found['done']} of {KEYS} keys; {ended['node']} moved the rest, "
          f"all once; it took {took:.1f} s", flush=True)


def main():
    with postgres.Server() as server:
        server.start()
        server.make_database()
        with Nodes(3, [server.port], synchronous=0, sites=SITES) as nodes:
            wait_until_quiet(nodes)
            all_nodes_answer_and_sign(nodes)
            a_keyring_wants_more_ways_than_there_are(nodes)
            a_site_that_is_lost_is_told_of(nodes)
            a_stopped_node_is_silent(nodes)
            the_node_that_was_asked_is_killed(nodes)
            a_job_goes_on_when_its_node_is_killed(nodes)
            what_is_altered_in_the_database_after_it_was_copied_is_found(nodes, server)


if __name__ == "__main__":
    if postgres.binaries() is None:
        print("skipped: PostgreSQL is not installed; see tests/deps")
        sys.exit(77)
    main()
