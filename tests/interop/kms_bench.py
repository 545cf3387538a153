"""The real Hadoop KMS beside Holdfast in one run: requests per second for decrypt and generate."""
import http.client
import json
import os
import pathlib
import re
import statistics
import subprocess
import urllib.parse

from kms import Kms, b64, unb64
from node import free_port, wait_for

ROUNDS, SECONDS = 3, 3


class RealKms:
    """Hadoop's KMSWebServer from its jars, with a Java keystore, simple authentication, plain HTTP."""

    def __init__(self, jars, opens, directory):
        self.port = free_port()
        self.dir = pathlib.Path(directory)
        self.dir.mkdir()
        settings = {"hadoop.kms.key.provider.uri": f"jceks://file@{self.dir}/kms.keystore",
                    "hadoop.kms.http.port": self.port, "hadoop.kms.http.host": "127.0.0.1",
                    "hadoop.kms.authentication.type": "simple", "hadoop.http.temp.dir": self.dir / "tmp"}
        body = "".join(f"<property><name>{name}</name><value>{value}</value></property>"
                       for name, value in settings.items())
        (self.dir / "kms-site.xml").write_text(f"<configuration>{body}</configuration>")
        (self.dir / "core-site.xml").write_text("<configuration/>")
        rights = "".join(f"<property><name>default.key.acl.{op}</name><value>*</value></property>"
                         for op in ("MANAGEMENT", "GENERATE_EEK", "DECRYPT_EEK", "READ"))
        (self.dir / "kms-acls.xml").write_text(f"<configuration>{rights}</configuration>")
        (self.dir / "kms-log4j.properties").write_text("log4j.rootLogger=ERROR\n")
        self.log = open(self.dir / "log", "wb")
        self.process = subprocess.Popen(
            ["taskset", "-c", "0", "java", *opens, "-Xmx1g", f"-Dkms.config.dir={self.dir}", f"-Dkms.log.dir={self.dir}",
             f"-Dhadoop.log.dir={self.dir}", f"-Dlog4j.configuration=file:{self.dir}/kms-log4j.properties",
             "-cp", f"{self.dir}:{jars}/*", "org.apache.hadoop.crypto.key.kms.server.KMSWebServer"],
            stdout=self.log, stderr=self.log)
        wait_for(self.is_ready, f"Hadoop KMS; see {self.dir}/log", 120)

    def connection(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def is_ready(self):
        if self.process.poll() is not None:
            raise AssertionError((self.dir / "log").read_text()[-3000:])
        try:
            wire = self.connection()
            wire.request("GET", "/kms/v1/keys/names?user.name=alice")
            return wire.getresponse().status == 200
        except OSError:
            return False

    def close(self):
        self.process.kill()
        self.process.wait()
        self.log.close()


def cookie_of(server):
    wire = server.connection()
    wire.request("GET", "/kms/v1/keys/names?user.name=alice")
    answer = wire.getresponse()
    answer.read()
    return answer.getheader("Set-Cookie").split(";")[0].split("=", 1)[1]


class Client(Kms):
    def __init__(self, server):
        super().__init__(server)
        self.cookie = cookie_of(server)


def wrk(url, script):
    out = subprocess.run(["taskset", "-c", "1", "wrk", "-t1", "-c32", f"-d{SECONDS}s", "-s", script, url],
                         capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in out:
        raise AssertionError(out)
    return float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1])


def prepare(server, base, directory, name, key):
    """wrk scripts for one server and a new key: name -> (url, script)."""
    client = Client(server)
    client.create(key, length=256)
    edek = client.generate(key)[0]
    body = json.dumps({"name": key, "iv": b64(unb64(edek["iv"])),
                       "material": b64(unb64(edek["encryptedKeyVersion"]["material"]))})
    head = f'wrk.headers["Cookie"] = [[hadoop.auth={client.cookie}]]\nwrk.headers["Content-Type"] = "application/json"\n'
    decrypt, generate = directory / f"{name}-decrypt.lua", directory / f"{name}-generate.lua"
    decrypt.write_text(head + f'wrk.method = "POST"\nwrk.body = [==[{body}]==]\n')
    generate.write_text(head)
    return {"decrypt": (f"{base}/kms/v1/keyversion/{key}%400/_eek?eek_op=decrypt", decrypt),
            "generate": (f"{base}/kms/v1/key/{key}/_eek?eek_op=generate&num_keys=1", generate)}


def compare(node, jars, opens, version):
    """Prints both in turn, ROUNDS times; Holdfast with TLS, the Hadoop KMS without: it is spared that cost."""
    real = RealKms(jars, opens, node.base / f"kms-{version}")
    try:
        ours = prepare(node, f"https://127.0.0.1:{node.port}", node.base, "holdfast", f"bench-{version}")
        theirs = prepare(real, f"http://127.0.0.1:{real.port}", node.base, f"kms-{version}", f"bench-{version}")
        lines = []
        for operation in ours:
            wrk(*theirs[operation])  # the JIT warms up
            rates = [(wrk(*ours[operation]), wrk(*theirs[operation])) for _ in range(ROUNDS)]
            lines.append(f"{operation}: Holdfast with TLS {statistics.median(a for a, _ in rates):,.0f}/s, Hadoop KMS "
                         f"without TLS {statistics.median(b for _, b in rates):,.0f}/s, "
                         f"ratio {statistics.median(a / b for a, b in rates):.1f}")
        return "\n".join(lines)
    finally:
        real.close()
