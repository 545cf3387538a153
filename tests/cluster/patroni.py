"""Three PostgreSQL servers under Patroni with etcd, all from Debian, on loopback and without root."""
import json
import pathlib
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request

import postgres

# As in docs/postgresql.md, with the shortest times that Patroni accepts, for tests only.
DYNAMIC = """
ttl: {ttl}
loop_wait: 1
retry_timeout: 2
maximum_lag_on_failover: 1048576
synchronous_mode: true
synchronous_mode_strict: true
synchronous_node_count: 1
failsafe_mode: true
primary_start_timeout: 0
postgresql:
  use_pg_rewind: true
  parameters:
    synchronous_commit: "on"
    wal_level: replica
    wal_log_hints: "on"
    hot_standby: "on"
    wal_receiver_status_interval: 1s
    wal_sender_timeout: 5s
    wal_receiver_timeout: 5s
    wal_retrieve_retry_interval: 500ms
    max_standby_streaming_delay: 5s
    shared_buffers: 16MB
    max_connections: 60
    unix_socket_directories: ""
"""

NODE = """
scope: holdfast
name: {name}
restapi:
  listen: 127.0.0.1:{rest}
  connect_address: 127.0.0.1:{rest}
etcd3:
  hosts: [{etcd}]
bootstrap:
  dcs: {dynamic}
  initdb: [data-checksums, no-sync, {{encoding: UTF8}}, {{locale: C}}]
  pg_hba: ["host all all 127.0.0.1/32 trust", "host replication all 127.0.0.1/32 trust"]
postgresql:
  listen: 127.0.0.1:{port}
  connect_address: 127.0.0.1:{port}
  bin_dir: {bin}
  data_dir: {data}
  pgpass: {base}/pgpass
  authentication:
    superuser: {{username: {user}, password: unused}}
    replication: {{username: replicator, password: unused}}
    rewind: {{username: rewinder, password: unused}}
tags: {{}}
"""


def missing():
    """What is not installed here, or None."""
    if postgres.binaries() is None:
        return "PostgreSQL"
    for program in ("patroni", "etcd", "etcdctl"):
        if shutil.which(program) is None:
            return program
    return None


class Member:
    """One database host: Patroni and the PostgreSQL that it starts."""

    def __init__(self, cluster, name, port, rest):
        self.cluster = cluster
        self.name = name
        self.port = port
        self.rest = rest
        self.data = cluster.base / name
        self.log = cluster.base / f"{name}.log"
        self.process = None
        self.tls = None  # how its REST API is asked where that speaks TLS

    def write(self, etcd, ttl):
        dynamic = DYNAMIC.format(ttl=ttl).replace("\n", "\n    ")
        text = NODE.format(name=self.name, rest=self.rest, etcd=etcd, dynamic=dynamic,
                           port=self.port, bin=postgres.binaries(), data=self.data,
                           base=self.cluster.base, user=postgres.USER)
        self.file = self.cluster.base / f"{self.name}.yml"
        self.file.write_text(text)

    def start(self):
        self.process = postgres.start(["patroni", self.file], self.log)

    def pids(self):
        """Of Patroni and of the server, which does not end with Patroni."""
        found = [self.process.pid, *postgres.children(self.process.pid)]
        try:
            server = int((self.data / "postmaster.pid").read_text().split()[0])
        except (OSError, ValueError, IndexError):
            return found
        return [*found, server, *postgres.children(server)]

    def kill(self):
        """The machine is gone."""
        postgres.signal_all(self.pids(), signal.SIGKILL)
        self.process.wait()
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def freeze(self):
        self.frozen = self.pids()
        postgres.signal_all(self.frozen, signal.SIGSTOP)

    def thaw(self):
        postgres.signal_all(self.frozen, signal.SIGCONT)

    def ask(self, path):
        """What Patroni answers, or nothing."""
        try:
            with urllib.request.urlopen(f"http{'s' if self.tls else ''}://127.0.0.1:{self.rest}/{path}", timeout=2,
                                        context=self.tls) as got:
                return json.load(got)
        except urllib.error.HTTPError as got:
            return json.load(got)
        except OSError:
            return {}

    def status(self):
        """What it says of itself."""
        return self.ask("patroni")

    def role(self):
        status = self.status()
        return status.get("role") if status.get("state") == "running" else None

    def conninfo(self, database=postgres.DATABASE):
        return (f"host=127.0.0.1 port={self.port} user={postgres.USER} dbname={database} "
                "sslmode=disable")

    def sql(self, text, database=postgres.DATABASE):
        return postgres.run([postgres.binaries() / "psql", "-X", "-q", "-A", "-t", "-v",
                             "ON_ERROR_STOP=1", "-d", self.conninfo(database), "-c", text]).strip()


class Etcd:
    """One member of the election service."""

    def __init__(self, cluster, name, client, peer):
        self.name = name
        self.client, self.peer = f"127.0.0.1:{client}", f"http://127.0.0.1:{peer}"
        self.data = cluster.base / f"etcd-{name}"
        self.log = cluster.base / f"etcd-{name}.log"
        self.process = None

    def start(self, members):
        self.process = postgres.start(
            ["etcd", "--name", self.name, "--data-dir", self.data, "--listen-client-urls", f"http://{self.client}",
             "--advertise-client-urls", f"http://{self.client}", "--listen-peer-urls", self.peer,
             "--initial-advertise-peer-urls", self.peer,
             "--initial-cluster", ",".join(f"{member.name}={member.peer}" for member in members),
             "--unsafe-no-fsync", "--enable-v2"], self.log)

    def pids(self):
        return [self.process.pid]

    def is_healthy(self):
        """Whether it is with the others: it answers what needs a leader."""
        try:
            with urllib.request.urlopen(f"http://{self.client}/health", timeout=2) as got:
                return json.load(got).get("health") == "true"
        except (OSError, ValueError):
            return False


class Cluster:
    """So many etcd and three members; use it as a context manager."""

    def __init__(self, ttl=6, etcds=1):
        self.base = postgres.private_directory("holdfast-cluster-")
        ports = postgres.free_ports(6 + 2 * etcds)
        self.members = [Member(self, f"n{i + 1}", ports[i], ports[3 + i]) for i in range(3)]
        self.etcds = [Etcd(self, f"e{i + 1}", *ports[6 + 2 * i:8 + 2 * i]) for i in range(etcds)]
        self.ttl = ttl

    def primary(self):
        for member in self.members:
            if member.process.poll() is None and member.role() in ("master", "primary"):
                return member
        return None

    def standbys(self):
        return [member for member in self.members
                if member.process.poll() is None and member.role() == "replica"]

    def is_whole(self):
        primary = self.primary()
        if primary is None or len(self.standbys()) != 2:
            return None
        streaming = primary.sql("SELECT count(*), count(*) FILTER (WHERE sync_state IN ('sync', "
                                "'quorum')) FROM pg_stat_replication WHERE state = 'streaming'",
                                "postgres")
        # Only who is known to the election service as synchronous may take over: that is written after it is so.
        listed = [member["role"] for member in primary.ask("cluster").get("members", [])]
        return primary if streaming == "2|1" and "sync_standby" in listed else None

    def start(self):
        began = time.monotonic()
        for etcd in self.etcds:
            etcd.start(self.etcds)
        for member in self.members:
            member.write(", ".join(etcd.client for etcd in self.etcds), self.ttl)
            member.start()
        try:
            primary = postgres.wait_for(self.is_whole, "whole cluster", 120)
        except AssertionError:
            for member in self.members:
                print(f"--- {member.name}\n{member.log.read_text()[-3000:]}")
            raise
        primary.sql(f"CREATE DATABASE {postgres.DATABASE}", "postgres")
        self.ready_in = time.monotonic() - began
        return self

    def kill_all(self):
        """All machines at once."""
        for member in self.members:
            member.kill()

    def conninfos(self):
        return [member.conninfo() for member in self.members]

    def close(self):
        for member in self.members:
            if member.process is not None:
                pids = member.pids()
                postgres.signal_all(pids, signal.SIGCONT)
                postgres.signal_all(pids, signal.SIGKILL)
                member.process.wait()
        for etcd in self.etcds:
            postgres.stop(etcd.process)
        shutil.rmtree(self.base, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()
