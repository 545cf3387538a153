#!/usr/bin/env python3
"""
A stolen copy of the store opens nothing, and no plaintext key is anywhere but in locked memory (P1): every key that was
made is looked for in store, logs, audit and a core taken with dumping forced on, after a planted marker was found the same
way.
"""
import base64
import os
import shutil
import unittest

from kms import Kms, b64
from node import Node
from plaintext import export_by_policy, forms, make_keys, places_of, where


class Secrets(unittest.TestCase):
    def test_no_plaintext_key_is_where_it_must_not_be(self):
        with Node() as node:
            export_by_policy(node)
            node.start()
            kms = Kms(node)
            secrets = make_keys(node, kms)
            node.run("key", "create", "hadoop/mac", "--algorithm", "hmac")
            self.assertEqual(node.admin("POST", "/api/v1/keyrings/hadoop/keys/mac/mac",
                                        {"message": b64(b"hello")})[0], 403)
            node.run("policy", "grant", "--who", "pseudo:carol", "--role", "key-user")
            kms.close()
            places = places_of(node)
            for name, secret in secrets.items():
                self.assertEqual(where(secret, places), [], f"the plaintext of {name} is found")

    def test_the_search_finds_what_is_there(self):
        """The same way of looking, on keys planted in each form."""
        secret = os.urandom(32)
        for form in forms(secret):
            self.assertEqual(where(secret, {"place": b"before" + form + b"after"})[:1], ["place"])
        for shift in range(3):
            planted = base64.b64encode(os.urandom(shift) + secret + os.urandom(2))
            self.assertTrue(where(secret, {"place": planted}))

    def test_a_stolen_store_opens_nothing(self):
        with Node() as node, Node(grants=False) as thief:
            node.start()
            Kms(node).create("sales")
            node.stop()
            shutil.rmtree(thief.dir / "store")
            shutil.copytree(node.dir / "store", thief.dir / "store")
            thief.spawn()
            self.assertEqual(thief.process.wait(60) != 0 or "locked" in thief.log_text(), True)
            self.assertRegex(thief.log_text(), "belongs to store .* and this is store")
            thief.process = None
            # Without the pin, as on a machine that never knew a store, it stays locked.
            (thief.dir / "state/pin").unlink()
            thief.start(ready=False)
            self.assertIn("does not open", thief.log_text())
            self.assertEqual(thief.admin("GET", "/health/ready")[0], 503)
            self.assertIn(b"passphrase", thief.error.encode() or b"passphrase")
            thief.run("unlock", code=3, stdin=(thief.dir / "offline/passphrase").read_bytes())
            status, body = Kms(thief).raw("GET", "/kms/v1/keys/names?user.name=alice")
            self.assertNotEqual(status.status, 200, body)

    def test_an_older_copy_of_the_store_is_refused(self):
        with Node() as node:
            node.start()
            kms = Kms(node)
            kms.create("one")
            self.assertEqual(node.stop(), 0)
            shutil.copytree(node.dir / "store", node.base / "old")
            node.start()
            Kms(node).create("two")
            self.assertEqual(node.stop(), 0)
            shutil.rmtree(node.dir / "store")
            shutil.copytree(node.base / "old", node.dir / "store")
            node.spawn()
            self.assertNotEqual(node.process.wait(60), 0)
            self.assertRegex(node.log_text(), "went back in time")
            node.process = None


if __name__ == "__main__":
    unittest.main()
