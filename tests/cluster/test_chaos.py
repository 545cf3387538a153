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

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import chaos  # noqa: E402
import patroni  # noqa: E402
from history import UNKNOWN  # noqa: E402
from mix import Load, kept  # noqa: E402
from nodes import Nodes  # noqa: E402

def run(nodes, cluster, other=None):
    """other: one more client, of another kind, that takes what it saw into the history when it is stopped."""
    rolls = random.Random(chaos.SEED)
    scene = chaos.Scene(cluster, nodes)
    load = Load(nodes, chaos.SEED, named=0.5 if other is None else 1)
    with kept(load, nodes, f"chaos-{chaos.SEED}", cluster.base.glob("*.log")):
        load.start()
        try:
            faults = chaos.break_things(scene, load, rolls, chaos.ALL, chaos.FEW)
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
        load.check_trails()


if __name__ == "__main__":
    lacking = patroni.missing()
    if lacking is not None:
        print(f"skipped: {lacking} is not installed; see tests/deps")
        sys.exit(77)
    print(f"seed {chaos.SEED}", flush=True)
    with patroni.Cluster(etcds=3) as three:
        three.start()
        with Nodes(3, [member.port for member in three.members], synchronous=1) as members:
            run(members, three)
