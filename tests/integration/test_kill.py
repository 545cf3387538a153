#!/usr/bin/env python3
"""kill -9 at random moments during mixed writes: what was acknowledged is there, whole, and opens."""
import http.client
import os
import random
import sys
import threading
import time
import unittest

from kms import Kms, RemoteException
from node import Node

ROUNDS = 2000 if os.environ.get("HOLDFAST_LONG") else 100
WRITERS = 4
GONE = (OSError, http.client.HTTPException)


class Key:
    """What one writer knows of one key; only acknowledged facts, and what may have happened beside them."""

    def __init__(self, name):
        self.name = name
        self.versions = 0  # acknowledged
        self.maybe = 0  # more that may have been committed without an answer
        self.deleted = False
        self.maybe_deleted = None  # the state an unanswered delete or undelete may have left
        self.edeks = {}  # version name -> (edek, dek)


class Writer(threading.Thread):
    def __init__(self, node, keys, seed):
        super().__init__()
        self.node, self.keys, self.random = node, keys, random.Random(seed)
        self.failure = None
        self.done = 0

    def run(self):
        kms = None
        try:
            kms = Kms(self.node)
            while True:
                self.step(kms)
                self.done += 1
        except GONE:
            pass
        except Exception as error:  # pylint: disable=broad-except
            self.failure = error
        if kms is not None:
            kms.close()

    def step(self, kms):
        live = [key for key in self.keys if key.versions and not key.deleted]
        dice = self.random.random()
        if not live or dice < 0.3:
            self.create(kms)
        elif dice < 0.6:
            self.roll(kms, self.random.choice(live))
        elif dice < 0.7:
            self.delete(kms, self.random.choice(live))
        else:
            self.use(kms, self.random.choice(live))

    def create(self, kms):
        key = Key(f"key-{self.random.getrandbits(64):016x}")
        self.keys.append(key)
        key.maybe = 1
        made = kms.create(key.name, length=256)
        assert made["versionName"] == f"{key.name}@0", made
        key.versions, key.maybe = 1, 0

    def roll(self, kms, key):
        key.maybe = 1
        rolled = kms.roll(key.name)
        assert rolled["versionName"] == f"{key.name}@{key.versions}", rolled
        key.versions, key.maybe = key.versions + 1, 0

    def delete(self, kms, key):
        key.maybe_deleted = True
        kms.delete(key.name)
        key.deleted, key.maybe_deleted = True, False
        kms.call("POST", f"trustee/key/{key.name}?trusteeOp=undelete")
        key.deleted, key.maybe_deleted = False, None

    def use(self, kms, key):
        edek = kms.generate(key.name)[0]
        assert edek["versionName"] == f"{key.name}@{key.versions - 1}", "generate lags behind an acknowledged roll"
        key.edeks.setdefault(edek["versionName"], (edek, kms.decrypt(edek)))


def check(kms, key):
    """The key after the crash, against what was acknowledged; what may have happened becomes what has."""
    metadata = kms.metadata(key.name)
    gone = not metadata
    if key.maybe_deleted is not None and gone:
        kms.call("POST", f"trustee/key/{key.name}?trusteeOp=undelete")
        metadata, gone = kms.metadata(key.name), False
    key.deleted, key.maybe_deleted = False, None
    if gone:
        assert key.versions == 0, f"{key.name} was acknowledged and is lost"
        return
    assert key.versions <= metadata["versions"] <= key.versions + key.maybe, (key.name, key.versions, metadata)
    key.versions, key.maybe = metadata["versions"], 0
    edek = kms.generate(key.name)[0]
    assert edek["versionName"] == f"{key.name}@{key.versions - 1}", (edek, key.versions)
    kms.decrypt(edek)
    for name, (old, dek) in key.edeks.items():
        assert kms.decrypt(old) == dek, f"{name} no longer opens what it has wrapped"


class Kill(unittest.TestCase):
    def test_nothing_acknowledged_is_lost(self):
        seed = int(os.environ.get("HOLDFAST_SEED", random.getrandbits(32)))
        print(f"seed {seed}", file=sys.stderr)
        rolls = random.Random(seed)
        keys = [[] for _ in range(WRITERS)]
        killed_at_work = 0
        began = time.monotonic()
        with Node() as node:
            # Else a roll soon after a restart is taken for a repeat of the one before the crash.
            node.configure('hadoop_keyring = "hadoop"', 'hadoop_keyring = "hadoop"\n    hadoop_retry_window = 0')
            node.start()
            for round_number in range(ROUNDS):
                writers = [Writer(node, keys[i], rolls.getrandbits(32)) for i in range(WRITERS)]
                for writer in writers:
                    writer.start()
                time.sleep(rolls.uniform(0.01, 0.25))  # the moment of the crash
                node.kill()
                for writer in writers:
                    writer.join()
                    self.assertIsNone(writer.failure, f"round {round_number}")
                killed_at_work += any(writer.done for writer in writers)
                node.start()
                kms = Kms(node)
                for own in keys:
                    unsure = [key for key in own if key.maybe or key.maybe_deleted is not None]
                    for key in dict.fromkeys(own[-4:] + unsure + rolls.sample(own, min(4, len(own)))):
                        check(kms, key)
                    own[:] = [key for key in own if key.versions]
                kms.close()
            kms = Kms(node)
            for own in keys:
                for key in own:
                    check(kms, key)
            kms.close()
            self.assertEqual(node.stop(), 0)
            self.assertIn("The chain is whole", node.run("audit", "verify"))
        versions = sum(key.versions for own in keys for key in own)
        print(f"{ROUNDS} kills, {killed_at_work} of them at work; {sum(map(len, keys))} keys with {versions} versions "
              f"were acknowledged, and all are there: {time.monotonic() - began:.0f} s", file=sys.stderr)
        self.assertGreater(killed_at_work, ROUNDS / 2, "most kills must hit a node at work")


if __name__ == "__main__":
    unittest.main()
