#!/usr/bin/env python3
"""
A rotation is in force everywhere when it is acknowledged: keys are rolled on one node in parallel, and the very next data key
from each other node has the new version, or comes from a node that says that it has no lease. Meanwhile a node is killed, one
is frozen, and both come back, again and again.

    HOLDFAST_LONG=1      10,000 rotations over 64 keys, instead of 400
    HOLDFAST_ROTATIONS=n so many
    HOLDFAST_SEED=n      the same choices
"""
import concurrent.futures
import os
import pathlib
import random
import signal
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import postgres  # noqa: E402
from chaos import freeze, is_gone  # noqa: E402
from clients import WRITE_TIMEOUT, Admin, Answer, Hadoop, number_of  # noqa: E402
from nodes import GONE, Nodes  # noqa: E402

SEED = int(os.environ.get("HOLDFAST_SEED") or random.getrandbits(30))
ROTATIONS = int(os.environ.get("HOLDFAST_ROTATIONS") or (10000 if os.environ.get("HOLDFAST_LONG") else 400))
KEYS, THREADS = 64, 16


class Worker:
    """Rolls keys of its own, so that it knows which version is the newest one."""

    def __init__(self, nodes, seed, keys):
        self.nodes, self.keys, self.random = nodes, keys, random.Random(seed)
        self.doors = {}
        self.newest = {}
        self.rotations = self.seen = self.stale = self.silent = self.repeated = 0
        self.slowest = 0.0

    def door(self, kind, at, timeout):
        if (kind, at) not in self.doors:
            self.doors[kind, at] = kind(self.nodes[at], timeout, "alice")
        return self.doors[kind, at]

    def drop(self, kind, at):
        if (kind, at) in self.doors:
            self.doors.pop((kind, at)).close()

    def write(self, kind, key):
        """Under one request id until a node answers; gives the version and the node that answered."""
        request, at = f"{self.random.getrandbits(128):032x}", self.random.randrange(len(self.nodes))
        end, last = time.monotonic() + 90, []
        while time.monotonic() < end:
            try:
                return getattr(self.door(Admin, at, WRITE_TIMEOUT), kind)(key, request), at
            except (*GONE, Answer) as error:
                if not isinstance(error, Answer):
                    self.drop(Admin, at)
                self.repeated += 1
                last = [*last[-5:], f"node {at + 1}: {error!r}"]
                at = (at + 1) % len(self.nodes)
                time.sleep(0.02)
        raise AssertionError(f"no answer to a {kind} of {key} in 90 s: {last}")

    def look(self, key, at, newest):
        """The very next data key of another node."""
        try:
            door = self.door(Hadoop, at, 1)
            version = number_of(door.generate(key))
        except (*GONE, Answer) as error:
            # Gone, or it cannot now; but a node that has a lease and does not know the key would be wrong.
            assert not (isinstance(error, Answer) and error.why and door.stale is None), f"{key} at node {at + 1}: {error}"
            if not isinstance(error, Answer):
                self.drop(Hadoop, at)
            self.silent += 1
            return
        if door.stale is not None:
            self.stale += 1
            return
        assert version == newest, f"{key}: {newest} was acknowledged, and node {at + 1} has wrapped with {version}"
        self.seen += 1

    def run(self, count, is_enough):
        """So many at least, and until that says so."""
        while self.rotations < count or not is_enough():
            key = self.random.choice(self.keys)
            began = time.monotonic()
            number, by = self.write("roll" if key in self.newest else "create", key)
            assert number == self.newest.get(key, 0) + 1, f"{key}: {number} after {self.newest.get(key)}"
            self.slowest = max(self.slowest, time.monotonic() - began)
            self.newest[key] = number
            self.rotations += 1
            for at in range(len(self.nodes)):
                if at != by:
                    self.look(key, at, number)


class Trouble(threading.Thread):
    """Nodes come and go."""

    def __init__(self, nodes, seed):
        super().__init__(daemon=True)
        self.nodes, self.random = nodes, random.Random(seed)
        self.stopping = threading.Event()
        self.kills = self.freezes = 0
        self.failure = None

    def has_come(self):
        """Of each kind; or there will be none any more."""
        return (self.kills and self.freezes) or self.failure is not None

    def run(self):
        try:
            while not self.stopping.wait(self.random.uniform(1, 4)):
                node = self.random.choice(self.nodes.members)
                if self.kills <= self.freezes:
                    pid = node.process.pid
                    node.kill()
                    assert is_gone(pid)
                    self.stopping.wait(self.random.uniform(0, 3))
                    node.start()
                    self.kills += 1
                else:
                    freeze([node.process.pid])
                    self.stopping.wait(self.random.choice([0.5, 1, 2, 3]))
                    node.process.send_signal(signal.SIGCONT)
                    self.freezes += 1
        except AssertionError as error:
            self.failure = error


def main():
    with postgres.Server() as server:
        server.start()
        server.make_database()
        with Nodes(3, [server.port], synchronous=0) as nodes:
            began = time.monotonic()
            trouble = Trouble(nodes, SEED)
            workers = [Worker(nodes, SEED + at, [f"key-{number}" for number in range(at, KEYS, THREADS)])
                       for at in range(THREADS)]
            trouble.start()
            with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
                try:
                    for done in [pool.submit(worker.run, ROTATIONS // THREADS, trouble.has_come) for worker in workers]:
                        done.result()
                finally:
                    trouble.stopping.set()
            trouble.join(90)
            assert trouble.failure is None, trouble.failure
            total = {name: sum(getattr(worker, name) for worker in workers)
                     for name in ("rotations", "seen", "stale", "silent", "repeated")}
            print(f"{total['rotations']} rotations over {KEYS} keys in {time.monotonic() - began:.0f} s, {THREADS} at once: the "
                  f"next data key of another node had the new version {total['seen']} times, an old one never; {total['stale']} "
                  f"were marked as without a lease, {total['silent']} had no answer; {total['repeated']} attempts at a rotation "
                  f"were repeated under their id, the slowest took {max(worker.slowest for worker in workers):.1f} s; nodes were "
                  f"killed {trouble.kills} times and frozen {trouble.freezes} times", flush=True)
            assert trouble.kills and trouble.freezes, "nothing has come and gone"
            assert total["seen"] > total["rotations"] / 2, "most looks must have told something"


if __name__ == "__main__":
    if postgres.binaries() is None:
        print("skipped: PostgreSQL is not installed; see tests/deps")
        sys.exit(77)
    print(f"seed {SEED}", flush=True)
    main()
