#!/usr/bin/env python3
"""
Three nodes on three database hosts and three etcd, under mixed load, broken in random order under a seed. What clients saw is
written down and checked: nothing acknowledged is lost or applied twice, no number used twice, no data key with an old version
after an acknowledged roll on a node with a lease, one order of operations for each key; and no open and no data key fails.

    HOLDFAST_LONG=1     30 minutes with every kind of fault, instead of five faults
    HOLDFAST_SECONDS=n  that long instead
    HOLDFAST_SEED=n     the same faults and the same choices of the clients; the seed is printed
    HOLDFAST_KEEP=DIR   where the history is kept when the run fails; default: the build
"""
import os
import pathlib
import random
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import chaos  # noqa: E402
import patroni  # noqa: E402
from history import UNKNOWN  # noqa: E402
from mix import Load, kept  # noqa: E402
from nodes import Nodes  # noqa: E402

SEED = int(os.environ.get("HOLDFAST_SEED") or random.getrandbits(32))
LONG = bool(os.environ.get("HOLDFAST_LONG"))
SECONDS = int(os.environ.get("HOLDFAST_SECONDS") or (1800 if LONG else 0))


def say(text):
    print(f"  {time.monotonic() - say.began:7.1f} s  {text}", flush=True)


say.began = time.monotonic()


def break_things(scene, load, rolls):
    """Gives the names of the faults."""
    done = []
    end = time.monotonic() + SECONDS
    few = list(chaos.FEW)
    rolls.shuffle(few)
    plan = chaos.pairs(rolls) if SECONDS else iter([(kind,) for kind in few])
    for kinds in plan:
        done += chaos.inflict(scene, rolls, kinds, say)
        load.go_on()
        if not load.is_alive() or (SECONDS and time.monotonic() > end):
            break
    return done


def run(nodes, cluster, other=None):
    """other: one more client, of another kind, that takes what it saw into the history when it is stopped."""
    rolls = random.Random(SEED)
    scene = chaos.Scene(cluster, nodes, short=not SECONDS)
    load = Load(nodes, SEED, named=0.5 if other is None else 1)
    with kept(load, nodes, f"chaos-{SEED}", cluster.base.glob("*.log")):
        load.start()
        try:
            faults = break_things(scene, load, rolls)
        finally:
            load.stop()
        scene.wait_until_whole()
        if other is not None:
            other.stop(load.book)
        load.look_everywhere()
        load.report()
        print(f"{len(faults)} faults: {'; '.join(faults)}", flush=True)
        load.check()
        # Some must have been in doubt: else the faults did not meet the load.
        assert any(operation.outcome == UNKNOWN for operation in load.book.history.operations), "no operation was in doubt"
        load.no_use_failed()
        if other is not None:
            other.report()
        for node in nodes.members:
            assert node.stop() == 0
            assert "The chain is whole" in node.run("audit", "verify")


if __name__ == "__main__":
    lacking = patroni.missing()
    if lacking is not None:
        print(f"skipped: {lacking} is not installed; see tests/deps")
        sys.exit(77)
    print(f"seed {SEED}", flush=True)
    with patroni.Cluster(etcds=3) as three:
        three.start()
        with Nodes(3, [member.port for member in three.members], synchronous=1) as members:
            run(members, three)
