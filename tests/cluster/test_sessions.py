#!/usr/bin/env python3
"""Cookies among nodes: what one has made is good on the other at once, and refused there the moment it was taken back."""
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import postgres  # noqa: E402
from nodes import Kms, Nodes  # noqa: E402

TURNS = 50


class Sessions(postgres.ServerCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server.make_database()
        cls.nodes = Nodes(2, [cls.server.port], synchronous=0)
        cls.addClassCleanup(cls.nodes.close)
        cls.nodes[0].run("policy", "grant", "--who", "pseudo:bob", "--role", "key-user")

    def setUp(self):
        self.doors = [Kms(node) for node in self.nodes]
        for door in self.doors:
            self.addCleanup(door.close)

    def cookie(self, at, user):
        self.doors[at].user = user
        return self.doors[at].handshake()

    def answer(self, at, cookie):
        """Status and reason of the node to one who shows only this cookie."""
        answer, _ = self.doors[at].raw("GET", "/kms/v1/keys/names", headers={"Cookie": f"hadoop.auth={cookie}"})
        self.assertIsNone(answer.getheader("X-Holdfast-Stale"), "the node has no lease")
        return answer.status, answer.reason

    def end(self, at, **whose):
        self.assertEqual(self.nodes[at].admin("POST", "/api/v1/sessions/end", whose), (200, {}))

    def test_a_cookie_that_was_taken_back_on_one_node_is_refused_on_the_other_at_once(self):
        bob = self.cookie(0, "bob")
        for turn in range(TURNS):
            here, there = turn % 2, 1 - turn % 2
            alice = self.cookie(here, "alice")
            self.assertEqual(self.answer(there, alice)[0], 200, turn)
            self.assertEqual(self.answer(here, alice)[0], 200, turn)
            self.end(here, user="alice")
            self.assertEqual(self.answer(there, alice), (401, "AuthenticationToken expired"), turn)
            self.assertEqual(self.answer(here, alice), (401, "AuthenticationToken expired"), turn)
            self.assertEqual(self.answer(there, bob)[0], 200, turn)

    def test_a_cookie_by_new_secrets_is_good_on_the_other_node_at_once_and_no_old_one_is(self):
        for turn in range(TURNS):
            here, there = turn % 2, 1 - turn % 2
            old = self.cookie(there, "alice")
            self.assertEqual(self.answer(here, old)[0], 200, turn)
            self.end(here, all=True)
            fresh = self.cookie(here, "alice")
            self.assertEqual(self.answer(there, fresh)[0], 200, turn)
            for at in (here, there):
                status, reason = self.answer(at, old)
                self.assertEqual(status, 401, turn)
                self.assertIn("Invalid signature", reason)


if __name__ == "__main__":
    if postgres.binaries() is None:
        print("skipped: PostgreSQL is not installed; see tests/deps")
        sys.exit(77)
    unittest.main()
