#!/usr/bin/env python3
"""Every store that a release has made opens, by key file and by the offline passphrase, and gives the same keys."""
import json
import pathlib
import shutil
import stat
import unittest

from kms import Kms
from node import Node, wait_for

FIXTURES = sorted(path.parent for path in (pathlib.Path(__file__).parents[1] / "fixtures").glob("*/expected.json"))


class Fixtures(unittest.TestCase):
    def copy(self, fixture):
        """A node whose directory is the fixture, on a port of its own."""
        node = Node(grants=False)
        self.addCleanup(node.close)
        shutil.rmtree(node.dir)
        shutil.copytree(fixture, node.dir)
        for path in [node.dir, *node.dir.rglob("*")]:  # git keeps no modes
            path.chmod(stat.S_IRWXU if path.is_dir() else stat.S_IRUSR | stat.S_IWUSR)
        (node.dir / "offline").mkdir(exist_ok=True)
        node.configure("PORT", str(node.port))
        node.tls.load_verify_locations(str(node.dir / "ca.crt"))
        return node

    def check(self, node, expected):
        kms = Kms(node)
        kms.call("POST", "trustee/key/deleted?trusteeOp=undelete")
        for entry in expected["edeks"]:
            self.assertEqual(kms.decrypt(entry["edek"]).hex(), entry["dek"])
        shown = node.run_json("key", "show", "hadoop/aes 256 ☃")
        self.assertEqual({str(v["version"]): v["check_value"] for v in shown["versions"]}, expected["check_values"])
        for algorithm in ("rsa-2048", "ec-p256", "ec-p384", "ec-p521", "ed25519", "hmac", "opaque"):
            chain = node.run_json("why", f"hadoop/{algorithm}")["chain"]
            self.assertEqual(chain[0]["health"], "open", algorithm)

    def test_each_opens_by_its_key_file(self):
        self.assertTrue(FIXTURES, "there is at least one fixture")
        for fixture in FIXTURES:
            with self.subTest(fixture.name):
                node = self.copy(fixture)
                node.start()
                self.check(node, json.loads((fixture / "expected.json").read_text()))
                self.assertEqual(node.stop(), 0)
                self.assertIn("The chain is whole", node.run("audit", "verify"))

    def test_each_opens_by_the_offline_passphrase(self):
        for fixture in FIXTURES:
            with self.subTest(fixture.name):
                node = self.copy(fixture)
                (node.dir / "secrets/node.key").unlink()
                node.start(ready=False)
                node.run("unlock", stdin=(node.dir / "offline/passphrase").read_bytes())
                node.wait_until("ready")
                self.check(node, json.loads((fixture / "expected.json").read_text()))

    def test_each_gets_a_new_root_and_gives_the_same_keys(self):
        for fixture in FIXTURES:
            with self.subTest(fixture.name):
                node = self.copy(fixture)
                node.start()
                generation = json.loads(node.run("root", "rotate", "--json"))["generation"]
                wait_for(lambda node=node: not node.run_json("root", "status")["moving"], "end of the rotation")
                self.check(node, json.loads((fixture / "expected.json").read_text()))
                self.assertEqual(node.stop(), 0)
                (node.dir / "secrets/node.key").unlink()
                node.start(ready=False)
                node.run("unlock", stdin=(node.dir / "offline/passphrase").read_bytes())
                node.wait_until("ready")
                self.assertEqual(node.run_json("root", "status")["generation"], generation)
                self.assertIn("The chain is whole", node.run("audit", "verify"))


if __name__ == "__main__":
    unittest.main()
