#!/usr/bin/env python3
"""A second machine joins by its own key pair: real daemons over copies of one store, and the program on both sides."""
import http.client
import json
import os
import pathlib
import pty
import shutil
import ssl
import stat
import subprocess
import tempfile
import unittest

from kms import Kms
from node import DAEMON, PROGRAM, Node, UnixConnection, free_port, wait_for


class Joiner:
    """A new machine: a directory that holdfast node join makes, and a daemon over a copy of another node's store."""

    def __init__(self, case, name="node-2"):
        self.base = pathlib.Path(tempfile.mkdtemp(prefix="holdfast-join-"))
        case.addCleanup(self.close)
        self.dir, self.name, self.process = self.base / "node", name, None
        self.port = free_port()

    def close(self):
        self.stop()
        shutil.rmtree(self.base, ignore_errors=True)

    def run(self, *words, code=0, stdin=None):
        done = subprocess.run([str(PROGRAM), "--dir", str(self.dir), *map(str, words)], input=stdin, capture_output=True,
                              text=True, timeout=60)
        self.error = done.stderr
        if done.returncode != code:
            raise AssertionError(f"{words}: exit {done.returncode}, wanted {code}\n{done.stdout}{done.stderr}")
        return done.stdout

    def run_json(self, *words):
        return json.loads(self.run(*words, "--json"))

    def join(self, *hosts):
        options = [word for host in hosts for word in ("--host", host)]
        return self.run_json("node", "join", "--name", self.name, "--site", "east", *options)

    def accept(self, approved):
        return self.run_json("node", "accept", approved["bundle"], "--fingerprint", approved["bundle_fingerprint"],
                             "--listen-hadoop", f"127.0.0.1:{self.port}", "--hadoop-pseudo")

    def connection(self, timeout=30):
        """To its Hadoop door, trusting what it was told to trust."""
        trusted = ssl.create_default_context(cafile=str(self.dir / "ca.crt"))
        return http.client.HTTPSConnection("127.0.0.1", self.port, context=trusted, timeout=timeout)

    def copy_store(self, node):
        """The files of a node that is not running."""
        shutil.rmtree(self.dir / "store", ignore_errors=True)
        shutil.copytree(node.dir / "store", self.dir / "store")

    def health(self, what):
        connection = UnixConnection(self.dir / "admin.sock")
        try:
            connection.request("GET", f"/health/{what}")
            return connection.getresponse().status
        except OSError:
            return 0
        finally:
            connection.close()

    def start(self, state="ready"):
        log = open(self.base / "log", "wb")
        with log:
            self.process = subprocess.Popen([str(DAEMON), "--dir", str(self.dir)], stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log)

        def healthy():
            if self.process.poll() is not None:
                raise AssertionError(f"ended with {self.process.returncode}: {self.log()}")
            return self.health(state) == 200
        wait_for(healthy, f"machine that is {state}")

    def refuses_to_start(self):
        done = subprocess.run([str(DAEMON), "--dir", str(self.dir)], capture_output=True, text=True, timeout=60,
                              stdin=subprocess.DEVNULL)
        if done.returncode != 1:
            raise AssertionError(f"exit {done.returncode}: {done.stderr}")
        return done.stderr

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait(60)
            self.process = None

    def log(self):
        return (self.base / "log").read_text()


class Nodes(unittest.TestCase):
    def setUp(self):
        self.first = Node()
        self.addCleanup(self.first.close)
        self.first.start()
        self.second = Joiner(self)

    def approve_request(self, asked, node=None):
        return (node or self.first).run_json("node", "approve", asked["request"], "--fingerprint", asked["fingerprint"])

    def approve(self, joiner=None):
        """Joined, approved and accepted; gives what each step said."""
        joiner = joiner or self.second
        asked = joiner.join()
        approved = self.approve_request(asked)
        accepted = joiner.accept(approved)
        return asked, approved, accepted

    def settled(self, generation):
        def look():
            root = self.first.run_json("root", "status")
            return not root["moving"] and root
        self.assertEqual(wait_for(look, "end of the rotation", 60)["generation"], generation)

    def copy(self):
        self.assertEqual(self.first.stop(), 0)
        self.second.copy_store(self.first)

    def test_a_machine_joins_without_a_secret_and_opens_what_is_there(self):
        kms = Kms(self.first)
        kms.create("sales", length=128)
        edek = kms.generate("sales")[0]
        dek = kms.decrypt(edek)
        kms.close()
        asked, approved, accepted = self.approve()
        key = self.second.dir / "secrets/node-join.key"
        self.assertEqual(stat.S_IMODE(key.stat().st_mode), 0o600)
        secret = key.read_text().split()[2]
        self.assertNotIn(secret, json.dumps([asked, approved, accepted]))
        self.assertEqual(accepted["slot"], approved["slot"])
        self.assertIn('\nsite = "east"\n', (self.second.dir / "holdfast.conf").read_text())
        self.copy()
        # Nothing of the first node's is there: no key file and no passphrase.
        self.assertEqual({path.name for path in (self.second.dir / "secrets").iterdir()},
                         {"node-join.key", "audit.key", "server.key", "server.crt"})
        self.assertEqual(stat.S_IMODE((self.second.dir / "secrets/server.key").stat().st_mode), 0o600)
        self.assertFalse((self.second.dir / "offline").exists())
        self.second.start()
        self.assertIn("slot node-2 has opened the root key", self.second.log())
        said = self.second.run("why", json.dumps(edek), "--keyring", "hadoop")
        self.assertNotIn("broken", said)
        self.assertRegex(said, r"(?m)^key version +\S*sales@\S* +open")
        self.assertRegex(self.second.run("node", "list"), r"(?m)^node-2 +east +approved +20\S+ +\S+ +20\S+ +unix:\S+ +20")
        # Its own doors hand out the same data key, under the certificate that came with the bundle.
        kms = Kms(self.second)
        self.assertEqual(kms.decrypt(edek), dek)
        kms.close()
        self.assertRegex(self.second.run("status"), r"(?m)^green +certificate:hadoop +.*is good for 7\d\d days")

    def test_without_approval_it_stays_locked_and_says_why(self):
        stranger = Joiner(self, "node-3")
        asked = stranger.join()
        self.approve()
        self.copy()
        # Not approved, but with everything else that an approved one has.
        for name in ("holdfast.conf", "ca.crt", "state", "audit.pub"):
            source = self.second.dir / name
            (shutil.copytree if source.is_dir() else shutil.copy)(source, stranger.dir / name)
        for name in ("audit.key", "server.key", "server.crt"):
            shutil.copy(self.second.dir / "secrets" / name, stranger.dir / "secrets" / name)
        stranger.copy_store(self.first)
        stranger.start("live")
        self.assertEqual(stranger.health("ready"), 503)
        self.assertIn("this store has not approved this node", stranger.log())
        self.assertRegex(stranger.run("status"), r"(?m)^red +seal +locked")
        stranger.run("unlock", "--node-key", stranger.dir / "secrets/node-join.key", code=3)
        stranger.run("unlock", "--node-key", self.second.dir / "secrets/node-join.key")
        self.assertEqual(self.approve_request(asked, stranger)["name"], "node-3")
        stranger.run("lock")
        stranger.run("unlock", "--node-key", stranger.dir / "secrets/node-join.key")

    def test_the_bundle_ties_the_machine_to_its_store(self):
        other = Node()
        self.addCleanup(other.close)
        other.start()
        asked, approved, _ = self.approve()
        elsewhere = self.approve_request(asked, other)
        self.second.run("node", "accept", elsewhere["bundle"], "--fingerprint", elsewhere["bundle_fingerprint"], code=5)
        self.assertIn("pins another store", self.second.error)
        self.assertEqual(other.stop(), 0)
        self.second.copy_store(other)
        self.assertIn("belongs to store", self.second.refuses_to_start())
        # A store that says it is the right one, under another root: the right id in the wrong pin.
        pin = self.second.dir / "state/pin"
        right = pin.read_text()
        pin.write_text(right.replace(right.split()[-1], "00" * 32))
        self.copy()
        self.assertIn("root key is not the one that this node knows", self.second.refuses_to_start())
        pin.write_text(right)
        self.second.start()
        # Accepting again changes nothing.
        before = pin.read_text()
        self.second.run("node", "accept", "-", "--fingerprint", approved["bundle_fingerprint"],
                        stdin=approved["bundle"] + "\n")
        self.assertEqual(pin.read_text().splitlines()[:2], before.splitlines()[:2])

    def test_a_removed_machine_opens_nothing_new(self):
        self.approve()
        before = self.second.base / "before"
        self.assertEqual(self.first.stop(), 0)
        shutil.copytree(self.first.dir / "store", before)
        self.first.start()
        said = self.first.run("node", "remove", "node-2")
        self.assertRegex(said, "(?s)Node node-2 and its slot are removed.*Root 2 is in force.*What remains: whoever has")
        self.settled(2)
        self.first.run("key", "create", "hadoop/after")
        self.assertEqual([slot["name"] for slot in self.first.run_json("slot", "list")["slots"] if
                          slot["protector"] == "node"], [])
        self.assertEqual([node["state"] for node in self.first.run_json("node", "list")["nodes"]], ["removed"])
        self.copy()
        self.second.start("live")
        self.assertEqual(self.second.health("ready"), 503)
        self.assertIn("or has removed it", self.second.log())
        self.second.run("unlock", "--node-key", self.second.dir / "secrets/node-join.key", code=4)
        # With the node's pin as it was, what it kept is what the remover was told: the old copy, and that alone.
        self.second.stop()
        shutil.rmtree(self.second.dir / "store")
        shutil.copytree(before, self.second.dir / "store")
        self.second.start()
        self.second.run("key", "show", "hadoop/after", code=4)
        # The key never comes back; a new one may take the name.
        self.first.start()
        asked = self.second.join()
        self.first.run("node", "approve", asked["request"], "--fingerprint", asked["fingerprint"], code=5)
        self.assertIn("a removed key never comes back", self.first.error)
        successor = Joiner(self)
        self.approve(successor)
        self.assertEqual(self.first.stop(), 0)
        successor.copy_store(self.first)
        successor.start()

    def test_a_node_that_was_away_follows_a_rotation(self):
        self.approve()
        self.first.run("root", "rotate")
        self.settled(2)
        self.copy()
        self.second.start()
        self.assertIn("root 2 ", (self.second.dir / "state/pin").read_text())

    def test_what_is_not_as_it_was_printed_is_refused(self):
        asked = self.second.join()
        self.assertEqual(self.second.join(), asked)
        request, fingerprint = asked["request"], asked["fingerprint"]
        self.assertRegex(fingerprint, "^([0-9A-HJKMNP-TV-Z]{4}-){4}[0-9A-HJKMNP-TV-Z]{4}$")
        for words, code, says in (
                ((request, "--fingerprint", "0000-" + fingerprint[5:]), 2, "do not approve it"),
                ((request,), 2, "give --fingerprint F, as the other machine shows it: there is no terminal"),
                ((request[:-4], "--fingerprint", fingerprint), 2, "cut or was edited"),
                ((request.replace("-2:", "-3:"), "--fingerprint", fingerprint), 2, "the same Holdfast"),
                (("holdfast-nonsense", "--fingerprint", fingerprint), 2, "begins with"),
                ((self.second.dir / "no-such-file",), 2, "cannot read")):
            with self.subTest(says):
                self.first.run("node", "approve", *words, code=code, stdin=b"")
                self.assertIn(says, self.first.error)
        self.assertEqual(self.first.run_json("node", "list"), {"nodes": []})
        file = self.second.base / "request"
        file.write_text(request + "\n")
        said = self.first.run("node", "approve", file, "--fingerprint", fingerprint.lower().replace("-", " "))
        key = self.first.run_json("node", "list")["nodes"][0]["fingerprint"]
        self.assertIn(f"Node node-2 with the key {key} is approved", said)
        self.assertIn("Its certificate is for: localhost,127.0.0.1,::1\n", said)
        again = self.approve_request(asked)
        right = "--fingerprint", again["bundle_fingerprint"]
        self.assertEqual(len([slot for slot in self.first.run_json("slot", "list")["slots"]
                              if slot["protector"] == "node"]), 1)
        self.assertEqual(again["name"], "node-2")
        stranger = Joiner(self, "node-3")
        stranger.run("node", "accept", again["bundle"], *right, code=5)
        self.assertIn("begin with 'holdfast node join'", stranger.error)
        stranger.join()
        stranger.run("node", "accept", again["bundle"], *right, code=2)
        self.assertIn("the bundle is for another machine", stranger.error)
        self.second.run("node", "accept", again["bundle"], "--fingerprint", fingerprint, code=2)
        self.assertIn("do not accept it", self.second.error)
        self.second.run("node", "accept", again["bundle"], code=2, stdin="")
        self.assertIn("there is no terminal to ask at", self.second.error)
        self.assertFalse((self.second.dir / "holdfast.conf").exists())
        self.assertFalse((self.second.dir / "state/pin").exists())
        self.second.run("node", "accept", again["bundle"], *right)
        self.assertTrue((self.second.dir / "holdfast.conf").exists())

    def answer(self, directory, answer, *words):
        """The exit code of a program that asks at a terminal."""
        ours, theirs = pty.openpty()
        try:
            os.write(ours, answer.encode() + b"\n")
            return subprocess.run([str(PROGRAM), "--dir", str(directory), *words], stdin=theirs, capture_output=True,
                                  check=False, timeout=60).returncode
        finally:
            os.close(ours)
            os.close(theirs)

    def test_a_person_at_a_terminal_is_asked(self):
        asked = self.second.join()
        approve = self.first.dir, "node", "approve", asked["request"]
        self.assertEqual(self.answer(approve[0], "n", *approve[1:]), 2)
        self.assertEqual(self.first.run_json("node", "list"), {"nodes": []})
        self.assertEqual(self.answer(approve[0], "y", *approve[1:]), 0)
        self.assertEqual([node["state"] for node in self.first.run_json("node", "list")["nodes"]], ["approved"])
        accept = self.second.dir, "node", "accept", self.approve_request(asked)["bundle"]
        self.assertEqual(self.answer(accept[0], "", *accept[1:]), 2)
        self.assertFalse((self.second.dir / "state/pin").exists())
        self.assertEqual(self.answer(accept[0], "y", *accept[1:]), 0)
        self.assertTrue((self.second.dir / "state/pin").exists())

    def test_a_configuration_that_is_refused_is_not_left_behind(self):
        approved = self.approve_request(self.second.join())
        accept = "node", "accept", approved["bundle"], "--fingerprint", approved["bundle_fingerprint"]
        self.second.run(*accept, "--listen-hadoop", "nowhere", code=2)
        self.assertFalse((self.second.dir / "holdfast.conf").exists())
        self.second.run(*accept, "--listen-hadoop", f"127.0.0.1:{self.second.port}")
        self.assertIn("No --store was given", self.second.error)
        configuration = (self.second.dir / "holdfast.conf").read_text()
        self.assertIn(f"127.0.0.1:{self.second.port}", configuration)
        # Given again with what was meant, it says that it was not heard.
        meant = "--store", "postgres", "--store-host", "127.0.0.1:5432", "--store-synchronous", "0"
        self.second.run(*accept, *meant)
        self.assertIn("holdfast.conf was there and stays as it is", self.second.error)
        self.assertNotIn("No --store was given", self.second.error)
        self.assertEqual((self.second.dir / "holdfast.conf").read_text(), configuration)
        (self.second.dir / "holdfast.conf").unlink()
        self.second.run(*accept, *meant)
        self.assertEqual(self.second.error, "")
        self.assertIn('engine = "postgres"', (self.second.dir / "holdfast.conf").read_text())

    def test_the_certificate_is_for_the_names_that_were_asked_for(self):
        def names(pem):
            done = subprocess.run(["openssl", "x509", "-noout", "-subject", "-ext", "subjectAltName,extendedKeyUsage"],
                                  input=pem.read_text(), capture_output=True, text=True, check=True)
            return done.stdout
        certificate = self.second.dir / "secrets/server.crt"
        asked = self.second.join("kms2.example.net", "192.0.2.2", "2001:db8::2")
        self.assertEqual(asked["certified_for"], "localhost,127.0.0.1,::1,kms2.example.net,192.0.2.2,2001:db8::2")
        approved = self.approve_request(asked)
        self.assertEqual(approved["certified_for"], asked["certified_for"])
        self.second.accept(approved)
        said = names(certificate)
        self.assertIn("CN = node-2", said)
        self.assertIn("DNS:localhost, DNS:kms2.example.net, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1, "
                      "IP Address:192.0.2.2, IP Address:2001:DB8:0:0:0:0:0:2", said)
        self.assertIn("TLS Web Server Authentication\n", said)
        subprocess.run(["openssl", "verify", "-CAfile", self.first.dir / "ca.crt", certificate], check=True,
                       capture_output=True)
        wait_for(lambda: "certified for localhost,127.0.0.1,::1,kms2.example.net" in
                 (self.first.dir / "audit/audit.log").read_text(), "record of the approval")
        # Whoever has one is asked for no other, unless he names hosts: then the new one takes its place.
        self.assertEqual(self.second.join()["certified_for"], "")
        again = self.approve_request(self.second.join("kms9.example.net"))
        self.second.accept(again)
        self.assertIn("kms9.example.net", names(certificate))
        # A certificate of somebody else's key is not taken.
        (self.second.dir / "secrets/server.key").unlink()
        (self.second.dir / "secrets/server.crt").unlink()
        self.second.join()
        self.second.run("node", "accept", again["bundle"], "--fingerprint", again["bundle_fingerprint"], code=2)
        self.assertIn("is not for the key in", self.second.error)

    def test_names_that_cannot_be_make_nothing(self):
        for words in (("--name", "a/b"), ("--name", "n", "--site", "a b"), ("--name", "n" * 65), (),
                      ("--name", "n", "--host", "a b"), ("--name", "n", "--host", "a,b"), ("--name", "n", "--host", ""),
                      ("--name", "n", "--host", "kms.example.net:9600"), ("--name", "n", "--host", "192.0.2.1:9600"),
                      ("--name", "n", "--host", "192.0.2.256"),
                      ("--name", "n", *["--host", "h" * 200] * 6)):
            with self.subTest(words):
                self.second.run("node", "join", *words, code=2)
                self.assertFalse(self.second.dir.exists())

    def test_a_draining_node_is_left_and_comes_back(self):
        self.approve()
        self.copy()
        self.second.start()
        self.assertIn("is draining", self.second.run("node", "drain", "node-2"))
        self.assertEqual(self.second.health("ready"), 503)
        self.assertRegex(self.second.run("node", "show", "node-2"), "(?m)^state: draining$")
        self.assertIn("serves again", self.second.run("node", "drain", "node-2", "--undo"))
        self.assertEqual(self.second.health("ready"), 200)
        self.second.run("node", "drain", "nobody", code=4)
        self.second.run("slot", "remove", "node-2", code=5)
        self.assertIn("holdfast node remove node-2", self.second.error)

    def test_a_keyring_may_ask_for_a_second_person(self):
        self.first.run("keyring", "create", "careful", "--approve-slot-removal", "yes")
        asked = self.second.join()
        self.first.run("node", "approve", asked["request"], "--fingerprint", asked["fingerprint"], code=5)
        self.assertIn("this needs a second person: approval ", self.first.error)
        waiting = self.first.run_json("approval", "list")["approvals"]
        self.assertEqual([(a["operation"], a["key"]) for a in waiting], [("node.approve", "node-2")])
        self.assertEqual(self.first.run_json("node", "list"), {"nodes": []})


if __name__ == "__main__":
    unittest.main()
