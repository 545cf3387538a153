#!/usr/bin/env python3
"""
Machines, each a network namespace: three nodes, and three hosts with PostgreSQL, Patroni and etcd. Under mixed load one
after the other, or two at once, is cut off from the others, killed or stopped, in an order that a seed has chosen. The clients
of a node are where it is: one that is cut off is asked on, and must not give as fresh what may be old. Every rule of history.py
holds. tests/interop/chaos has Hadoop's client beside them, on a machine of its own.

    HOLDFAST_LONG=1     30 minutes, instead of one fault of each kind of cut
    HOLDFAST_SECONDS=n  that long instead
    HOLDFAST_SEED=n     the same faults and the same choices of the clients; the seed is printed
"""
import contextlib
import http.client
import os
import pathlib
import random
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import chaos  # noqa: E402
import netns  # noqa: E402
import patroni  # noqa: E402
import postgres  # noqa: E402
from mix import Load, kept  # noqa: E402
from nodes import NO_REPEATS, Member, Node, store_options  # noqa: E402
from postgres import wait_for  # noqa: E402
from test_sites import Host, There, start_hosts, telling  # noqa: E402


class ConnectionThere(http.client.HTTPSConnection):
    """Begins on a machine; the thread that begins it stays where it is."""

    machine = None

    def connect(self):
        with self.machine.entered():
            super().connect()


class Reachable(There):
    """A node whose clients are on its machine."""

    def connection(self, timeout=30):
        connection = ConnectionThere(self.machine.address, self.port, context=self.tls, timeout=timeout)
        connection.machine = self.machine
        return connection

    def listen_to_all(self):
        """Not on loopback alone: Hadoop's client comes over the network."""
        self.configure(f"127.0.0.1:{self.port}", f"{self.machine.address}:{self.port}")
        self.configure("pseudo = yes", "pseudo = yes\n    pseudo_insecure = yes")


class World(contextlib.ExitStack):
    """Any of the three hosts may be the primary, and the other two follow it synchronously."""

    def __init__(self, repeats=False):
        super().__init__()
        self.base = postgres.private_directory("holdfast-partitions-")
        self.callback(shutil.rmtree, self.base, ignore_errors=True)
        names = ["client", *(f"{kind}{at}" for kind in ("node", "db") for at in (1, 2, 3))]
        self.net = self.enter_context(netns.Network(0, {"all": names}))
        self.machines = self.net.machines
        self.hosts = [Host(self.base, self.machines[f"db{at}"], False) for at in (1, 2, 3)]
        self.members = []
        self.start_databases()
        self.start_nodes(repeats)

    def start_databases(self):
        start_hosts(self, self.hosts, self.base)
        for host in self.hosts:
            host.start_patroni()
        try:
            wait_for(self.has_whole_database, "whole database", 120)
        except AssertionError:
            print(*(f"--- {host.name}\n{host.log.read_text()[-2000:]}" for host in self.hosts), sep="\n")
            raise
        self.primary().sql(f"CREATE DATABASE {postgres.DATABASE}")

    def start_nodes(self, repeats):
        options = [word for word in store_options([], 1) if word not in ("--store-sslmode", "disable")]
        hosts = [word for host in self.hosts for word in ("--store-host", f"{host.machine.address}:5432")]
        for at in (1, 2, 3):
            machine = self.machines[f"node{at}"]
            kind = type("NodeThere", (Reachable, Member if self.members else Node), {"machine": machine})
            node = (kind(self.members[0], at, host=machine.address) if self.members
                    else kind(*options, *hosts, "--store-ca", self.base / "ca.crt", "--host", machine.address))
            self.members.append(self.enter_context(node))
            if not repeats:
                node.configure(*NO_REPEATS)
            node.listen_to_all()
            node.start()

    # --- what clients and faults take for the nodes of a run ---

    def __getitem__(self, at):
        return self.members[at]

    def __len__(self):
        return len(self.members)

    # --- the database ---

    def primary(self):
        return next((host for host in self.hosts if host.role() == "primary"), None)

    def has_whole_database(self):
        """Two stream from the primary, and one of them may take over at once."""
        primary = self.primary()
        if primary is None:
            return False
        try:
            streaming = int(primary.sql("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"))
        except subprocess.CalledProcessError:
            return False
        return streaming == 2 and any(host.may_take_over() for host in self.hosts if host is not primary)

    def is_whole(self):
        return self.has_whole_database() and all(
            node.process is not None and node.admin("GET", "/health/ready", quiet=True)[0] == 200 for node in self.members)


class Scene:
    """What a fault is told of."""

    def __init__(self, world):
        self.world = self.nodes = world

    def wait_until_whole(self):
        wait_for(self.world.is_whole, "set-up that is whole again", 180)


class Cut(chaos.Fault):
    """A machine from all others; what is on it goes on."""

    def machine(self):
        raise NotImplementedError

    def begin(self):
        self.place = self.machine()
        hosts = [host.machine for host in self.scene.world.hosts if host.machine is not self.place]
        # Another fault may be under way at one of them.
        there = [machine for machine in hosts if self.place.reaches(machine, 5432)]
        assert there, "it was cut off before"
        self.place.cut()
        assert not any(self.place.reaches(machine, 5432) for machine in there), "it is not cut off"
        self.name = f"{self.what} is cut off for {self.holds:.0f} s"

    def end(self):
        self.place.heal()


class NodeCut(Cut):
    group = "node"

    def choose(self):
        self.node = self.pick(self.scene.world.members)
        self.what = f"node {self.scene.world.members.index(self.node) + 1}"
        self.holds = self.seconds()

    def machine(self):
        return self.node.machine


class HostFault(chaos.Fault):
    group = "database"
    of_primary = False

    def choose(self):
        world = self.scene.world
        primary = wait_for(world.primary, "primary", 60)
        self.host = primary if self.of_primary else self.pick([host for host in world.hosts if host is not primary])
        self.what = f"{'primary' if self.of_primary else 'standby'} {self.host.name}"
        self.holds = self.seconds()

    def wait_for_another(self):
        """
        Says how it ended. While Patroni moves the synchronous standby from one host to another nobody may take over, so that no
        commit is lost: then the old primary has to come back.
        """
        others = [host for host in self.scene.world.hosts if host is not self.host]
        return wait_for(lambda: ("another leads" if any(host.role() == "primary" for host in others) else
                                 "nobody may take over" if all(self.stops(host) for host in others) else None), "new primary", 60)

    def stops(self, host):
        """Whether that host's election service names nobody who leads or may lead but this one."""
        members = host.ask("cluster").get("members")
        return members is not None and not any(member["role"] in ("leader", "sync_standby") and member["name"] != self.host.name
                                               for member in members)


class StandbyCut(HostFault, Cut):
    def machine(self):
        return self.host.machine


class PrimaryCut(StandbyCut):
    """Until another leads, so that there are two for a moment who may think they do."""
    of_primary = True

    def begin(self):
        super().begin()
        self.name = f"{self.what} is cut off, {self.wait_for_another()}"


class HostKilled(HostFault):
    """PostgreSQL, Patroni and etcd: the machine is gone, and comes back."""

    def choose(self):
        self.of_primary = self.random.random() < 0.5
        super().choose()

    def begin(self):
        self.host.kill()
        self.name = f"SIGKILL of all of {self.what}" + (f", {self.wait_for_another()}" if self.of_primary else "")

    def end(self):
        self.host.start("existing")
        self.host.start_patroni()


CUTS = (NodeCut, StandbyCut, PrimaryCut)
ALL = (*CUTS, NodeCut, chaos.NodeKilled, chaos.NodeFrozen, chaos.NodeRestarted, HostKilled)


def main(start_other=None):
    """start_other: gives one more client, of another kind, as test_chaos.run() takes it."""
    print(f"seed {chaos.SEED}", flush=True)
    # Another client may repeat without an id: the window in which that is recognised stays open.
    with World(repeats=start_other is not None) as world, telling(world):
        chaos.say("all are there")
        other = start_other(world) if start_other is not None else None
        load = Load(world, chaos.SEED, busy=0.5, named=0.5 if other is None else 1)
        with kept(load, world, f"partitions-{chaos.SEED}"):
            load.start()
            try:
                faults = chaos.break_things(Scene(world), load, random.Random(chaos.SEED), ALL, CUTS)
            finally:
                load.stop()
            if other is not None:
                other.stop(load.book)
            load.look_everywhere()
            load.report()
            print(f"{len(faults)} faults: {'; '.join(faults)}", flush=True)
            load.check()
            load.no_use_failed()
            if other is not None:
                other.report()
        for node in world.members:
            assert node.stop() == 0
            assert "The chain is whole" in node.run("audit", "verify")
        load.check_trails()


if __name__ == "__main__":
    if patroni.missing() is not None:
        print(f"skipped: {patroni.missing()} is not installed; see tests/deps")
        sys.exit(77)
    netns.enter()
    main()
