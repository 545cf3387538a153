#!/usr/bin/env python3
"""
A stolen copy of the store opens nothing, and no plaintext key is anywhere but in locked memory (P1): every key that was
made is looked for in store, logs, audit and a core taken with dumping forced on, after a planted marker was found the same
way.
"""
import base64
import os
import pathlib
import shutil
import unittest

from kms import Kms, b64, unb64
from node import Node


def forms(secret):
    """Raw, hex in both cases, and base64 in both alphabets at the three alignments."""
    found = [secret, secret.hex().encode(), secret.hex().upper().encode()]
    for shift in range(3):
        text = base64.b64encode(bytes(shift) + secret)
        # Only what depends on the secret alone: the edges mix with what stands beside it.
        core = text[(4 if shift else 0):(len(text) - 4)]
        found += [core, core.replace(b"+", b"-").replace(b"/", b"_")]
    return found


def where(secret, places):
    return [f"{name}" for name, content in places.items() for form in forms(secret) if form in content]


def read_tree(directory, leave_out=()):
    return {str(path): path.read_bytes() for path in pathlib.Path(directory).rglob("*")
            if path.is_file() and not any(part in path.parts for part in leave_out)}


def core_of(node):
    """
    All memory of the process that root can read through a debugger's door, whatever the process says about dumps. Secret
    memory refuses (memfd_secret), and is counted.
    """
    pid = node.process.pid
    content, refused = [], 0
    with open(f"/proc/{pid}/maps", encoding="ascii") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in maps:
            span, rights = line.split()[:2]
            start, end = (int(part, 16) for part in span.split("-"))
            if not rights.startswith("rw"):
                continue  # code and constants of files: nothing is ever written there
            try:
                memory.seek(start)
                piece = memory.read(end - start)
                # Most of a stack is zeroes that were never touched: searching them takes all the time.
                pages = (piece[at:at + 4096] for at in range(0, len(piece), 4096))
                content += [page for page in pages if page.count(0) != len(page)]
            except (OSError, ValueError):
                refused += "secretmem" in line
    return b"".join(content), refused


class Secrets(unittest.TestCase):
    def test_no_plaintext_key_is_where_it_must_not_be(self):
        with Node() as node:
            node.configure('hadoop_keyring = "hadoop"', 'hadoop_keyring = "hadoop"\n    hadoop_export = "acl"')
            node.start()
            kms = Kms(node)
            secrets = {}
            for i in range(6):
                name = f"key-{i}"
                given = os.urandom(32)
                secrets[f"{name} imported"] = given
                kms.create(name, length=256, material=b64(given))
                secrets[f"{name} made"] = unb64(kms.roll(name)["material"])
                for edek in kms.generate(name, 3):
                    secrets[f"data key of {name}"] = kms.decrypt(edek)
                kms.batch(name, kms.generate(name, 5))
            node.run("key", "create", "hadoop/mac", "--algorithm", "hmac")
            self.assertEqual(node.admin("POST", "/api/v1/keyrings/hadoop/keys/mac/mac",
                                        {"message": b64(b"hello")})[0], 403)
            node.run("policy", "grant", "--who", "pseudo:carol", "--role", "key-user")
            core, refused = core_of(node)
            kms.close()
            environment = pathlib.Path(f"/proc/{node.process.pid}/environ").read_bytes()
            command = pathlib.Path(f"/proc/{node.process.pid}/cmdline").read_bytes()
            places = {"core": core, "environment": environment, "command line": command}
            self.assertIn(b"hadoop", core, "the core is readable")
            memory = [item["text"] for item in node.run_json("status")["items"] if item["item"] == "memory"]
            if "hidden from the kernel" in memory[0]:
                self.assertGreater(refused, 0, "secret memory cannot be read")
            # Keys of the hierarchy that lie in files of D/secrets are looked for in the store, not in their own place.
            self.assertEqual(node.stop(), 0)
            places.update(read_tree(node.dir, leave_out=("secrets", "offline")))
            places["log"] = node.log_text().encode()
            hierarchy = {"key file": bytes.fromhex((node.dir / "secrets/node.key").read_text().split()[-1]),
                         "offline passphrase": (node.dir / "offline/passphrase").read_bytes().strip()}
            for name, secret in {**secrets, **hierarchy}.items():
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
