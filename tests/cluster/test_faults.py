#!/usr/bin/env python3
"""
What befalls one machine of three: its clock jumps, its disk is full, its descriptors are used up, its copy of the store is
damaged or gone. The two others serve on, the machine itself never gives a wrong answer, and comes back by itself; what clients
saw keeps every rule of history.py.
"""
import contextlib
import email.utils
import os
import pathlib
import random
import re
import resource
import signal
import socket
import sqlite3
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import postgres  # noqa: E402
from clients import Book, Generator, Opener  # noqa: E402
from history import FAIL, OK, WRITES, History  # noqa: E402
from mix import loaded  # noqa: E402
from nodes import Kms, Nodes, RemoteException  # noqa: E402
from postgres import wait_for  # noqa: E402
from test_drills import drill, wait_until_quiet  # noqa: E402

SEED = int(os.environ.get("HOLDFAST_SEED") or random.getrandbits(30))
SHIMS = pathlib.Path(os.environ["HOLDFAST_BUILD"]) / "tests/lib"
HOUR = 3600


def is_ready(node):
    return node.process is not None and node.admin("GET", "/health/ready", quiet=True)[0] == 200


def lights(node):
    """Of each item of the status, by its name."""
    return {item["item"]: item["light"] for item in node.admin("GET", "/api/v1/status")[1]["items"]}


def about_versions(node):
    """Light and words, up to the first semicolon, of the item about new versions."""
    told = [item for item in node.admin("GET", "/api/v1/status")[1]["items"] if item["item"] == "versions"]
    return (told[0]["light"], told[0]["text"].split(";")[0]) if told else (None, "")


def metric(node, name):
    found = re.search(rf"^{name}(?:{{[^}}]*}})? (-?\d+)$", node.admin("GET", "/health/metrics")[1], re.M)
    return int(found[1]) if found else None


class EachInTurn(Generator):
    """Spreads its calls, as a client that balances its load does."""

    def step(self):
        self.at += 1
        super().step()


class OpensInTurn(Opener):
    def step(self):
        self.at += 1
        super().step()


def trail_of(node):
    return "".join(path.read_text(errors="replace") for path in (node.dir / "audit").iterdir())


class Faults(unittest.TestCase):
    runs = 0

    @classmethod
    def setUpClass(cls):
        print(f"seed {SEED}", file=sys.stderr)
        cls.server = postgres.Server()
        cls.addClassCleanup(cls.server.close)
        cls.server.start()
        cls.server.make_database()
        cls.nodes = Nodes(3, [cls.server.port], synchronous=0)
        cls.addClassCleanup(cls.nodes.close)

    def tearDown(self):
        """One failure is told once: the next test finds three nodes that serve."""
        for node in self.nodes.members:
            if is_ready(node):
                continue
            if node.process is not None:
                node.kill()
            for path in self.copies(node):
                path.unlink()
            node.start()

    def loaded(self, name, **more):
        Faults.runs += 1
        return loaded(self.nodes, name, SEED + 1000 * Faults.runs, self.wait_until_ready, **more)

    def wait_until_ready(self):
        wait_for(lambda: all(is_ready(node) for node in self.nodes.members), "three nodes that are ready", 60)

    def answers_without_mark(self, node):
        """It holds a lease again: nothing that it says is marked as stale."""
        kms = Kms(node)

        def is_fresh():
            kms.names()
            return kms.answer.getheader("X-Holdfast-Stale") is None
        wait_for(is_fresh, "lease", 20)
        kms.close()

    # --- a node that is silent ---

    def test_rotations_go_on_when_a_node_dies_or_stands_still(self):
        node = self.nodes[2]

        def stand_still():
            node.process.send_signal(signal.SIGSTOP)

        def go_on():
            node.process.send_signal(signal.SIGCONT)
        for what, silence, wake in (("dead", node.kill, node.start), ("stopped", stand_still, go_on)):
            with self.subTest(what):
                told = trail_of(self.nodes[0]).count("proven on 2 of 3 nodes")
                with self.loaded(f"silent-{what}") as load:
                    took = []
                    for _ in range(4):
                        silence()
                        began = time.monotonic()
                        load.go_on()
                        wake()
                        took.append(max((one.end - one.begin for one in load.book.history.operations
                                         if one.kind in WRITES and one.node != "n3" and one.outcome == OK
                                         and one.end > began), default=0))
                        self.wait_until_ready()
                load.no_use_failed()
                load.report()
                # A version was promoted while it was silent and on the list.
                wait_for(lambda: trail_of(self.nodes[0]).count("proven on 2 of 3 nodes") > told, "a promotion without it", 30)
                print(f"changes while a node was {what}: at most {', '.join(f'{one:.1f}' for one in sorted(took))} s, "
                      "where a lease lasts 2 s", file=sys.stderr)

    # --- the clock ---

    def test_a_clock_that_jumps_by_an_hour_disturbs_nobody(self):
        node = self.nodes[1]
        clock = node.base / "clock"
        clock.write_text("")
        self.assertEqual(node.stop(), 0)
        node.prefix = ["env", f"LD_PRELOAD={SHIMS}/clock-shift.so", f"HOLDFAST_CLOCK={clock}"]
        node.start()
        try:
            with self.loaded("clock") as load:
                for shift in (HOUR, 0, -HOUR, 0):
                    clock.write_text(str(shift))
                    self.assertAlmostEqual(self.date_of(node) - time.time(), shift, delta=5)
                    load.go_on([*load.all()], 10)
                    # While the clock is wrong: a lease is a matter of another clock.
                    self.answers_without_mark(node)
            load.no_use_failed()
            marked = {name: sum(operation.stale is not None and operation.node == name
                                for operation in load.book.history.operations) for name in ("n1", "n2", "n3")}
            print(f"answers without a lease, which a busy machine has too: {marked}; the clock of n2 jumped", file=sys.stderr)
            refused = [call.why for call in load.bound[1].calls if not call.good]
            self.assertEqual(refused, [])
            load.report()
        finally:
            node.stop()
            node.prefix = []
            node.start()

    @staticmethod
    def date_of(node):
        connection = node.connection()
        connection.request("GET", "/kms/v1/keys/names")
        answer = connection.getresponse()
        connection.close()
        return email.utils.parsedate_to_datetime(answer.getheader("Date")).timestamp()

    # --- what its keys depend on ---

    def test_a_keyring_that_not_every_node_can_open_is_served_by_those_that_can(self):
        first, _, third = self.nodes.members
        wait_until_quiet(self.nodes)
        before = len(third.log_text())
        kms = Kms(first)
        kms.create("served")
        edek = kms.generate("served")[0]
        drill(first)
        first.run("keyring", "change", "hadoop", "--serve-on", "node-1,node-2")
        self.assertEqual(third.stop(), 0)
        third.prefix = ["env", f"LD_PRELOAD={SHIMS}/no-rsa.so"]
        try:
            third.start()
            self.answers_without_mark(third)
            self.leaves_the_keyring_to_others(third, edek)
            self.clients_in_turn_see_nothing(edek)
            # It is asked neither for a proof nor in a drill, and would fail both.
            kms.roll("served")
            wait_for(lambda: "proven on 2 of 2 nodes" in trail_of(first), "note of the proof")
            self.assertNotIn("cannot open the candidate", third.log_text()[before:])
            self.is_not_drilled(first)
            first.run("keyring", "change", "hadoop", "--serve-on", "")
            with self.assertRaises(RemoteException):
                kms.roll("served")
            wait_for(lambda: "node node-3 could not open it" in trail_of(first), "note of the failure")
        finally:
            first.run("keyring", "change", "hadoop", "--serve-on", "")
            third.stop()
            third.prefix = []
            third.start()
        kms.roll("served")
        kms.close()

    def test_who_was_away_opens_what_was_made_meanwhile_before_it_has_a_lease(self):
        first, _, third = self.nodes.members
        wait_until_quiet(self.nodes)
        kms = Kms(first)
        kms.create("before")
        self.assertIsNone(kms.answer.getheader("X-Holdfast-Proven"))
        self.assertEqual(third.stop(), 0)
        kms.create("meanwhile")
        self.assertEqual(kms.answer.getheader("X-Holdfast-Proven"), "2 of 3")
        kms.close()
        self.assertIn("It is proven on 2 of 3 nodes", first.run("key", "rotate", "hadoop/meanwhile"))
        self.assertIn("proven on 2 of 3 nodes", first.run("why", "hadoop/meanwhile"))
        wait_for(lambda: about_versions(first) == ("amber", "new ones are proven on 2 of 3 nodes now"), "what status says", 20)
        # It comes back, and cannot open them: that costs it no lease, and it says which these are.
        third.prefix = ["env", f"LD_PRELOAD={SHIMS}/no-rsa.so"]
        try:
            third.start(ready=False)  # its canary does not open either
            wait_for(lambda: about_versions(third)[0] == "red", "what it cannot open")
            # What was made a moment before it stopped, too: how far it was is kept every ten seconds.
            self.assertRegex(about_versions(third)[1], "^([2-9]|[1-9][0-9]+) that other nodes have promoted do not open here: hadoop/")
            wait_for(lambda: "others have promoted: hadoop/meanwhile@" in third.log_text(), "each of them in the log", 20)
            self.answers_without_mark(third)
        finally:
            third.stop()
            third.prefix = []
            third.start()
        self.wait_until_ready()
        wait_for(lambda: {about_versions(node) for node in self.nodes.members} ==
                 {("green", "new ones are proven on 3 of 3 nodes")}, "all of them to open all")

    def leaves_the_keyring_to_others(self, node, edek):
        kms = Kms(node)
        for what, *arguments in (("generate", "served"), ("decrypt", edek), ("reencrypt", edek), ("roll", "served"),
                                 ("create", "made-there")):
            with self.subTest(what), self.assertRaises(RemoteException) as refused:
                getattr(kms, what)(*arguments)
            # Anything else, and a client with several servers would not go to the next.
            self.assertEqual((refused.exception.status, refused.exception.java_class), (500, "java.io.IOException"))
            self.assertIn("does not serve the keyring hadoop; ask one that does: node-1, node-2", refused.exception.message)
        self.assertIn("served", kms.names())
        self.assertEqual(kms.metadata("served")["versions"], 1)
        kms.close()
        # No line for each of them: it is no fault.
        self.assertNotIn("does not serve", node.log_text())
        self.assertIn("does not serve", trail_of(node))

    def clients_in_turn_see_nothing(self, edek):
        book = Book(History(), self.nodes)
        book.keys.append("served")
        book.keep("served", edek)
        clients = [kind(book, f"{kind.__name__}-{at}", SEED + at, at=at) for at, kind in enumerate((EachInTurn, OpensInTurn))]
        for client in clients:
            client.start()
        wait_for(lambda: any(client.failure for client in clients) or all(len(client.calls) > 60 for client in clients),
                 "calls in turn", 60)
        for client in clients:
            client.stop()
            self.assertEqual([call.why for call in client.calls if not call.good], [])
        refused = {operation.node for operation in book.history.operations if operation.outcome == FAIL}
        self.assertEqual(refused, {"n3"})

    def is_not_drilled(self, node):
        found = drill(node, "--keyring", "hadoop")["drill"]
        cells = {(cell["node"], cell["result"], *cell.get("not_asked", ())) for cell in found["cells"] if cell["now"]}
        self.assertEqual(cells, {("node-1", "opened"), ("node-2", "opened"), ("node-3", "not asked", "hadoop")})
        self.assertEqual([(ring["keyring"], ring["ways"]) for ring in found["keyrings"]], [("hadoop", 2)])
        node.run("what-if", "--lose", "node:node-1")
        node.run("what-if", "--lose", "node:node-1", "--lose", "node:node-2", code=8)

    # --- the disk ---

    def test_a_node_whose_disk_is_full_leaves_the_others_alone_and_comes_back(self):
        node = self.nodes[2]
        with self.loaded("disk") as load:
            hard = resource.prlimit(node.process.pid, resource.RLIMIT_FSIZE)[1]
            # Every file that grows, on this node: the copy of the store, its log, the trail.
            resource.prlimit(node.process.pid, resource.RLIMIT_FSIZE, (4096, hard))
            try:
                wait_for(lambda: "red" in lights(node).values(), "status that tells it", 30)
                load.go_on([*load.writers, *load.generators, *load.openers], 20)
            finally:
                resource.prlimit(node.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, hard))
            load.go_on([load.bound[2]], 20)
            self.answers_without_mark(node)
        load.no_use_failed()
        load.report()

    # --- descriptors ---

    def test_a_node_without_descriptors_answers_health_and_comes_back(self):
        node = self.nodes[2]
        self.assertEqual(node.stop(), 0)
        node.prefix = ["prlimit", "--nofile=160:160"]
        node.start()
        held = []
        try:
            with self.loaded("descriptors") as load:
                for _ in range(400):
                    wire = socket.create_connection(("127.0.0.1", node.port), timeout=5)
                    held.append(wire)
                wait_for(lambda: metric(node, "holdfast_connections") >= 30, "many connections", 20)
                print(f"{len(held)} connections tried, {metric(node, 'holdfast_connections')} are open, of 160 descriptors",
                      file=sys.stderr)
                for _ in range(20):
                    self.assertEqual(node.admin("GET", "/health/live")[0], 200)
                    self.assertEqual(node.admin("GET", "/health/ready")[0], 200)
                load.go_on([*load.writers, *load.generators, *load.openers], 10)
                for wire in held:
                    wire.close()
                load.go_on([load.bound[2]], 20)
            load.no_use_failed()
        finally:
            for wire in held:
                wire.close()
            node.stop()
            node.prefix = []
            node.start()

    # --- connections to the database ---

    def test_connections_that_the_server_ends_at_any_moment_end_no_node(self):
        pids = [node.process.pid for node in self.nodes.members]
        end_all = (f"SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '{postgres.DATABASE}' "
                   "AND pid <> pg_backend_pid()")
        rolls = random.Random(SEED)
        ended = 0
        with self.loaded("connections", busy=3) as load:
            for _ in range(60):
                ended += int(self.server.sql(end_all).splitlines()[-1])  # after warnings of those that have just gone
                time.sleep(rolls.uniform(0, 0.15))  # the moment
            load.go_on([*load.all()], 5)
        print(f"{ended} connections were ended", file=sys.stderr)
        self.assertGreater(ended, 100)
        self.assertEqual([node.process.pid for node in self.nodes.members if node.process.poll() is None], pids)
        load.no_use_failed()

    # --- the copy of the store ---

    @staticmethod
    def copies(node):
        return sorted(path for path in (node.dir / "mirror").iterdir() if path.is_file())

    def test_a_copy_that_was_removed_or_damaged_while_stopped_is_made_anew(self):
        node = self.nodes[2]

        def remove():
            for path in self.copies(node):
                path.unlink()

        def damage():
            rolls = random.Random(SEED)
            for path in self.copies(node):
                data = bytearray(path.read_bytes())
                for _ in range(len(data) // 2048):
                    data[rolls.randrange(len(data))] ^= 1 << rolls.randrange(8)
                path.write_bytes(data)

        def cut():
            for path in self.copies(node):
                os.truncate(path, path.stat().st_size // 2)

        def lose_slots():
            with contextlib.closing(sqlite3.connect(node.dir / "mirror" / "store.db")) as copy, copy:
                assert copy.execute("DELETE FROM record WHERE path LIKE 'slot/%'").rowcount > 0, "there were no slots"
        for what, hurt in (("removed", remove), ("damaged", damage), ("cut", cut), ("without its slots", lose_slots)):
            with self.subTest(what):
                with self.loaded(f"copy-{what}") as load:
                    self.assertEqual(node.stop(), 0)
                    hurt()
                    node.start()
                    load.go_on([load.bound[2]], 20)
                load.no_use_failed()

    def test_a_copy_that_is_removed_while_it_serves_is_no_wrong_answer(self):
        node = self.nodes[2]
        with self.loaded("copy-gone") as load:
            for path in self.copies(node):
                path.unlink()
            load.go_on([*load.writers, *load.generators, *load.openers], 30)
            self.assertEqual(node.stop(), 0)
            node.start()
            load.go_on([load.bound[2]], 20)
        load.no_use_failed()

    def test_a_copy_that_is_damaged_while_it_serves_is_no_wrong_answer(self):
        node = self.nodes[2]
        with self.loaded("copy-damaged") as load:
            rolls = random.Random(SEED)
            for path in self.copies(node):
                with open(path, "r+b") as file:
                    size = os.fstat(file.fileno()).st_size
                    for _ in range(size // 2048):
                        file.seek(rolls.randrange(size))
                        file.write(bytes([rolls.randrange(256)]))
            load.go_on([*load.writers, *load.generators, *load.openers], 30)
            node.kill()
            node.start()
            load.go_on([load.bound[2]], 20)
        load.no_use_failed()


if __name__ == "__main__":
    if postgres.binaries() is None:
        print("skipped: PostgreSQL is not installed; see tests/deps")
        sys.exit(77)
    unittest.main()
