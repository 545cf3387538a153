#!/usr/bin/env python3
"""HAProxy by the file that deploy/ ships: clients are sent to a node that opens its canary, and to no other."""
import http.client
import pathlib
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
import unittest

from node import Node, free_port, wait_for

TEMPLATE = pathlib.Path(__file__).resolve().parents[2] / "deploy/templates/haproxy.cfg"


class Haproxy:
    """The frontend and backend of the template, for these nodes; the second one as docs/sites.md has another site's."""

    def __init__(self, case, near, far):
        self.base = pathlib.Path(tempfile.mkdtemp(prefix="holdfast-haproxy-"))
        case.addCleanup(shutil.rmtree, self.base, True)
        self.port = free_port()
        authorities = (near.dir / "ca.crt").read_text() + (far.dir / "ca.crt").read_text()
        (self.base / "ca.crt").write_text(authorities)
        text = TEMPLATE.read_text().replace("@CAFILE@", str(self.base / "ca.crt")).replace(":9700", f"127.0.0.1:{self.port}")
        # No system log here, and fewer descriptors.
        text = re.sub(r"    log /dev/log local0\n|    log global\n|    option tcplog\n", "", text).replace("maxconn 20000",
                                                                                                        "maxconn 200")
        text, servers = re.subn(r"    server @.*\n", "", text)
        assert servers == 3, "the template is another one"
        for name, node, kind in (("near", near, ""), ("far", far, " backup")):
            text += f"    server {name} 127.0.0.1:{node.port} verifyhost localhost{kind}\n"
        (self.base / "haproxy.cfg").write_text(text)
        self.context = ssl.create_default_context(cadata=authorities)
        self.log = open(self.base / "log", "wb")  # pylint: disable=consider-using-with
        case.addCleanup(self.log.close)
        self.process = subprocess.Popen(["haproxy", "-db", "-f", str(self.base / "haproxy.cfg")], stdout=self.log,
                                        stderr=self.log)
        case.addCleanup(self.process.wait)
        case.addCleanup(self.process.kill)

    def answers_with(self):
        """The certificate of the node that a new client reaches, or nothing."""
        connection = http.client.HTTPSConnection("localhost", self.port, context=self.context, timeout=5)
        try:
            connection.connect()
            peer = connection.sock.getpeercert(True)
            connection.request("GET", "/health/ready")
            return peer if connection.getresponse().status == 200 else None
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()


def certificate(node):
    return ssl.PEM_cert_to_DER_cert((node.dir / "secrets/server.crt").read_text())


class Health(unittest.TestCase):
    def setUp(self):
        self.near, self.far = Node(), Node()
        for node in (self.near, self.far):
            self.addCleanup(node.close)
            node.start()
        self.proxy = Haproxy(self, self.near, self.far)

    def reaches(self, node, seconds=10):
        wait_for(lambda: self.proxy.answers_with() == certificate(node), "client at the node that is ready", seconds)
        for _ in range(20):
            self.assertEqual(self.proxy.answers_with(), certificate(node))

    def test_clients_leave_a_node_that_does_not_open_its_canary_and_come_back(self):
        self.reaches(self.near)
        self.near.run("lock")
        self.reaches(self.far)
        self.near.run("unlock", "--key-file", next((self.near.dir / "secrets").glob("*key*")))
        self.reaches(self.near)
        self.near.kill()
        self.reaches(self.far)


if __name__ == "__main__":
    if shutil.which("haproxy") is None:
        print("skipped: haproxy is not installed; see tests/deps")
        sys.exit(77)
    unittest.main()
