#!/usr/bin/env python3
"""holdfast init and the configuration: a node is made whole or not at all, and mistakes are told with their place."""
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time
import unittest

from node import PROGRAM, wait_for
from programs import daemon, program


def everything_in(directory):
    return {path.relative_to(directory): (path.stat().st_mtime_ns, path.stat().st_size)
            for path in directory.rglob("*")}


class Init(unittest.TestCase):
    def setUp(self):
        self.base = pathlib.Path(tempfile.mkdtemp(prefix="holdfast-test-"))
        self.addCleanup(shutil.rmtree, self.base)
        self.dir = self.base / "node"

    def init(self, *options, directory=None, code=0, **more):
        done = program("--dir", directory or self.dir, "init", "--main-key-bits", "2048", *options, **more)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        self.assertEqual(list(self.base.glob("*.init-*")), [], "nothing half done is left")
        return done.stdout if code == 0 else done.stderr

    def test_without_a_terminal_it_asks_nothing_and_says_where_the_passphrase_is(self):
        said = self.init(stdin="", start_new_session=True)
        self.assertIn(f"{self.dir}/offline/passphrase", said)
        self.assertIn("move it to a safe place", said)
        passphrase = (self.dir / "offline/passphrase").read_text()
        self.assertRegex(passphrase, r"^([0-9A-HJKMNP-TV-Z]{4}-){7}[0-9A-HJKMNP-TV-Z]{4}\n$")
        self.assertNotIn(passphrase.strip(), said)
        for name, mode in ((".", 0o700), ("secrets", 0o700), ("offline", 0o700), ("offline/passphrase", 0o600),
                           ("secrets/node.key", 0o600), ("secrets/server.key", 0o600), ("secrets/audit.key", 0o600),
                           ("holdfast.conf", 0o600), ("ca.crt", 0o644)):
            self.assertEqual((self.dir / name).stat().st_mode & 0o777, mode, name)
        self.assertEqual(daemon("--dir", self.dir, "--check-config").stdout, "The configuration is good.\n")

    def test_a_directory_with_anything_in_it_is_refused(self):
        self.dir.mkdir()
        (self.dir / ".hidden").write_text("mine")
        self.assertRegex(self.init(code=5), "not empty")
        self.assertEqual([path.name for path in self.dir.iterdir()], [".hidden"])

    def test_the_directory_above_must_be_there(self):
        self.assertRegex(self.init(directory=self.base / "a/b", code=6), "above .*/a/b is not there: make it first")

    def test_options_that_make_a_bad_node_are_refused_before_there_is_one(self):
        for message, *options in (
                ("binds to loopback addresses only", "--hadoop-pseudo", "--listen-hadoop", "0.0.0.0:9600"),
                ("needs an address, such as", "--listen-hadoop", "localhost"),
                ("needs an address, such as", "--listen-admin", "127.0.0.1:99999"),
                ("--main-key-bits must be 2048, 3072 or 4096", "--main-key-bits=1024"),
                ("--main-key-bits needs a number", "--main-key-bits=many"),
                ("--node has a sign that a configuration cannot hold", "--node", 'a"b'),
                ("a keyring's name has 1 to 63", "--keyring", "My Keys"),
                ("at most 8 times --host", *(["--host", "h"] * 9)),
                ("unknown option --listen; see holdfast init --help", "--listen", "x"),
                ("--node needs a value", "--node")):
            with self.subTest(message):
                done = program("--dir", self.dir, "init", *options)
                self.assertEqual((done.returncode, done.stdout), (2, ""), done.stderr)
                self.assertIn(message, done.stderr)
                self.assertEqual(list(self.base.iterdir()), [])
        done = program("init")
        self.assertEqual(done.returncode, 2)
        self.assertIn("init needs --dir D", done.stderr)

    def test_what_was_asked_for_is_made_and_programs_are_told_where(self):
        done = program("init", "--json", "--main-key-bits=2048", "--host", "kms1.example.com", "--host", "192.0.2.7",
                       "--host", "2001:db8::7", "--dir", f"{self.base}/other/")
        self.assertEqual(done.returncode, 0, done.stderr)
        other = self.base / "other"
        self.assertEqual(json.loads(done.stdout), {"directory": str(other), "ca_file": f"{other}/ca.crt",
                                                   "offline_passphrase_file": f"{other}/offline/passphrase"})
        told = subprocess.run(["openssl", "x509", "-in", other / "secrets/server.crt", "-noout", "-ext", "subjectAltName"],
                              capture_output=True, text=True, check=True).stdout
        for name in ("DNS:localhost", "DNS:kms1.example.com", "IP Address:192.0.2.7", "IP Address:2001:DB8:0:0:0:0:0:7"):
            self.assertIn(name, told)
        subprocess.run(["openssl", "verify", "-CAfile", other / "ca.crt", other / "secrets/server.crt"],
                       check=True, capture_output=True)

    def test_an_empty_directory_is_filled_even_when_it_is_the_working_one(self):
        self.dir.mkdir()
        done = program("--dir", ".", "init", "--main-key-bits", "2048", cwd=self.dir)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue((self.dir / "holdfast.conf").is_file())
        before = everything_in(self.dir)
        for directory in (self.dir, f"{self.dir}/", os.path.relpath(self.dir)):
            self.assertRegex(self.init(directory=directory, code=5), "is not empty: init makes a new node and never")
        self.assertEqual(everything_in(self.dir), before)

    def test_a_given_passphrase_is_taken_and_no_other_is_made(self):
        path = self.base / "pass"
        options = ("--passphrase-file", path)
        path.write_text("")
        path.chmod(0o644)
        self.assertRegex(self.init(*options, code=2), r"pass is open to others \(mode 0644\); chmod it to 0600")
        path.chmod(0o600)
        self.assertRegex(self.init(*options, code=2), "the passphrase is empty")
        self.assertRegex(self.init("--passphrase-file", self.base / "no", code=6), "cannot open .*/no: No such file")
        self.assertFalse(self.dir.exists())
        path.write_text("correct horse battery staple\nsecond line\n")
        self.assertIn(f"the passphrase of {path}", self.init(*options))
        self.assertEqual(list((self.dir / "offline").iterdir()), [])

    def test_killed_at_any_moment_it_leaves_no_node_and_can_be_repeated(self):
        for pause in (0, 0.2):
            process = subprocess.Popen([str(PROGRAM), "--dir", str(self.dir), "init", "--main-key-bits", "2048"],
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            wait_for(lambda: list(self.base.glob("node.init-*")) or process.poll() is not None, "begun init")
            # Not a wait for something: another moment of the work is met.
            time.sleep(pause)
            process.kill()
            process.wait()
            for left in self.base.glob("node.init-*"):
                shutil.rmtree(left)
            if self.dir.exists():
                self.assertEqual(daemon("--dir", self.dir, "--check-config").returncode, 0)
                shutil.rmtree(self.dir)
        self.init()


class Configuration(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.base = pathlib.Path(tempfile.mkdtemp(prefix="holdfast-test-"))
        cls.addClassCleanup(shutil.rmtree, cls.base)

    def check(self, text, *more):
        path = self.base / "try.conf"
        path.write_text(text)
        return daemon("--config", path, *more)

    def test_what_is_wrong_is_told_with_file_and_line(self):
        for text, line, message in (
                ('node = "a"\nfoo = 3\n', 2, "no such option 'foo'"),
                ('audit {\n  when_full = "maybe"\n}\n', 2, "it must be one of stop\\|go-on"),
                ("threads {\n  workers = 0\n}\n", 2, "it must be from 1 to 1024"),
                ("threads {\n\n  workers = many\n}\n", 3, "invalid integer value"),
                ("memory { allow_unlocked = perhaps }\n", 1, "invalid boolean value"),
                ('node = ""\n', 1, "node is empty"),
                ('node "a"\n', 1, "missing equal sign"),
                ('node = "a\n', 2, "premature end of file"),
                ('node = "a"\nthreads {\n  workers = 3\n', 4, "a '}' is missing"),
                ('node = "a"\nthreads {\n  workers = 3', 4, "a '}' is missing"),
                ('listener "a" {\n doors = { "admin"\n', 3, "a '}' is missing"),
                ('/* node = "a"\n', 2, "inside of a comment"),
                ('listener "a" {\n adress = "127.0.0.1:1"\n}\n', 2, "no such option 'adress'"),
                ('listener "a" {\n doors = { "admin" }\n}\n', 3, 'listener "a": needs an address'),
                ('listener "a" {\n address = "somewhere"\n doors = { "admin" }\n}\n', 4, "needs an address"),
                ('listener "a" {\n address = "localhost:9600"\n doors = { "admin" }\n}\n', 4, "needs an address"),
                ('listener "a" {\n address = "127.0.0.1:65536"\n doors = { "admin" }\n}\n', 4, "needs an address"),
                ('listener "a" {\n address = "::1:9600"\n doors = { "admin" }\n}\n', 4, "needs an address"),
                ('listener "a" {\n address = "127.0.0.1:1"\n}\n', 3, "name its doors"),
                ('listener "a" {\n address = "127.0.0.1:1"\n doors = { "vault" }\n}\n', 3, "hadoop\\|admin\\|health"),
                ('listener "a" { address = "127.0.0.1:1" doors = { "admin" }\n require_client_certificate = yes }\n', 2,
                 "needs client_ca"),
                ('listener "a" { address = "[::]:1" doors = { "hadoop" }\n pseudo = yes }\n', 2, "loopback"),
                ('slot "a" {\n}\n', 2, "needs a file")):
            with self.subTest(text):
                for words in (["--check-config"], []):
                    done = self.check(text, *words)
                    self.assertEqual((done.returncode, done.stdout), (2, ""), done.stderr)
                    self.assertRegex(done.stderr, rf"^holdfastd: {self.base}/try.conf:{line}: .*{message}")

    def test_good_ones_are_said_to_be_good(self):
        for address in ("127.0.0.1:9600", "0.0.0.0:0", "[::1]:9600", "[::]:65535", "unix:admin.sock", "unix:/run/a.sock"):
            done = self.check(f'listener "a" {{ address = "{address}" doors = {{ "admin" }} }}\n', "--check-config")
            self.assertEqual((done.returncode, done.stdout), (0, "The configuration is good.\n"), done.stderr)

    def test_without_a_configuration_it_says_how_to_make_one(self):
        done = daemon("--dir", self.base / "nowhere")
        self.assertEqual(done.returncode, 2)
        self.assertRegex(done.stderr, 'there is no .*/nowhere/holdfast.conf; "holdfast --dir D init" makes a node')

    def test_wrong_options_get_the_usage(self):
        for words in (["--nonsense"], ["stray"], ["--dir"]):
            done = daemon(*words)
            self.assertEqual((done.returncode, done.stdout), (2, ""))
            self.assertIn("Usage: holdfastd", done.stderr)


if __name__ == "__main__":
    unittest.main()
