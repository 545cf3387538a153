#!/usr/bin/env python3
"""
What a thief finds of a store in PostgreSQL: neither the database's files nor a node's copy of it (D/mirror) hold a plaintext
key, and a stolen copy opens nothing.
"""
import pathlib
import shutil
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import postgres  # noqa: E402
from nodes import Kms, store_options  # noqa: E402
from node import Node  # noqa: E402
from plaintext import export_by_policy, make_keys, places_of, read_tree, where  # noqa: E402


class Stolen(postgres.DatabaseCase):
    def make_node(self):
        return Node(*store_options([self.server.port], 0))

    def test_no_plaintext_key_is_in_the_copy_or_the_database(self):
        with self.make_node() as node:
            export_by_policy(node)
            node.start()
            kms = Kms(node)
            secrets = make_keys(node, kms)
            kms.close()
            places = places_of(node)
            # Its pages and its log are all in files then.
            self.server.sql("CHECKPOINT")
            places.update(read_tree(self.server.data))
            for name in ("mirror/store.db", "base", "pg_wal"):
                self.assertTrue(any(name in place and b"key/hadoop/key-0" in content for place, content in places.items()),
                                f"{name} has the records, so it can be searched")
            for name, secret in secrets.items():
                self.assertEqual(where(secret, places), [], f"the plaintext of {name} is found")

    def test_a_stolen_copy_opens_nothing(self):
        with self.make_node() as node:
            node.start()
            kms = Kms(node)
            kms.create("sales")
            kms.close()
            node.stop()
            with Node(grants=False) as thief:
                # The copy in the place of a store of the thief's own, whose secrets and passphrase he has.
                for name in ("store", "state"):
                    shutil.rmtree(thief.dir / name)
                    (thief.dir / name).mkdir(mode=0o700)
                for file in (node.dir / "mirror").glob("store.db*"):
                    shutil.copy(file, thief.dir / "store" / file.name)
                thief.start(ready=False)
                self.assertIn("does not open", thief.log_text())
                self.assertEqual(thief.admin("GET", "/health/ready")[0], 503)
                thief.run("unlock", code=3, stdin=(thief.dir / "offline/passphrase").read_bytes())
                kms = Kms(thief)
                answer, body = kms.raw("GET", "/kms/v1/keys/names?user.name=alice")
                kms.close()
                self.assertNotEqual(answer.status, 200, body)


if __name__ == "__main__":
    if postgres.binaries() is None:
        print("skipped: PostgreSQL is not installed; see tests/deps")
        sys.exit(77)
    unittest.main()
