#!/usr/bin/env python3
"""
A rolling upgrade under load: three nodes of an older build on one store, replaced one by one by this build, and one taken back
in between. Clients see no failure of an open or a data key, and every rule of history.py holds.

There is no release yet, so the older build is the commit named below: the first one in which every node is a member, holds a
lease, and proves a version's birth. A store whose nodes are older than that has no such way: its first node has to join first.

    HOLDFAST_OLD=DIR  a build directory of the older one; without it HOLDFAST_LONG=1 makes one from the repository
"""
import os
import pathlib
import random
import subprocess
import sys
import tarfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import nodes as nodes_module  # noqa: E402
import node as node_module  # noqa: E402
import postgres  # noqa: E402
from mix import Load, kept  # noqa: E402

OLDER = "e4c44da"
OURS = node_module.DAEMON
SEED = int(os.environ.get("HOLDFAST_SEED") or random.getrandbits(30))


def build_older(into):
    """The daemon and the program of that commit; gives the build directory."""
    source, build = into / f"older-{OLDER}", into / f"older-{OLDER}-build"
    if not (build / "src/daemon/holdfastd").exists():
        source.mkdir(parents=True, exist_ok=True)
        archive = subprocess.run(["git", "-C", ROOT, "archive", OLDER], capture_output=True, check=True)
        (into / "older.tar").write_bytes(archive.stdout)
        with tarfile.open(into / "older.tar") as tar:
            tar.extractall(source)
        subprocess.run(["meson", "setup", build, source, "-Dtests=false"], check=True, capture_output=True)
        subprocess.run(["ninja", "-C", build, "src/daemon/holdfastd", "src/cli/holdfast"], check=True, capture_output=True)
    return build


def older():
    given = os.environ.get("HOLDFAST_OLD")
    if given:
        return pathlib.Path(given)
    return build_older(pathlib.Path(os.environ["HOLDFAST_BUILD"])) if os.environ.get("HOLDFAST_LONG") else None


def run_as(node, build):
    """The build's daemon in the place of ours from the next start on."""
    node.prefix = [] if build is None else ["sh", "-c", f'shift; exec {build}/src/daemon/holdfastd "$@"', "sh"]


def version_of(node):
    """Which program serves."""
    return pathlib.Path(pathlib.Path(f"/proc/{node.process.pid}/cmdline").read_bytes().split(b"\0")[0].decode())


def replace(node, build):
    before = version_of(node)
    assert node.stop() == 0
    run_as(node, build)
    node.start()
    assert version_of(node) != before, "it is the same program"


def upgrade(nodes, build):
    load = Load(nodes, SEED, busy=0.5)
    with kept(load, nodes, f"upgrade-{SEED}"):
        load.start()
        try:
            for node, to in ((nodes[1], None), (nodes[2], None), (nodes[2], build), (nodes[0], None), (nodes[2], None)):
                replace(node, to)
                load.go_on(calls=10)
                print("nodes of this build: " + ", ".join(str(at + 1) for at, member in enumerate(nodes.members)
                                                          if version_of(member) == OURS), flush=True)
        finally:
            load.stop()
        load.look_everywhere()
        load.report()
        load.check()
        load.no_use_failed()


def main(build):
    with postgres.Server() as server:
        server.start()
        server.make_database()
        # The older program makes the store, and its daemons serve it.
        ours = OURS, node_module.PROGRAM
        node_module.DAEMON, node_module.PROGRAM = build / "src/daemon/holdfastd", build / "src/cli/holdfast"
        with nodes_module.Nodes(3, [server.port], synchronous=0) as nodes:
            node_module.DAEMON, node_module.PROGRAM = ours
            upgrade(nodes, build)


if __name__ == "__main__":
    if postgres.binaries() is None:
        print("skipped: PostgreSQL is not installed; see tests/deps")
        sys.exit(77)
    found_build = older()
    if found_build is None:
        print("skipped: no older build; HOLDFAST_LONG=1 makes one from the repository, HOLDFAST_OLD names one")
        sys.exit(77)
    print(f"seed {SEED}", flush=True)
    main(found_build)
