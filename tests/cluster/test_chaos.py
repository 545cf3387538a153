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
import shutil
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import chaos  # noqa: E402
import patroni  # noqa: E402
from clients import (Admin, Book, Generator, Opener, Reader, Revoker, Writer, failed, longest_call_ms,  # noqa: E402
                     longest_gap_ms)
from history import OK, UNKNOWN, History, check, counts  # noqa: E402
from nodes import Kms, Nodes  # noqa: E402
from postgres import wait_for  # noqa: E402

SEED = int(os.environ.get("HOLDFAST_SEED") or random.getrandbits(32))
LONG = bool(os.environ.get("HOLDFAST_LONG"))
SECONDS = int(os.environ.get("HOLDFAST_SECONDS") or (1800 if LONG else 0))
KEEP = pathlib.Path(os.environ.get("HOLDFAST_KEEP") or os.environ["HOLDFAST_BUILD"])
NAMES = ("n1", "n2", "n3")
WRITES, OPENS, GENERATES = ("create", "roll"), ("open",), ("generate",)


class Load:
    """All clients of a run."""

    def __init__(self, book, seed):
        def more(at):
            return {"seed": seed + at, "at": at}
        self.shared = [f"shared-{number}" for number in range(6)]
        kms = Kms(book.nodes[0])
        for name in self.shared:
            began = time.monotonic()
            version = int(kms.create(name)["versionName"].rpartition("@")[2])
            book.history.add("first", "n1", "create", name, began, end=time.monotonic(), outcome=OK, version=version)
            book.keys.append(name)
        kms.close()
        self.writers = [Writer(book, f"writer-{at}", shared=self.shared, contested="x", pause=0.03, **more(at))
                        for at in range(3)]
        self.generators = [Generator(book, f"generator-{at}", pause=0.02, **more(10 + at)) for at in range(2)]
        self.openers = [Opener(book, f"opener-{at}", pause=0.02, **more(20 + at)) for at in range(2)]
        for writer in self.writers:
            book.nodes[0].run("policy", "grant", "--who", f"pseudo:{writer.user}", "--role", "key-user", "--role", "key-admin")
        # Bound to one node each: what that node does without the others' help.
        self.bound = [Opener(book, f"bound-{at}", bound=True, pause=0.05, **more(30 + at)) for at in range(3)]
        self.readers = [Reader(book, "reader", pause=0.02, **more(40))]
        self.revokers = [Revoker(book, "revoker", key="revoked", pause=0.2, **more(50))]

    def all(self):
        return [*self.writers, *self.generators, *self.openers, *self.bound, *self.readers, *self.revokers]

    def start(self):
        for client in self.all():
            client.start()

    def stop(self):
        for client in self.all():
            client.stopping.set()
        for client in self.all():
            client.stop()

    def is_alive(self):
        return not any(client.failure for client in self.all())

    def goes_on(self):
        """Each roaming client has been answered again, so that a fault does not hide behind the next one."""
        roaming = [*self.writers, *self.generators, *self.openers]
        now = [len(client.calls) for client in roaming]
        wait_for(lambda: not self.is_alive() or all(len(client.calls) > before + 2 for client, before in zip(roaming, now)),
                 "answers after the fault", 60)


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
        load.goes_on()
        if not load.is_alive() or (SECONDS and time.monotonic() > end):
            break
    return done


def put_back(book):
    """The key that was deleted and restored all the time is there in the end."""
    for at in range(len(book.nodes)):
        last = Revoker(book, "last", seed=at, at=at, bound=True, key="revoked")
        last.change("restore")
        last.close()


def look_everywhere(book):
    """What each node holds in the end, and whether it opens all that was ever handed out."""
    history = book.history
    keys = list(history.by_key())
    for at, name in enumerate(NAMES):
        opener = Opener(book, f"last-{name}", seed=at, at=at, bound=True)
        for item in list(book.edeks):
            opener.open(item, last=True)
        opener.close()
        admin = Admin(book.nodes[at], 30)
        for key in keys:
            history.see(name, key, admin.values(key))
        admin.close()


def report(book, load, faults):
    table = counts(book.history)
    rows = [f"{kind} {outcomes[OK]}" + "".join(f", {outcomes[outcome]} {outcome}" for outcome in ("fail", UNKNOWN, "stale")
                                               if outcomes[outcome]) for kind, outcomes in sorted(table.items())]
    print(f"{len(book.history.operations)} operations ({'; '.join(rows)}), {len(book.history.by_key())} keys, "
          f"{len(book.edeks)} wrapped data keys")
    for what, clients, kinds in (("opens", load.openers, OPENS), ("data keys", load.generators, GENERATES),
                                 ("writes", load.writers, WRITES)):
        print(f"{what}: no answer for {longest_gap_ms(clients, kinds)} ms at most, one call took "
              f"{longest_call_ms(clients, kinds)} ms at most, {len(failed(clients, kinds))} calls failed")
    print(f"{len(faults)} faults: {'; '.join(faults)}", flush=True)


def run(nodes, cluster):
    rolls = random.Random(SEED)
    history = History()
    book = Book(history, nodes)
    scene = chaos.Scene(cluster, nodes)
    scene.short = not SECONDS
    try:
        load = Load(book, SEED)
        load.start()
        wait_for(lambda: not load.is_alive() or all(len(client.calls) > 5 for client in load.all()), "load", 60)
        try:
            faults = break_things(scene, load, rolls)
        finally:
            load.stop()
        scene.wait_until_whole()
        put_back(book)
        look_everywhere(book)
        report(book, load, faults)
        found = check(history, NAMES)
        for rule in sorted({violation.rule for violation in found}):
            of_rule = [violation for violation in found if violation.rule == rule]
            print(f"{len(of_rule)} violations of {rule}, among them", *of_rule[:5], sep="\n  ")
        assert not found, f"{len(found)} violations of {sorted({violation.rule for violation in found})}"
        # Some must have been in doubt: else the faults did not meet the load.
        assert any(operation.outcome == UNKNOWN for operation in history.operations), "no operation was in doubt"
        for client in (*load.openers, *load.generators):
            for call in failed([client], (*OPENS, *GENERATES)):
                raise AssertionError(f"{client.name} has failed: {call.kind}, {call.attempts} attempts: {call.why}")
        for node in nodes.members:
            assert node.stop() == 0
            assert "The chain is whole" in node.run("audit", "verify")
    except BaseException:
        path = KEEP / f"chaos-{SEED}.jsonl"
        history.save(path)
        print(f"seed {SEED}; the history is in {path}", flush=True)
        for at, node in enumerate(nodes.members):
            (KEEP / f"chaos-{SEED}-node-{at + 1}.log").write_text(node.log_text())
        for log in cluster.base.glob("*.log"):
            shutil.copy(log, KEEP / f"chaos-{SEED}-{log.name}")
        raise


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
