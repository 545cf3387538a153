#!/usr/bin/env python3
"""A node whose own store was put back to an older copy: refused, and taken only when somebody says so, recorded."""
import json
import re
import shutil
import unittest

from kms import Kms
from node import Node


class Accept(unittest.TestCase):
    def setUp(self):
        self.node = Node()
        self.addCleanup(self.node.close)
        self.node.start()
        self.create("kept")
        self.node.stop()
        shutil.copytree(self.node.dir / "store", self.node.base / "older")
        self.node.start()
        self.create("later")
        self.node.stop()
        shutil.rmtree(self.node.dir / "store")
        shutil.copytree(self.node.base / "older", self.node.dir / "store")

    def create(self, name):
        kms = Kms(self.node)
        try:
            return kms.create(name)["name"]
        finally:
            kms.close()

    def trail(self):
        return [json.loads(line) for line in (self.node.dir / "audit/audit.log").read_text().splitlines()]

    def refuses_to_start(self):
        self.node.spawn()
        self.assertNotEqual(self.node.process.wait(60), 0)
        self.node.process = None
        self.assertIn("the store went back in time", self.node.log_text())

    def test_an_older_copy_is_taken_when_somebody_says_so(self):
        self.refuses_to_start()
        self.node.run("store", "accept-history", code=6)
        self.assertIn("--offline", self.node.error)
        for words in (("--offline",), ("--offline", "--force", "--dry-run")):
            self.node.run("store", "accept-history", *words, code=5)
            self.assertIn("Take it with --force", self.node.error)
        self.refuses_to_start()
        self.node.run("store", "accept-history", "--offline", "--force")
        said = [line for line in self.trail() if line["operation"] == "store.accept"]
        self.assertEqual(len(said), 1)
        self.assertTrue(said[0]["caller"].startswith("unix:"), said)
        self.node.start()
        kms = Kms(self.node)
        self.assertTrue(kms.metadata("kept"))
        self.assertFalse(kms.metadata("later"))
        kms.create("again")
        kms.close()
        self.node.stop()
        self.assertTrue(any(line.get("key") == "again" for line in self.trail()), "the trail goes on")
        self.node.run("audit", "verify")
        # Once: another older copy is refused again.
        shutil.rmtree(self.node.dir / "store")
        shutil.copytree(self.node.base / "older", self.node.dir / "store")
        self.refuses_to_start()

    def test_a_machine_that_has_not_seen_the_store_is_told_how_far_it_is(self):
        self.node.run("store", "accept-history", "--offline", "--force")
        self.node.start()
        commit = re.search(r"commit (\d+)", self.node.run("status"))[1]
        self.node.stop()
        for pinned in (self.node.dir).glob("pin*"):
            pinned.unlink()
        for words, says in ((("--min-seq", str(int(commit) + 1000)), f"below commit {int(commit) + 1000} that --min-seq demands"),
                            (("--min-seq", "soon"), "--min-seq takes the number of a commit")):
            self.node.spawn(*words)
            self.assertNotEqual(self.node.process.wait(60), 0)
            self.node.process = None
            self.assertIn(says, self.node.log_text())
        self.node.spawn("--min-seq", commit)
        self.node.wait_until("ready")

    def test_a_daemon_that_runs_is_not_gone_past(self):
        self.node.run("store", "accept-history", "--offline", "--force")
        self.node.start()
        self.node.run("store", "accept-history", "--offline", "--force", code=5)
        self.assertEqual(self.create("goes-on"), "goes-on")


if __name__ == "__main__":
    unittest.main()
