#!/usr/bin/env python3
"""
What deploy/make-cluster writes for three machines: programs that read it take it, and, where network namespaces can be had,
three etcd and three Patroni start from it with TLS, each with an address of its own that its certificate names, and serve
holdfast init and a node.
"""
import os
import pathlib
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import netns  # noqa: E402
import patroni  # noqa: E402
import postgres  # noqa: E402
from test_sites import There  # noqa: E402
from node import DAEMON, Node  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
MACHINES = {"db1": "10.77.0.11", "db2": "10.77.0.12", "db3": "10.77.0.13"}


def make(out, **variables):
    words = [f"{name}={address}" for name, address in MACHINES.items()]
    subprocess.run([ROOT / "deploy/make-cluster", out, "kms.example.net", *words], check=True, stdout=subprocess.DEVNULL,
                   env={**os.environ, **variables})


def name_machines(base):
    """In the /etc/hosts that this program alone has."""
    hosts = base / "hosts"
    hosts.write_text("127.0.0.1 localhost\n" + "".join(f"{address} {name}\n" for name, address in MACHINES.items()))
    hosts.chmod(0o644)
    subprocess.run(["mount", "--bind", hosts, "/etc/hosts"], check=True)


class Machine:
    """One machine's files, with what three on one disk cannot share moved apart."""

    def __init__(self, base, there):
        self.there = there
        self.name = name = there.name
        self.root = base / "cluster" / name
        self.run = base / f"run-{name}"
        self.run.mkdir()
        self.processes = []
        self.log = base / f"{name}.log"
        etc = self.root / "etc"
        moved = {"/etc/patroni/tls": f"{etc}/patroni/tls", "/etc/etcd/tls": f"{etc}/etcd/tls",
                 "/var/lib/etcd/holdfast": f"{base}/etcd-{name}", "/var/lib/postgresql": f"{base}/pg-{name}",
                 "/run/postgresql": str(self.run), "/etc/holdfast/database": f"{etc}/holdfast/database"}
        for path in (etc / "default/etcd", etc / "patroni/config.yml", self.root / "root/holdfast-init"):
            text = path.read_text()
            for old, new in moved.items():
                text = text.replace(old, new)
            path.write_text(text)
        self.patroni = etc / "patroni/config.yml"
        # Faster than on machines, where a moment without an answer must not cost a failover.
        self.patroni.write_text(self.patroni.read_text().replace("ttl: 30", "ttl: 6").replace("loop_wait: 5", "loop_wait: 1")
                                .replace("retry_timeout: 10", "retry_timeout: 2").replace("mode: automatic", 'mode: "off"')
                                .replace("data-checksums", "no-sync"))

    def start_etcd(self):
        lines = (self.root / "etc/default/etcd").read_text().splitlines()
        settings = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
        self.processes.append(self.there.start(["etcd"], self.log, env={**os.environ, **settings}))

    def start_patroni(self):
        self.processes.append(self.there.start(["patroni", self.patroni], self.log))

    def sql(self, text, database="postgres"):
        return postgres.run([postgres.binaries() / "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", self.run,
                             "-U", "postgres", "-d", database, "-c", text]).strip()

    def is_primary(self):
        try:
            return self.sql("SELECT pg_is_in_recovery(), (SELECT count(*) FROM pg_stat_replication WHERE sync_state = "
                            "'sync'), (SELECT count(*) FROM pg_stat_replication)") == "f|1|2"
        except AssertionError:
            return False

    def stop(self):
        for process in reversed(self.processes):
            pids = [process.pid, *postgres.children(process.pid)]
            postgres.signal_all(pids, 9)
            process.wait()
        try:
            server = int(next(self.run.parent.glob(f"pg-{self.name}/holdfast/postmaster.pid")).read_text().split()[0])
        except (StopIteration, ValueError, IndexError):
            return
        postgres.signal_all([server, *postgres.children(server)], 9)


class Deploy(unittest.TestCase):
    def setUp(self):
        self.base = postgres.private_directory("holdfast-deploy-")
        self.addCleanup(shutil.rmtree, self.base, True)
        self.out = self.base / "cluster"
        make(self.out, BIN=str(DAEMON.parent), PGBIN=str(postgres.binaries()), CAFILE=str(self.out / "authority.crt"))

    def takes(self, *command):
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, f"{command}: {done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    @unittest.skipIf(shutil.which("haproxy") is None, "haproxy is not installed")
    def test_haproxy_takes_its_file(self):
        for name in MACHINES:
            said = self.takes("haproxy", "-c", "-f", self.out / name / "etc/haproxy/haproxy.cfg")
            self.assertNotIn("WARNING", said)

    @unittest.skipIf(shutil.which("systemd-analyze") is None, "systemd-analyze is not installed")
    def test_systemd_takes_the_unit(self):
        unit = self.out / "db1/etc/systemd/system/holdfastd.service"
        self.assertEqual(self.takes("systemd-analyze", "verify", "--man=no", unit), "")

    def test_secrets_are_their_owners_alone(self):
        for path in self.out.rglob("*.key"):
            self.assertEqual(path.stat().st_mode & 0o077, 0, path)
        again = subprocess.run([ROOT / "deploy/make-cluster", self.out, "kms", "a=1", "b=2", "c=3"], check=False,
                               capture_output=True, text=True)
        self.assertEqual((again.returncode, "is there already" in again.stderr), (2, True))

    @unittest.skipIf(netns.INSIDE not in os.environ, "network namespaces are not to be had here")
    def test_three_machines_start_from_it(self):
        name_machines(self.base)
        network = netns.Network(0, {"all": MACHINES})
        self.addCleanup(network.close)
        self.assertEqual({name: there.address for name, there in network.machines.items()}, MACHINES)
        machines = [Machine(self.base, there) for there in network.machines.values()]
        for machine in machines:
            self.addCleanup(machine.stop)
            machine.start_etcd()
        for machine in machines:
            postgres.wait_for(lambda: machine.there.reaches(machine.there, 2379), "etcd")
        for machine in machines:
            self.takes(*machine.there.prefix(), *netns.lower(["patroni", "--validate-config", machine.patroni]))
            machine.start_patroni()
        try:
            primary = postgres.wait_for(lambda: next((m for m in machines if m.is_primary()), None), "whole cluster", 90)
        except AssertionError:
            print("".join(f"--- {m.name}\n{m.log.read_text()[-2500:]}" for m in machines), file=sys.stderr)
            raise
        primary.sql("CREATE ROLE holdfast LOGIN")
        primary.sql("GRANT pg_read_all_stats TO holdfast")
        primary.sql("CREATE DATABASE holdfast OWNER holdfast")
        self.serve(machines)

    def serve(self, machines):
        """holdfast init with the options of the script that was made, but for where it listens."""
        script = (self.out / "db1/root/holdfast-init").read_text().replace("\\\n", " ")
        words = script[script.index("--store "):].replace('"$@"', "").split()
        there = type("NodeThere", (There, Node), {"machine": machines[0].there})
        with there(*words) as node:
            node.start()
            node.ask(lambda kms: kms.create("first"))
            edek = node.ask(lambda kms: kms.generate("first")[0])
            node.ask(lambda kms: kms.decrypt(edek))


if __name__ == "__main__":
    lacking = patroni.missing()
    if lacking is not None:
        print(f"skipped: {lacking} is not installed; see tests/deps")
        sys.exit(77)
    if netns.INSIDE in os.environ or netns.why_not() is None:
        netns.enter()
    unittest.main(verbosity=2)
