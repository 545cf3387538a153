#!/usr/bin/env python3
"""Members of a shared store, with real daemons on a real PostgreSQL: the first node enrolls itself, others join."""
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import postgres  # noqa: E402
from nodes import Member, store_options  # noqa: E402
from node import Node, wait_for  # noqa: E402


def item(node, name):
    """One line of a node's status, or None."""
    return next((entry for entry in node.run_json("status")["items"] if entry["item"] == name), None)


def members(node):
    return {entry["name"]: entry for entry in node.run_json("node", "list")["nodes"]}


class Members(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = postgres.Server().start()
        cls.addClassCleanup(cls.server.close)

    def setUp(self):
        self.server.make_database()
        self.addCleanup(self.server.sql, f"DROP DATABASE {postgres.DATABASE} WITH (FORCE)", "postgres")

    def first(self, *options):
        node = Node(*store_options([self.server.port], 0), *options)
        self.addCleanup(node.close)
        return node

    def slot(self, node, name):
        return next(entry for entry in node.run_json("slot", "list")["slots"] if entry["name"] == name)

    def test_the_first_node_of_a_store_made_there_is_its_first_member(self):
        node = self.first()
        self.assertFalse((node.dir / "secrets/node.key").exists())
        node.start()
        self.assertEqual([(entry["state"], entry["approved_by"]) for entry in members(node).values()],
                         [("approved", "system")])
        self.assertEqual(item(node, "member")["light"], "green")
        slot = self.slot(node, "node-1")
        self.assertEqual((slot["protector"], slot["id"]), ("node", members(node)["node-1"]["slot"]))
        self.assertIsNotNone(members(node)["node-1"]["proven"])
        # It is where the configuration says, from the next start on.
        node.stop()
        node.configure('node = "node-1"', 'node = "node-1"\nsite = "east"')
        node.start()
        self.assertEqual(members(node)["node-1"]["site"], "east")
        node.stop()
        trail = "".join(path.read_text(errors="replace") for path in (node.dir / "audit").iterdir())
        self.assertIn("the first node of the store: 'node-1'", trail)

    def test_a_store_that_was_moved_there_has_its_node_as_the_first_member(self):
        with Node() as node:
            node.start()
            self.assertEqual(members(node), {})
            self.assertIsNone(item(node, "member"))
            node.stop()
            node.run("store", "migrate", "--to", *store_options([self.server.port], 0)[1:], "--switch")
            node.start()
            self.assertEqual(list(members(node)), ["node-1"])
            wait_for(lambda: members(node)["node-1"]["proven"], "proof of the slot")
            self.assertEqual(self.slot(node, "node-1-own")["id"], members(node)["node-1"]["slot"])
            # From then on it needs no key file.
            node.run("slot", "remove", "node-1", "--keep-root")
            node.stop()
            (node.dir / "secrets/node.key").unlink()
            node.start()
            self.assertEqual(item(node, "member")["light"], "green")

    def test_who_is_not_on_the_list_says_so_and_stays_away(self):
        first = self.first()
        first.start()
        second = Member(first, 2)
        self.addCleanup(second.close)
        second.start()
        self.assertEqual(list(members(second)), ["node-1", "node-2"])
        self.assertEqual(item(second, "member")["light"], "green")
        second.stop()
        second.configure('node = "node-2"', 'node = "node-9"')
        second.start()
        self.assertEqual(item(second, "member")["light"], "red")
        self.assertIn("holdfast node approve", item(second, "member")["text"])
        self.assertEqual(list(members(second)), ["node-1", "node-2"])


if __name__ == "__main__":
    if postgres.binaries() is None:
        print("skipped: PostgreSQL is not installed; see tests/deps")
        sys.exit(77)
    unittest.main()
