#!/usr/bin/env python3
"""Members of a shared store, with real daemons on a real PostgreSQL: the first node enrolls itself, others join."""
import json
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import postgres  # noqa: E402
from nodes import Kms, Member, RemoteException, store_options  # noqa: E402
from node import PROGRAM, Node, free_port, wait_for  # noqa: E402


class Wire:
    """The way from one node to the database, which can be cut."""

    def __init__(self, port):
        self.to = port
        self.ends = []
        self.whole = True
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                near = self.listener.accept()[0]
            except OSError:
                return
            if not self.whole:
                near.close()
                continue
            far = socket.create_connection(("127.0.0.1", self.to))
            self.ends += [near, far]
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self.pass_on, args=(one, other), daemon=True).start()

    @staticmethod
    def pass_on(one, other):
        try:
            while data := one.recv(65536):
                other.sendall(data)
        except OSError:
            pass
        one.close()
        other.close()

    def cut(self):
        self.whole = False
        for end in self.ends:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.ends.clear()

    def mend(self):
        self.whole = True

    def close(self):
        self.cut()
        self.listener.close()


def item(node, name):
    """One line of a node's status, or None."""
    return next((entry for entry in node.run_json("status")["items"] if entry["item"] == name), None)


def opens(node, edek):
    """The data key, or None where it is not known yet."""
    kms = Kms(node)
    try:
        return kms.decrypt(edek)
    except RemoteException:
        return None
    finally:
        kms.close()


def health(node):
    """How it says whether it is ready."""
    return node.admin("GET", "/health/ready", quiet=True)[0]


def members(node):
    return {entry["name"]: entry for entry in node.run_json("node", "list")["nodes"]}


class Members(postgres.DatabaseCase):
    def first(self, *options):
        node = Node(*store_options([self.server.port], 0), *options)
        self.addCleanup(node.close)
        return node

    def slot(self, node, name):
        return next(entry for entry in node.run_json("slot", "list")["slots"] if entry["name"] == name)

    def test_the_first_node_of_a_store_made_there_is_its_first_member(self):
        node = self.first("--site", "east")
        self.assertFalse((node.dir / "secrets/node.key").exists())
        node.start()
        self.assertEqual(members(node)["node-1"]["site"], "east")
        self.assertEqual([(entry["state"], entry["approved_by"]) for entry in members(node).values()],
                         [("approved", "system")])
        self.assertEqual(item(node, "member")["light"], "green")
        slot = self.slot(node, "node-1")
        self.assertEqual((slot["protector"], slot["id"]), ("node", members(node)["node-1"]["slot"]))
        self.assertIsNotNone(members(node)["node-1"]["proven"])
        # It is where the configuration says, from the next start on.
        node.stop()
        node.configure('site = "east"', 'site = "west"')
        node.start()
        self.assertEqual(members(node)["node-1"]["site"], "west")
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


    def test_a_node_that_joined_serves_and_is_administered_over_tls_at_once(self):
        first = self.first("--listen-admin", f"127.0.0.1:{free_port()}")
        first.start()
        port = free_port()
        second = self.joined(first, 2, "--listen-admin", f"127.0.0.1:{port}", site="west")
        second.start()
        self.assertEqual(members(second)["node-2"]["site"], "west")
        self.assertIn("at site west", item(second, "member")["text"])
        # The administrator's certificate is the first node's; the authority is everybody's.
        said = first.run("--server", f"https://127.0.0.1:{port}", "node", "show", "node-2")
        self.assertRegex(said, "(?m)^site: west$")
        maker = Kms(second)
        maker.create("made-there")
        edek = maker.generate("made-there")[0]
        wait_for(lambda: opens(first, edek) == maker.decrypt(edek), "key of the second node")
        maker.close()
        for name in ("certificate:hadoop", "certificate:admin-tls"):
            self.assertEqual(item(second, name)["light"], "green")

    def joined(self, first, number, *options, site=None):
        node = Member(first, number, *options, site=site)
        self.addCleanup(node.close)
        return node

    def test_who_slept_through_a_rotation_of_the_root_opens_on_by_himself(self):
        wire = Wire(self.server.port)
        self.addCleanup(wire.close)
        first = self.first()
        first.start()
        stopped, absent, cut_off = (self.joined(first, number) for number in (2, 3, 4))
        cut_off.configure(f"127.0.0.1:{self.server.port}", f"127.0.0.1:{wire.port}")
        for node in (stopped, absent, cut_off):
            node.start()
        maker = Kms(first)
        maker.create("before")
        edek = maker.generate("before")[0]
        dek = maker.decrypt(edek)
        for node in (stopped, absent, cut_off):
            wait_for(lambda: opens(node, edek) == dek, "key of the first node")
        stopped.process.send_signal(signal.SIGSTOP)
        self.addCleanup(stopped.process.send_signal, signal.SIGCONT)
        absent.stop()
        wire.cut()
        wait_for(lambda: item(cut_off, "mirror")["light"] == "amber", "node that is cut off")
        for generation in (2, 3):
            first.run("root", "rotate")
            wait_for(lambda: first.run_json("root", "status")["moving"] is False, "end of the rotation")
        self.assertEqual(first.run_json("root", "status")["generation"], 3)
        maker.create("after")
        later = maker.generate("after")[0]
        # Meanwhile it opens what it knows.
        self.assertEqual(opens(cut_off, edek), dek)
        self.assertIn("root generation 1,", item(cut_off, "seal")["text"])
        stopped.process.send_signal(signal.SIGCONT)
        absent.start()
        wire.mend()
        for node, number in ((stopped, 2), (absent, 3), (cut_off, 4)):
            with self.subTest(node=number):
                wait_for(lambda: opens(node, later), "key that was made under the new root")
                self.assertEqual(opens(node, edek), dek)
                self.assertIn("root generation 3,", item(node, "seal")["text"])
                self.assertIsNone(item(node, "root"))
                wait_for(lambda: members(first)[f"node-{number}"]["proven_generation"] == 3, "proof of its slot")
        for node, number in ((stopped, 2), (cut_off, 4)):
            self.assertRegex(node.log_text(), f"slot node-{number} has opened root generation 3")
        maker.close()

    def locked_itself(self, node):
        """A removed node that still runs."""
        node.wait_until("live")
        seal = wait_for(lambda: (found := item(node, "seal"))["light"] == "red" and found, "node that locks itself", 120)
        self.assertIn("this node was removed from its store", seal["text"])
        self.assertEqual(health(node), 503)
        self.assertIsNone(node.process.poll())
        self.assertIn("was removed from its store and has locked itself", node.log_text())

    def test_a_node_that_is_removed_while_it_runs_locks_itself(self):
        first = self.first()
        first.start()
        second, third = (self.joined(first, number) for number in (2, 3))
        for node in (second, third):
            node.start()
        maker = Kms(first)
        maker.create("before")
        edek = maker.generate("before")[0]
        dek = maker.decrypt(edek)
        for node in (second, third):
            wait_for(lambda: opens(node, edek) == dek, "key of the first node", 120)
        self.assertNotIn("It is the node that was asked", first.run("node", "remove", "node-2"))
        self.locked_itself(second)
        second.run("key", "show", "hadoop/before", code=5)
        self.assertIn("the node is locked: it was removed from its store", second.error)
        # A start does not change it.
        self.assertEqual(second.stop(), 0)
        second.start(ready=False)
        self.assertEqual(health(second), 503)
        # Another one goes by itself, and says so.
        wait_for(lambda: first.run_json("root", "status")["moving"] is False, "end of the rotation", 120)
        self.assertIn("It is the node that was asked", third.run("node", "remove", "node-3"))
        self.locked_itself(third)
        # Who is left goes on, and is not to be removed.
        wait_for(lambda: first.run_json("root", "status")["moving"] is False, "end of the rotation", 120)
        first.run("node", "remove", "node-1", code=5)
        self.assertIn("node node-1 is the last member", first.error)
        maker.create("after")
        self.assertEqual(maker.decrypt(edek), dek)
        maker.close()

    def test_a_store_that_had_members_before_it_was_shared_has_its_node_among_them(self):
        with Node() as node:
            node.start()
            with tempfile.TemporaryDirectory(prefix="holdfast-test-") as other:
                asked = json.loads(subprocess.run([PROGRAM, "--dir", f"{other}/node", "node", "join", "--name", "node-2",
                                                   "--json"], capture_output=True, check=True, timeout=120).stdout)
            node.run("node", "approve", asked["request"], "--fingerprint", asked["fingerprint"])
            self.assertEqual(list(members(node)), ["node-2"])
            node.stop()
            node.run("store", "migrate", "--to", *store_options([self.server.port], 0)[1:], "--switch")
            node.start()
            wait_for(lambda: members(node).get("node-1", {}).get("state") == "approved", "place on the list", 120)
            self.assertEqual(item(node, "member")["light"], "green")
            kms = Kms(node)
            kms.create("after")
            kms.close()


if __name__ == "__main__":
    if postgres.binaries() is None:
        print("skipped: PostgreSQL is not installed; see tests/deps")
        sys.exit(77)
    unittest.main()
