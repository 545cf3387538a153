#!/usr/bin/env python3
"""Many connections with large bodies: they are told to come again, memory stays, and all others are served."""
import json
import re
import socket
import threading
import unittest

from kms import Kms
from node import Node, wait_for

ROOM = 8  # MiB for the bytes of requests, all connections together
ATTACKERS = 96
LARGE = 1 << 20  # a batch: together twelve times the room
MIDDLE = 250000  # the most that the REST door takes: together three times


def answer_of(wire):
    """Status, headers and body of the one answer that comes before the connection ends."""
    data = b""
    while piece := wire.recv(65536):
        data += piece
    head, body = data.split(b"\r\n\r\n", 1)
    status, *lines = head.decode().split("\r\n")
    return int(status.split()[1]), dict(line.split(": ", 1) for line in lines), body


class Attacker(threading.Thread):
    """Sends a body but for its last byte, and holds on until it is let go or gets an answer."""

    def __init__(self, wire, head, size):
        super().__init__()
        self.wire, self.data, self.answer = wire, head + bytes(size - 1), None
        self.wire.settimeout(60)
        self.sent = False

    def run(self):
        try:
            self.wire.sendall(self.data)
        except OSError:
            pass  # refused meanwhile: its answer is there to be read
        self.sent = True
        try:
            self.answer = answer_of(self.wire)
        except (OSError, ValueError):
            pass  # nothing was said before the test has ended the connection

    def let_go(self):
        try:
            self.wire.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.join()
        self.wire.close()


class Overload(unittest.TestCase):
    def setUp(self):
        self.node = Node()
        self.addCleanup(self.node.close)
        with open(self.node.dir / "holdfast.conf", "a", encoding="ascii") as configuration:
            configuration.write(f"threads {{\n    max_buffered_mib = {ROOM}\n}}\n")
        self.node.start()
        self.kms = Kms(self.node)
        self.addCleanup(self.kms.close)
        self.kms.create("zone")

    def resident(self):
        with open(f"/proc/{self.node.process.pid}/status", encoding="ascii") as status:
            return int(re.search(r"VmRSS:\s+(\d+) kB", status.read())[1]) * 1024

    def metric(self, name):
        return int(re.search(rf"^{name} (\d+)$", self.node.admin("GET", "/health/metrics")[1], re.M)[1])

    def attack(self, path, size, connect, cookie=""):
        head = (f"POST {path} HTTP/1.1\r\nHost: holdfast\r\nContent-Type: application/json\r\n{cookie}"
                f"Content-Length: {size}\r\n\r\n").encode()
        attackers = [Attacker(connect(), head, size) for _ in range(ATTACKERS)]
        for attacker in attackers:
            attacker.start()
            self.addCleanup(attacker.let_go)
        wait_for(lambda: all(attacker.sent for attacker in attackers), "end of the attackers' sending")
        return attackers

    def tls_wire(self):
        return self.node.tls.wrap_socket(socket.create_connection(("127.0.0.1", self.node.port)),
                                         server_hostname="127.0.0.1")

    def check(self, attackers):
        """Most were refused; the others hold what they may, and everybody else is served meanwhile."""
        wait_for(lambda: sum(a.answer is not None for a in attackers) >= ATTACKERS // 2, "refusals")
        refused = [attacker.answer for attacker in attackers if attacker.answer]
        for status, headers, _ in refused:
            self.assertEqual((status, headers["Retry-After"], headers["Connection"]), (503, "1", "close"))
        self.assertGreaterEqual(self.metric("holdfast_http_no_room_total"), len(refused))
        held = self.metric("holdfast_http_buffered_bytes")
        self.assertLessEqual(held, ROOM << 20)
        edek = self.kms.generate("zone")[0]
        self.kms.decrypt(edek)
        self.kms.roll("zone")
        self.assertEqual(self.node.run_json("status")["light"], "amber")  # for the offline secret, as always
        for attacker in attackers:
            attacker.let_go()
        wait_for(lambda: self.metric("holdfast_http_buffered_bytes") == 0, "room given back")
        batch = self.kms.batch("zone", [edek] * 100)
        self.assertEqual(len(batch), 100)
        return [json.loads(body) for _, _, body in refused]

    def test_the_hadoop_door_over_tls(self):
        before = self.resident()
        cookie = f"Cookie: hadoop.auth={self.kms.cookie}\r\n"
        attackers = self.attack("/kms/v1/key/zone/_reencryptbatch", LARGE, self.tls_wire, cookie)
        # Buffers grow by doubling; all bodies together would be twelve times the room.
        self.assertLess(self.resident() - before, 4 * (ROOM << 20))
        for body in self.check(attackers):
            self.assertEqual(body["RemoteException"]["javaClassName"], "java.io.IOException")

    def test_the_rest_door_on_its_socket(self):
        def connect():
            wire = socket.socket(socket.AF_UNIX)
            wire.connect(str(self.node.dir / "admin.sock"))
            return wire
        attackers = self.attack("/api/v1/keyrings/hadoop/keys/zone/encrypt", MIDDLE, connect)
        for body in self.check(attackers):
            self.assertEqual(body["error"]["code"], "unavailable")
            self.assertIn("ask again", body["error"]["message"])

    def test_strangers_cannot_hold_more_either(self):
        before = self.resident()
        attackers = self.attack("/kms/v1/key/zone/_reencryptbatch", LARGE, self.tls_wire)
        self.assertLess(self.resident() - before, 4 * (ROOM << 20))
        wait_for(lambda: sum(a.answer is not None for a in attackers) >= ATTACKERS // 2, "refusals")
        self.assertEqual({a.answer[0] for a in attackers if a.answer}, {401})
        self.assertEqual(len(self.kms.decrypt(self.kms.generate("zone")[0])), 16)
        self.assertLessEqual(self.metric("holdfast_http_buffered_bytes"), ROOM << 20)
        self.assertTrue(b64(b""), "") if False else None


if __name__ == "__main__":
    unittest.main()
