#!/usr/bin/env python3
"""
A node that is cut off from the database is given revocations by hand: it uses those keys no more and opens all others, also
after a restart, until it has followed what the other side did.
"""
import json
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import postgres  # noqa: E402
from nodes import Kms, Member, RemoteException, is_unknown, store_options  # noqa: E402
from node import Node, wait_for  # noqa: E402
from test_members import Wire, item  # noqa: E402

REVOKED = "revoked on this node"


def answered(call):
    """What the call gives, or None where the node is asked to be asked again."""
    try:
        return call()
    except RemoteException as error:
        if is_unknown(error):
            return None
        raise


class Revocation(postgres.DatabaseCase):
    def setUp(self):
        super().setUp()
        self.first = Node(*store_options([self.server.port], 0))
        self.addCleanup(self.first.close)
        self.first.start()
        self.wire = Wire(self.server.port)
        self.addCleanup(self.wire.close)
        self.second = Member(self.first, 2)
        self.addCleanup(self.second.close)
        self.second.configure(f"127.0.0.1:{self.server.port}", f"127.0.0.1:{self.wire.port}")
        self.second.start()
        self.edeks = {}
        kms = Kms(self.first)
        self.addCleanup(kms.close)
        for name in ("sales", "wages", "stock"):
            kms.create(name)
            # On a busy machine a lease may end under a call.
            edek = wait_for(lambda: answered(lambda: kms.generate(name)[0]), "data key", 60)
            self.edeks[name] = (edek, wait_for(lambda: answered(lambda: kms.decrypt(edek)), "data key", 60))
        for name in self.edeks:
            wait_for(lambda: self.answer(name) == "opens", f"{name} on the other node", 60)

    def trail(self):
        """The audit trail of the second node."""
        return "".join(path.read_text(errors="replace") for path in sorted((self.second.dir / "audit").iterdir()))

    def answer(self, name):
        """What the second node does for one who opens the data key: "opens", or the reason in its trail why not."""
        kms = Kms(self.second)
        edek, dek = self.edeks[name]
        try:
            self.assertEqual(kms.decrypt(edek), dek)
            return "opens"
        except RemoteException as error:
            told = [line for line in self.trail().splitlines() if '"operation":"key.unwrap"' in line and f'"key":"{name}"' in line]
            return told[-1] if told else str(error)
        finally:
            kms.close()

    def cut_off(self):
        self.wire.cut()
        wait_for(lambda: item(self.second, "lease")["text"].startswith("none for"), "end of the lease", 60)

    def statement(self, *words):
        """A revocation in a file, as an operator carries it."""
        path = self.first.base / f"{len(list(self.first.base.iterdir()))}.revocation"
        path.write_text(self.first.run("key", "revocation", *words))
        return path

    def test_a_node_that_is_cut_off_stops_using_what_it_is_told_of(self):
        self.cut_off()
        self.first.run("key", "delete", "hadoop/sales", "--reason", "compromised")
        self.first.run("key", "state", "hadoop/wages", "suspend", "--version", "0")
        self.assertEqual([self.answer(name) for name in ("sales", "wages", "stock")], ["opens"] * 3)
        self.assertIsNone(item(self.second, "revocations"))

        sales = self.statement("hadoop/sales")
        self.assertEqual(json.loads(sales.read_text())["state"], "deleted")
        self.assertIn("hadoop/sales is deleted on this node from now on", self.second.run("node", "revoke", sales))
        self.assertIn(REVOKED, self.answer("sales"))
        self.assertEqual((self.answer("wages"), self.answer("stock")), ("opens", "opens"))
        wages = self.statement("hadoop/wages", "--version", "0")
        self.assertIn("hadoop/wages@0 is suspended", self.second.run("node", "revoke", "-", stdin=wages.read_bytes()))
        self.assertIn(REVOKED, self.answer("wages"))
        self.assertEqual(item(self.second, "revocations")["light"], "amber")

        # As it was after a restart without the database, and after one that nobody has asked for.
        for end in (self.second.stop, self.second.kill):
            end()
            self.second.start()
            self.assertIn(REVOKED, self.answer("sales"))
            self.assertIn(REVOKED, self.answer("wages"))
            self.assertEqual(self.answer("stock"), "opens")
        self.second.run("lock")
        # An operator who lets it open for longer lets it open no more than before.
        self.assertEqual(self.second.run("unlock", "--node-key", self.second.dir / "secrets/node-join.key")[:4], "Slot")
        self.second.run("node", "serve-stale", "--for", "1h")
        self.assertIn(REVOKED, self.answer("sales"))
        self.assertEqual(self.answer("stock"), "opens")

        # Back again, it goes by the store: by what it says now.
        self.first.run("key", "state", "hadoop/wages", "resume", "--version", "0")
        self.wire.mend()
        wait_for(lambda: item(self.second, "lease")["light"] == "green", "lease", 60)
        wait_for(lambda: item(self.second, "revocations") is None, "end of the revocations", 60)
        self.assertNotIn(REVOKED, self.answer("sales"))
        self.assertNotEqual(self.answer("sales"), "opens")
        self.assertEqual(self.answer("wages"), "opens")
        self.assertEqual((self.second.dir / "mirror/revoked").read_bytes(), b"")
        self.assertIn("has followed commit", self.second.run("node", "revoke", wages))
        self.assertEqual(self.answer("wages"), "opens")
        self.assertEqual(self.trail().count('"operation":"node.revoke","outcome":"ok"'), 3)

    def test_what_was_altered_or_is_of_another_store_is_refused(self):
        self.first.run("key", "state", "hadoop/wages", "suspend", "--version", "0")
        good = json.loads(self.first.run("key", "revocation", "hadoop/wages", "--version", "0"))
        cases = (({**good, "key": "stock"}, "altered", "MAC"), ({**good, "version": None, "state": "destroyed"}, "altered", "MAC"),
                 ({**good, "store": "00" * 16}, "other_store", "another store"), ({**good, "commit": "1"}, None, "commit"),
                 ({}, None, "no revocation"))
        for statement, cause, text in cases:
            status, answer = self.second.admin("POST", "/api/v1/revocations", statement)
            self.assertEqual((status, answer["error"]["code"], answer["error"].get("cause")), (400, "invalid", cause), text)
            self.assertIn(text, answer["error"]["message"])
        status, answer = self.second.admin("GET", "/api/v1/keyrings/hadoop/keys/stock/revocation?version=0")
        self.assertEqual((status, answer["error"]["code"]), (409, "wrong_state"))
        self.assertFalse((self.second.dir / "mirror/revoked").exists())

    def test_a_node_that_cannot_read_what_it_was_told_opens_nothing_without_a_lease(self):
        self.cut_off()
        self.first.run("key", "delete", "hadoop/sales")
        self.second.run("node", "revoke", self.statement("hadoop/sales"))
        self.second.stop()
        kept = self.second.dir / "mirror/revoked"
        kept.write_bytes(kept.read_bytes()[:-9])
        # It is alive, and nothing that it has may be opened, so it is not ready.
        self.second.start(ready=False)
        self.assertEqual(item(self.second, "revocations")["light"], "red")
        self.assertNotEqual(self.answer("stock"), "opens")
        self.wire.mend()
        wait_for(lambda: self.answer("stock") == "opens", "lease", 60)
        wait_for(lambda: item(self.second, "revocations") is None, "end of the revocations", 60)
        self.assertNotEqual(self.answer("sales"), "opens")


if __name__ == "__main__":
    if postgres.binaries() is None:
        print("skipped: PostgreSQL is not installed; see tests/deps")
        sys.exit(77)
    unittest.main()
