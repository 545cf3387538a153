#!/usr/bin/env python3
"""curl at the Hadoop door: its TLS, its cookie engine and its HTTP, not ours. Both versions of TLS."""
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

from node import Node


class Curl:
    """One user of curl, with a cookie jar of his own."""

    def __init__(self, node, directory, tls):
        self.node, self.directory = node, pathlib.Path(directory)
        self.options = ["--silent", "--show-error", "--max-time", "60", "--cacert", str(node.dir / "ca.crt"), *tls,
                        "--cookie", str(self.directory / "jar"), "--cookie-jar", str(self.directory / "jar")]

    def call(self, method, path, body=None, host="127.0.0.1"):
        """Status, headers in small letters, body; and which TLS it was."""
        words = ["curl", *self.options, "--request", method, "--dump-header", str(self.directory / "head"),
                 "--output", str(self.directory / "body"), "--write-out", "%{http_code} %{http_version}"]
        if body is not None:
            words += ["--header", "Content-Type: application/json", "--data-binary", json.dumps(body)]
        done = subprocess.run([*words, f"https://{host}:{self.node.port}/kms/v1/{path}"], capture_output=True,
                              text=True, timeout=120, check=False)
        if done.returncode:
            raise AssertionError(f"curl: exit {done.returncode}: {done.stderr}")
        status, version = done.stdout.split()
        assert version == "1.1", version
        lines = (self.directory / "head").read_text().strip().splitlines()[1:]
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        return int(status), headers, (self.directory / "body").read_bytes()

    def json(self, method, path, body=None, expect=200):
        status, headers, text = self.call(method, path, body)
        assert status == expect, (status, text)
        assert headers["content-type"].startswith("application/json"), headers
        return json.loads(text)

    def cookies(self):
        """Name and value of what the jar holds."""
        lines = (self.directory / "jar").read_text().splitlines()
        return dict(line.split("\t")[5:7] for line in lines if line.count("\t") == 6)


def as_material(edek):
    return {"name": edek["encryptedKeyVersion"]["name"], "iv": edek["iv"],
            "material": edek["encryptedKeyVersion"]["material"]}


class HadoopDoor(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.node = Node()
        cls.addClassCleanup(cls.node.close)
        cls.node.start()

    def talk(self, tls, key):
        with tempfile.TemporaryDirectory() as directory:
            curl = Curl(self.node, directory, tls)
            # The handshake, as Hadoop's client does it: a challenge, then a cookie, then the cookie only. The cookie
            # names no path, as Hadoop's does not, so a cookie engine keeps it for what lies beside this address.
            status, headers, _ = curl.call("OPTIONS", "keys")
            self.assertEqual((status, headers["www-authenticate"]), (401, "PseudoAuth"))
            status, _, _ = curl.call("OPTIONS", "keys?user.name=alice")
            self.assertEqual(status, 200)
            self.assertIn("u=alice&", curl.cookies()["hadoop.auth"])

            made = curl.json("POST", "keys", {"name": key, "cipher": "AES/CTR/NoPadding", "length": 256}, expect=201)
            self.assertEqual((made["versionName"], made["material"]), (f"{key}@0", None))
            self.assertIn(key, curl.json("GET", "keys/names"))
            edeks = curl.json("GET", f"key/{key}/_eek?eek_op=generate&num_keys=3")
            plain = [curl.json("POST", f"keyversion/{key}%400/_eek?eek_op=decrypt", as_material(edek))["material"]
                     for edek in edeks]
            self.assertEqual(len(set(plain)), 3)
            self.assertEqual(curl.json("POST", f"key/{key}", {})["versionName"], f"{key}@1")
            moved = curl.json("POST", f"keyversion/{key}%400/_eek?eek_op=reencrypt", as_material(edeks[0]))
            self.assertEqual(moved["versionName"], f"{key}@1")
            self.assertEqual(curl.json("POST", f"keyversion/{key}%401/_eek?eek_op=decrypt",
                                       as_material(moved))["material"], plain[0])
            refusal = curl.json("POST", "keys", {"name": key, "length": 256}, expect=500)
            self.assertEqual(refusal["RemoteException"]["javaClassName"], "java.io.IOException")

    def test_over_tls_1_3(self):
        self.talk(["--tlsv1.3"], "modern")

    def test_over_tls_1_2(self):
        self.talk(["--tlsv1.2", "--tls-max", "1.2"], "older")

    def test_a_certificate_of_another_authority_is_not_ours(self):
        with tempfile.TemporaryDirectory() as directory:
            other = pathlib.Path(directory) / "other.crt"
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                            "-subj", "/CN=other", "-keyout", "/dev/null", "-out", str(other)],
                           check=True, capture_output=True)
            with self.assertRaisesRegex(AssertionError, "exit 60"):
                Curl(self.node, directory, ["--cacert", str(other)]).call("OPTIONS", "keys/names")


if __name__ == "__main__":
    if shutil.which("curl") is None:
        print("skip: there is no curl; tests/deps installs it")
        sys.exit(77)
    unittest.main()
