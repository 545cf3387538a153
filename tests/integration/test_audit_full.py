#!/usr/bin/env python3
"""
The disk of the audit trail runs full under a serving node: what "stop" and "go-on" do at both doors, what status and
metrics say, that work goes on when there is room again, and that the trail is whole afterwards.
"""
import http.client
import json
import os
import re
import ssl
import subprocess
import sys
import unittest

from kms import Kms, RemoteException, b64
from node import Node, free_port, wait_for

KEY = "/api/v1/keyrings/hadoop/keys/full"
ENOUGH = 100  # calls: their lines are many times what the last page has room for
INSIDE = "HOLDFAST_MOUNTS"  # set where this program may mount


class SmallDisk:
    """A tmpfs of 256 KiB where the node's trail is kept."""

    def __init__(self, node):
        self.directory = node.dir / "audit"
        self.filler = self.directory / "filler"
        trail = {path.name: path.read_bytes() for path in self.directory.iterdir()}
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k,mode=700", "tmpfs", self.directory], check=True)
        for name, content in trail.items():
            (self.directory / name).write_bytes(content)

    def fill(self):
        with open(self.filler, "wb", buffering=0) as file:
            try:
                while file.write(bytes(4096)):
                    pass
            except OSError:
                pass
        assert os.statvfs(self.directory).f_bavail == 0

    def make_room(self):
        self.filler.unlink()

    def lines(self, operation, outcome="ok"):
        """The whole lines of that operation."""
        lines = [json.loads(line) for path in sorted(self.directory.glob("audit.log*"))
                 for line in path.read_bytes().split(b"\n")[:-1]]
        return [line for line in lines if line["operation"] == operation and line.get("outcome", "ok") == outcome]

    def close(self):
        subprocess.run(["umount", "-l", self.directory], check=True)


class Full(unittest.TestCase):
    def serve(self, when_full):
        port = free_port()
        self.node = Node("--listen-admin", f"127.0.0.1:{port}")
        self.addCleanup(self.node.close)
        self.disk = SmallDisk(self.node)
        self.addCleanup(self.disk.close)
        with open(self.node.dir / "holdfast.conf", "a", encoding="ascii") as configuration:
            configuration.write(f'audit {{\n    when_full = "{when_full}"\n}}\n')
            # What a user without privileges may lock, in a name space of his own too.
            configuration.write("memory {\n    secret_mib = 4\n}\n")
        # Another person, to whom the one who ran init may give the right to export.
        self.node.add_second(port)
        self.node.start()
        self.node.second_joins()
        self.node.run("policy", "grant", "--who", "cert:second", "--role", "key-user", "--action", "key.export")
        tls = ssl.create_default_context(cafile=str(self.node.dir / "ca.crt"))
        tls.load_cert_chain(self.node.second_dir / "secrets/admin.crt", self.node.second_dir / "secrets/admin.key")
        self.admin_wire = http.client.HTTPSConnection("127.0.0.1", port, context=tls, timeout=30)
        self.addCleanup(self.admin_wire.close)
        self.kms = Kms(self.node)
        self.addCleanup(lambda: self.kms.close())
        self.kms.create("zone")
        self.assertEqual(self.admin("POST", "/api/v1/keyrings/hadoop/keys",
                                    {"name": "full", "algorithm": "aes-256", "exportable": True})[0], 201)

    def admin(self, method, path, body=None):
        """One call with the certificate of the second person; status 0 when the connection ended without an answer."""
        try:
            self.admin_wire.request(method, path, None if body is None else json.dumps(body),
                                    {"Content-Type": "application/json"})
            answer = self.admin_wire.getresponse()
            return answer.status, json.loads(answer.read())
        except (http.client.RemoteDisconnected, ConnectionError):
            self.admin_wire.close()
            return 0, None

    def encrypt(self):
        return self.admin("POST", f"{KEY}/encrypt", {"plaintext": b64(b"some bytes")})[0]

    def generate(self):
        """200, or 500 with the class that Hadoop's clients take for a server in trouble, or 0: no answer at all."""
        try:
            self.kms.generate("zone")
            return 200
        except RemoteException as refusal:
            self.assertEqual(refusal.java_class, "java.io.IOException")
            self.assertEqual(refusal.message, "The server has no space left for this.")
            return refusal.status
        except (http.client.RemoteDisconnected, ConnectionError):
            self.kms.close()
            return 0

    def metric(self, name):
        text = self.node.admin("GET", "/health/metrics")[1]
        return int(re.search(rf"^{name} (\d+)$", text, re.M)[1])

    def light(self):
        """Colour and text of the status item."""
        items = {item["item"]: item for item in self.node.run_json("status")["items"]}
        return items["audit"]["light"], items["audit"]["text"]

    def go_on_when_there_is_room(self):
        self.disk.make_room()
        wait_for(lambda: self.generate() == 200 and self.metric("holdfast_audit_full") == 0,
                 "trail that takes lines again after there was room")
        self.assertEqual(self.encrypt(), 200)
        self.assertEqual(len(self.disk.lines("audit.resumed")), 1)

    def verify(self):
        """The trail is whole, also for a verification that reads it while the server writes and after its end."""
        self.assertIn("The chain is whole", self.node.run("audit", "verify"))
        self.assertEqual(self.node.stop(), 0)
        report = self.node.run("audit", "verify")
        self.assertIn("The chain is whole", report)
        self.assertIn("every signature is right", report)
        return report

    def test_stop_gives_no_answer_that_is_not_recorded(self):
        self.serve("stop")
        self.assertEqual((self.generate(), self.encrypt()), (200, 200))
        self.assertEqual(self.light()[0], "green")
        self.disk.fill()
        generated = [self.generate() for _ in range(ENOUGH)]
        self.assertEqual(generated[-50:], [500] * 50, "a full disk refuses, again and again")
        encrypted = [self.encrypt() for _ in range(ENOUGH)]
        self.assertEqual(set(encrypted), {507})
        self.assertEqual(self.metric("holdfast_audit_full"), 1)
        self.assertGreater(self.metric("holdfast_audit_lost_total"), ENOUGH)
        self.assertEqual(self.light(), ("red", "the disk of the audit trail is full; make room"))
        # A change carries its record into the store, and the trail gets it later.
        self.kms.create("made-meanwhile")
        self.assertEqual([line for line in self.disk.lines("key.create") if line["key"] == "made-meanwhile"], [])
        self.go_on_when_there_is_room()
        wait_for(lambda: [line for line in self.disk.lines("key.create") if line["key"] == "made-meanwhile"],
                 "record of the key that was made while the trail was full")
        self.assertEqual(self.light()[0], "amber")
        report = self.verify()
        self.assertIn("found no space on the disk", report)
        answered = 2 + generated.count(200)  # one before, one after
        recorded = len(self.disk.lines("key.generate"))
        self.assertGreaterEqual(recorded, answered)
        # At most one line was written whose answer did not leave.
        self.assertLessEqual(recorded, answered + generated.count(0))

    def test_go_on_serves_and_counts_what_is_lost(self):
        self.serve("go-on")
        self.disk.fill()
        self.assertEqual([self.generate() for _ in range(ENOUGH)], [200] * ENOUGH)
        self.assertEqual([self.encrypt() for _ in range(ENOUGH)], [200] * ENOUGH)
        # Exports are on the disk or refused, whatever the setting says.
        status, refusal = self.admin("POST", f"{KEY}/export", {"version": 1})
        self.assertEqual((status, refusal["error"]["code"]), (507, "no_space"), refusal)
        self.assertEqual(self.metric("holdfast_audit_full"), 1)
        self.assertEqual(self.light()[0], "red")
        self.go_on_when_there_is_room()
        lost = self.metric("holdfast_audit_lost_total")
        self.assertEqual(self.light(), ("amber", f"{lost} lines were lost while the disk was full"))
        self.assertEqual(self.admin("POST", f"{KEY}/export", {"version": 1})[0], 200)
        self.assertIn(f"The trail itself says that {lost} lines found no space on the disk", self.verify())
        recorded = len(self.disk.lines("key.generate")) + len(self.disk.lines("key.encrypt"))
        self.assertLess(recorded, 2 * ENOUGH)
        # Nothing is missing that is not counted.
        self.assertGreaterEqual(recorded + lost, 2 * ENOUGH + 2)
        self.assertEqual(len(self.disk.lines("key.export")), 1)

    def test_a_node_that_starts_on_a_full_disk_refuses_until_there_is_room(self):
        self.serve("stop")
        self.disk.fill()
        wait_for(lambda: self.generate() == 500, "refusal")
        self.node.kill()
        self.kms.close()
        self.admin_wire.close()
        self.node.start()
        wait_for(lambda: self.generate() == 500, "refusal after the restart")
        self.assertEqual(self.encrypt(), 507)
        self.assertEqual(self.metric("holdfast_audit_full"), 1)
        self.go_on_when_there_is_room()
        self.verify()


def enter_own_mounts():
    """Starts this program again where it may mount; ends with 77 where nobody lets it."""
    for flags in (["-m"], ["-Urm"]):
        if subprocess.run(["unshare", *flags, "mount", "-t", "tmpfs", "tmpfs", "/mnt"],
                          capture_output=True, check=False).returncode == 0:
            os.environ[INSIDE] = "1"
            os.execvp("unshare", ["unshare", *flags, sys.executable, *sys.argv])
    print("skip: neither root nor user namespaces give a mount of our own for a small disk")
    sys.exit(77)


if __name__ == "__main__":
    if INSIDE not in os.environ:
        enter_own_mounts()
    unittest.main()
