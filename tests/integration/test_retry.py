#!/usr/bin/env python3
"""Hadoop's client repeats create and roll without saying so: the repeat gets the first result (P3)."""
import http.client
import json
import socket
import sqlite3
import struct
import threading
import unittest

from kms import Kms, RemoteException
from node import Node, wait_for


class CuttingProxy:
    """Passes bytes on until it is told to cut: then both sides are reset at once."""

    def __init__(self, port):
        self.upstream = port
        self.sockets = []
        self.taken = self.passed = 0  # pieces of requests: taken from the client, passed on to the server
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.upstream))
            self.sockets += [client, server]
            for way in ((client, server, 1), (server, client, 0)):
                threading.Thread(target=self.pump, args=way, daemon=True).start()

    def pump(self, source, target, asks):
        try:
            while data := source.recv(65536):
                self.taken += asks
                target.sendall(data)
                self.passed += asks
        except OSError:
            pass

    def cut(self):
        for side in self.sockets:
            side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            side.shutdown(socket.SHUT_RD)
            side.close()
        self.sockets = []

    def close(self):
        self.listener.close()


def connections(port):
    """Established connections at the node's port, and the bytes it has not read yet, as the kernel knows them."""
    wanted = f":{port:04X}"
    with open("/proc/net/tcp", encoding="ascii") as table:
        rows = [row for row in (line.split() for line in table) if row[1].endswith(wanted) and row[3] == "01"]
    return len(rows), sum(int(row[4].split(":")[1], 16) for row in rows)


class Retry(unittest.TestCase):
    def setUp(self):
        self.node = Node().start()
        self.addCleanup(self.node.close)
        self.proxy = CuttingProxy(self.node.port)
        self.addCleanup(self.proxy.close)

    def through_proxy(self, cookie):
        kms = Kms(self.node)
        kms.cookie = cookie
        kms.wire = http.client.HTTPSConnection("127.0.0.1", self.proxy.port, context=self.node.tls, timeout=30)
        kms.names()  # the connection lives
        return kms

    def lose_answer(self, cookie, path, body):
        """
        The commit is held back by a lock on the store's file while the connection is cut; then it goes on, so
        the answer finds no live socket. The request is the one that Kms.create() or Kms.roll() would send.
        """
        kms = self.through_proxy(cookie)
        before, _ = connections(self.node.port)
        lock = sqlite3.connect(self.node.dir / "store/store.db", isolation_level=None)
        lock.execute("BEGIN IMMEDIATE")
        taken = self.proxy.taken
        text = json.dumps(body)
        # One piece, so that it is either read whole or not at all.
        kms.wire.sock.sendall((f"POST /kms/v1/{path} HTTP/1.1\r\nHost: localhost\r\nCookie: hadoop.auth={cookie}\r\n"
                               f"Content-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n{text}").encode())
        wait_for(lambda: taken < self.proxy.taken == self.proxy.passed and connections(self.node.port)[1] == 0,
                 "request that is read")
        self.proxy.cut()
        with self.assertRaises((OSError, AssertionError)):
            assert kms.wire.sock.recv(1000), "closed without an answer"
        wait_for(lambda: connections(self.node.port)[0] < before, "cut connection")
        lock.execute("ROLLBACK")
        lock.close()

    def test_a_repeat_after_a_lost_answer_gets_the_first_result(self):
        kms = Kms(self.node)
        cookie = kms.handshake()
        self.lose_answer(cookie, "keys", {"name": "sales", "cipher": "AES/CTR/NoPadding", "length": 128})
        self.assertEqual(kms.create("sales")["versionName"], "sales@0")
        self.lose_answer(cookie, "key/sales", {})
        self.assertEqual(kms.roll("sales")["versionName"], "sales@1")
        self.assertEqual(kms.metadata("sales")["versions"], 2, "one roll, asked for twice")

    def test_a_second_roll_after_a_full_answer_is_a_second_roll(self):
        kms = Kms(self.node)
        kms.create("sales")
        self.assertEqual(kms.roll("sales")["versionName"], "sales@1")
        self.assertEqual(kms.roll("sales")["versionName"], "sales@2")
        with self.assertRaises(RemoteException):
            kms.create("sales")

    def test_a_repeat_after_a_restart_gets_the_first_result_within_the_window(self):
        kms = Kms(self.node)
        cookie = kms.handshake()
        kms.create("sales")
        self.lose_answer(cookie, "key/sales", {})
        self.node.kill()
        self.node.start()
        again = Kms(self.node)
        again.cookie = cookie
        self.assertEqual(again.roll("sales")["versionName"], "sales@1")
        self.assertEqual(again.metadata("sales")["versions"], 2)

    def test_another_person_or_another_body_is_another_request(self):
        self.node.run("policy", "grant", "--who", "pseudo:bob", "--role", "key-admin")
        kms = Kms(self.node)
        cookie = kms.handshake()
        kms.create("sales")
        self.lose_answer(cookie, "key/sales", {})
        wait_for(lambda: kms.metadata("sales")["versions"] == 2, "roll whose answer is lost")
        self.assertEqual(Kms(self.node, "bob").roll("sales")["versionName"], "sales@2")

    def test_an_idempotency_key_does_the_same_in_the_admin_door(self):
        headers = {"Idempotency-Key": "00112233445566778899aabbccddeeff", "Content-Type": "application/json"}
        path = "/api/v1/keyrings/hadoop/keys"
        first = self.node.admin("POST", path, {"name": "once"}, headers)
        self.assertEqual(first[0], 201, first)
        self.assertEqual(self.node.admin("POST", path, {"name": "once"}, headers), first)
        status, body = self.node.admin("POST", path, {"name": "other"}, headers)
        self.assertEqual((status, body["error"]["code"]), (409, "conflict"))


if __name__ == "__main__":
    unittest.main()
