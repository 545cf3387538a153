#!/usr/bin/env python3
"""Slots come and go and the root rotates under a real node: it serves all the time, and a kill loses nothing."""
import random
import shutil
import sys
import threading
import time
import unittest

from kms import Kms
from node import Node, wait_for

KEYS = 300
KILLS = 12


class Reader(threading.Thread):
    """Opens data keys through the Hadoop door without a pause; every failure counts but a node that is down."""

    def __init__(self, node, edeks):
        super().__init__(daemon=True)
        self.node, self.edeks = node, edeks
        self.stop, self.opened, self.failure = False, 0, None

    def run(self):
        kms = Kms(self.node)
        try:
            while not self.stop:
                edek, dek = random.choice(self.edeks)
                if kms.decrypt(edek) != dek:
                    raise AssertionError("another data key came out")
                self.opened += 1
        except Exception as error:  # pylint: disable=broad-except
            self.failure = error
        finally:
            kms.close()

    def finish(self):
        self.stop = True
        self.join(60)
        if self.failure:
            raise self.failure
        return self.opened


class Rotation(unittest.TestCase):
    def setUp(self):
        self.node = Node()
        self.addCleanup(self.node.close)
        self.node.start()
        kms = Kms(self.node)
        self.edeks = []
        for number in range(KEYS):
            kms.create(f"key-{number}", length=128)
        for number in range(0, KEYS, 10):
            edek = kms.generate(f"key-{number}")[0]
            self.edeks.append((edek, kms.decrypt(edek)))
        kms.close()

    def settled(self, generation):
        def look():
            root = self.node.run_json("root", "status")
            return not root["moving"] and root
        root = wait_for(look, "end of the rotation", 60)
        self.assertEqual((root["generation"], root["stuck"]), (generation, 0))
        return root

    def slots(self):
        return {slot["name"]: slot for slot in self.node.run_json("slot", "list")["slots"]}

    def passphrase(self):
        return (self.node.dir / "offline/passphrase").read_bytes()

    def check(self):
        kms = Kms(self.node)
        for edek, dek in self.edeks:
            self.assertEqual(kms.decrypt(edek), dek)
        kms.close()

    def test_the_root_rotates_while_keys_are_opened(self):
        readers = [Reader(self.node, self.edeks) for _ in range(3)]
        for reader in readers:
            reader.start()
        said = self.node.run("root", "rotate")
        self.assertIn("Root 2 is in force and sealed to every slot", said)
        root = self.settled(2)
        self.assertGreater(root["moved"], KEYS)
        self.node.run("key", "create", "hadoop/after")
        for reader in readers:
            self.assertGreater(reader.finish(), 10)
        # The node's own slot is proven by itself; the offline one waits for a person, and everybody says so.
        wait_for(lambda: self.slots()["node-1"]["proven_generation"] == 2, "proof of the node's slot")
        self.assertEqual(self.slots()["offline"]["proven_generation"], 1)
        self.assertIn("offline is not proven since root 2: holdfast slot test 'offline'", self.node.run("slot", "list"))
        self.assertRegex(self.node.run("status"), "(?m)^amber +slots +1 of 2 slots")
        self.assertRegex(self.node.run("why", "hadoop/after"), r"(?m)^slot +offline.* not proven since root 2")
        self.node.run("slot", "test", "offline", stdin=b"wrong\n", code=3)
        self.assertEqual(self.node.run("slot", "test", "offline", stdin=self.passphrase()), "Slot offline opens root 2.\n")
        self.assertRegex(self.node.run("status"), "(?m)^green +slots +2 slots, all proven")
        self.assertEqual(self.node.stop(), 0)
        self.assertIn("The chain is whole", self.node.run("audit", "verify"))
        self.node.start()
        self.check()

    def test_a_kill_at_any_moment_of_a_rotation_loses_nothing(self):
        seed = random.getrandbits(32)
        print(f"seed {seed}", file=sys.stderr)
        dice = random.Random(seed)
        midway = 0
        for round_number in range(KILLS):
            before = self.node.run_json("root", "status")
            if not before["moving"]:
                self.node.run("root", "rotate")
            time.sleep(dice.uniform(0, 0.3))  # the moment of the crash
            self.node.kill()
            if round_number % 3 == 0:  # a start without the key file, opened by a person
                (self.node.dir / "secrets/node.key").rename(self.node.base / "node.key")
                self.node.start(ready=False)
                self.node.run("unlock", stdin=self.passphrase())
                self.node.wait_until("ready")
                (self.node.base / "node.key").rename(self.node.dir / "secrets/node.key")
            else:
                self.node.start()
            after = self.node.run_json("root", "status")
            # It goes on at once: then this process has moved what the one before had not.
            midway += after["moving"] or after["moved"] > 0
            self.check()
        generation = self.node.run_json("root", "status")["generation"]
        self.settled(generation)
        self.assertGreater(generation, 1)
        self.assertGreater(midway, 0, "some kills must hit a rotation")
        self.check()
        self.assertEqual(self.node.stop(), 0)
        self.assertIn("The chain is whole", self.node.run("audit", "verify"))

    def test_a_removed_slot_opens_nothing_and_what_it_keeps_is_said(self):
        key_file = self.node.base / "second.key"
        self.node.run("slot", "add", "second", "--key-file", key_file)
        self.assertTrue(key_file.exists())
        self.node.run("slot", "test", "second", "--key-file", key_file)
        self.node.run("slot", "add", "second", stdin=b"whatever\n", code=5)
        copy = self.node.base / "copy"
        self.node.stop()
        shutil.copytree(self.node.dir / "store", copy)
        self.node.start()
        said = self.node.run("slot", "remove", "second")
        self.assertRegex(said, "(?s)Slot second is removed.*Root 2 is in force.*What remains: whoever has the slot's secret")
        self.settled(2)
        self.assertEqual(set(self.slots()), {"node-1", "offline"})
        self.node.run("lock")
        self.node.run("unlock", "--key-file", key_file, code=3)
        self.node.run("unlock", stdin=self.passphrase())
        self.node.wait_until("ready")
        self.check()
        # The old copy, put in the store's place: the node has seen a newer one.
        self.node.stop()
        shutil.rmtree(self.node.dir / "store")
        shutil.copytree(copy, self.node.dir / "store")
        self.node.spawn()
        self.assertEqual(self.node.process.wait(60), 1)
        self.assertIn("the store went back in time", self.node.log_text())

    def test_what_cannot_be_removed_is_refused_and_said(self):
        self.node.run("slot", "remove", "nobody", code=4)
        self.assertIn("there is no slot", self.node.error)
        said = self.node.run("slot", "remove", "offline", "--keep-root")
        self.assertIn("which stays in force", said)
        self.node.run("slot", "remove", "node-1", code=5)
        self.assertIn("is the last slot", self.node.error)
        # A second one that is not proven for the root in force does not count.
        self.node.run("slot", "add", "spare", stdin=b"spare passphrase\n")
        self.node.run("root", "rotate")
        self.settled(2)
        wait_for(lambda: self.slots()["node-1"]["proven_generation"] == 2, "proof of the node's slot")
        self.node.run("slot", "remove", "node-1", code=5)
        self.assertIn("prove another one first", self.node.error)
        self.node.run("slot", "test", "spare", stdin=b"spare passphrase\n")
        self.assertEqual(self.node.run_json("slot", "remove", "node-1")["root_generation"], 3)
        self.settled(3)

    def test_a_keyring_may_ask_for_a_second_person(self):
        self.node.run("keyring", "create", "careful", "--approve-slot-removal", "yes")
        self.node.run("slot", "remove", "offline", code=5)
        self.assertIn("this needs a second person: approval ", self.node.error)
        self.assertEqual(set(self.slots()), {"node-1", "offline"})
        waiting = self.node.run_json("approval", "list")["approvals"]
        self.assertEqual([(a["operation"], a["key"]) for a in waiting], [("slot.remove", "offline")])


if __name__ == "__main__":
    unittest.main()
