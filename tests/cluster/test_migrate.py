#!/usr/bin/env python3
"""
holdfast store migrate with real daemons: to PostgreSQL and back while it is killed at random moments, a locked node's store,
a daemon that serves, and a node made in PostgreSQL from the beginning.
"""
import os
import pathlib
import random
import re
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import postgres  # noqa: E402
from nodes import Kms, store_options  # noqa: E402
from node import PROGRAM, Node  # noqa: E402

ROUNDS = 200 if os.environ.get("HOLDFAST_LONG") else 16
KEYS = 150


def migrate_options(server, to, database=postgres.DATABASE):
    options = store_options([server.port], 0, database)[2:] if to == "postgres" else []
    return ["store", "migrate", "--to", to, *map(str, options)]


def places(node, server):
    """Where a store can be opened now: at most one of two."""
    file = (node.dir / "store/store.db").exists() and not (node.dir / "store/moved").exists()
    table = server.sql("SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'"
                       " AND table_name IN ('schema', 'state')") == "2"
    return [name for name, there in (("sqlite", file), ("postgres", table)) if there]


class Migrate(postgres.DatabaseCase):
    fsync = True

    def fill(self, node):
        kms = Kms(node)
        for number in range(KEYS):
            kms.create(f"key-{number}")
        kms.roll("key-0")
        edek = kms.generate("key-0")[0]
        found = edek, kms.decrypt(edek)
        kms.close()
        return found

    def use(self, node, edek, dek, versions):
        """Serves the store where it is now; it opens what it opened, and goes on."""
        node.start()
        kms = Kms(node)
        self.assertEqual(kms.decrypt(edek), dek)
        self.assertEqual(kms.metadata("key-0")["versions"], versions)
        self.assertEqual(len(kms.names()), KEYS)
        self.assertEqual(kms.roll("key-0")["versionName"], f"key-0@{versions}")
        kms.close()
        self.assertEqual(node.stop(), 0)

    def killed_once(self, node, to, after):
        """True if the kill hit it at work; after None: as soon as the SQLite store is retired."""
        command = [str(PROGRAM), "--dir", str(node.dir), *migrate_options(self.server, to), "--switch"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            if after is None:
                while not (node.dir / "store/moved").exists() and process.poll() is None:
                    pass
                after = 0
            try:
                process.wait(after)
                self.assertEqual(process.returncode, 0, process.stderr.read())
                return False
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                return True

    def settle_server(self):
        """Until the server has noticed that the killed program is gone."""
        postgres.wait_for(lambda: self.server.sql("SELECT count(*) FROM pg_stat_activity WHERE datname = "
                                                  f"'{postgres.DATABASE}' AND pid <> pg_backend_pid()") == "0",
                          "end of the killed program's sessions", 30)

    def test_killed_at_any_moment_there_is_one_store_and_the_same_command_ends_it(self):
        seed = int(os.environ.get("HOLDFAST_SEED", random.getrandbits(32)))
        print(f"seed {seed}", file=sys.stderr)
        dice = random.Random(seed)
        killed = resumed = empty = 0
        with Node() as node:
            node.configure('hadoop_keyring = "hadoop"', 'hadoop_keyring = "hadoop"\n    hadoop_retry_window = 0')
            node.start()
            edek, dek = self.fill(node)
            node.stop()
            began = time.monotonic()
            for to in ("postgres", "sqlite"):
                node.run(*migrate_options(self.server, to), "--switch")
            took = (time.monotonic() - began) / 2
            for number in range(ROUNDS):
                to = ("postgres", "sqlite")[number % 2]
                # Now and then at the moment when the store is in neither place.
                at_mark = to == "postgres" and number % 6 == 0
                hit = self.killed_once(node, to, None if at_mark else dice.uniform(0, 1.1 * took))
                self.settle_server()
                there = places(node, self.server)
                self.assertLess(len(there), 2, "two stores can be opened")
                empty += not there
                killed += hit
                if hit and there == [to]:
                    # Its last step was done, perhaps without that of the configuration.
                    self.assertIn(f'engine = "{to}"', self.switch(node, to))
                elif hit:
                    resumed += "had been moved" in node.run(*migrate_options(self.server, to), "--switch")
                self.assertEqual(places(node, self.server), [to])
                self.assertFalse((node.dir / "moving").exists())
                self.use(node, edek, dek, 2 + number)
            self.assertIn("The chain is whole", node.run("audit", "verify"))
        print(f"{ROUNDS} migrations of {KEYS} keys, {killed} killed at work, {empty} of them between the two stores, {resumed} "
              f"resumed; one takes {1000 * took:.0f} ms", file=sys.stderr)
        self.assertGreater(killed, ROUNDS / 3)
        self.assertGreater(resumed, 0)

    def switch(self, node, to):
        text = (node.dir / "holdfast.conf").read_text()
        if f'engine = "{to}"' not in text:
            node.run(*migrate_options(self.server, to), "--switch")
        return (node.dir / "holdfast.conf").read_text()

    def test_a_store_that_is_served_stays(self):
        with Node() as node:
            node.start()
            node.run(*migrate_options(self.server, "postgres"), code=5)
            self.assertIn("stop it first", node.error)
            node.stop()
            text = (node.dir / "holdfast.conf").read_text()
            told = node.run(*migrate_options(self.server, "postgres"), "--check")
            self.assertIn("Nothing was changed", told)
            self.assertEqual(places(node, self.server), ["sqlite"])
            told = node.run(*migrate_options(self.server, "postgres"))
            self.assertEqual((node.dir / "holdfast.conf").read_text(), text)
            # It goes nowhere by mistake, and says where it is.
            node.spawn()
            self.assertNotEqual(node.process.wait(30), 0)
            node.process = None
            self.assertIn(f"was moved to postgres host='127.0.0.1' port='{self.server.port}'", node.log_text())
            # The lines it printed are the ones that are needed.
            sections = re.findall(r"^(?:store|slot \"node-1-own\") \{.*?^\}$", told, re.S | re.M)
            self.assertEqual(len(sections), 2)
            (node.dir / "holdfast.conf").write_text("\n".join([text, *sections, ""]))
            node.start()
            # While a node serves it, a store does not go back, though nobody writes.
            self.assertEqual(node.run_json("status")["light"], "amber")
            node.run(*migrate_options(self.server, "sqlite"), code=5)
            self.assertIn("stop all nodes first", node.error)
            self.assertEqual(places(node, self.server), ["postgres"])
            node.stop()
            node.run(*migrate_options(self.server, "sqlite"), "--switch")

    def test_a_locked_node_moves(self):
        with Node() as node:
            (node.dir / "secrets/node.key").rename(node.base / "away")
            node.run(*migrate_options(self.server, "postgres"), "--switch")
            (node.base / "away").rename(node.dir / "secrets/node.key")
            node.start()

    def test_the_configuration_keeps_all_but_its_store(self):
        with Node() as node:
            path = node.dir / "holdfast.conf"
            head = '# store { in a comment }\nlog {\n    form = "text" # "store {"\n}\n'
            tail = '\n/* store {} */\naudit {\n    when_full = "stop"\n}\n'
            path.write_text(path.read_text().replace("\nlistener", f"\n{head}store {{ # old }}\n    engine = \"sqlite\"\n"
                                                     f"    pin = \"state/pin-2\"\n}}{tail}\nlistener", 1))
            (node.dir / "state/pin").rename(node.dir / "state/pin-2")
            before = path.read_text()
            node.run(*migrate_options(self.server, "postgres"), "--switch")
            text = path.read_text()
            self.assertIn(head + 'store {\n    engine = "postgres"\n', text)
            self.assertIn(f'    pin = "{node.dir}/state/pin-2"\n}}\n', text)
            self.assertEqual(before.split("/* store")[1], text.split("/* store")[1])
            self.assertEqual(path.stat().st_mode & 0o777, 0o600)
            node.start()

    def test_a_node_is_made_in_postgres(self):
        with Node(*store_options([self.server.port], 0)) as node:
            self.assertFalse((node.dir / "store/store.db").exists())
            node.start()
            self.assertEqual(node.run_json("keyring", "list")["keyrings"][0]["name"], "hadoop")
            node.stop()
            self.assertIn("The chain is whole", node.run("audit", "verify"))
            trail = "".join(path.read_text(errors="replace") for path in (node.dir / "audit").iterdir())
            self.assertIn("keyring.create", trail)
            # A second one finds it there, and leaves nothing behind.
            with self.assertRaisesRegex(AssertionError, "there is a store in this database already"):
                Node(*store_options([self.server.port], 0))
            node.start()


if __name__ == "__main__":
    if postgres.binaries() is None:
        print("skipped: PostgreSQL is not installed; see tests/deps")
        sys.exit(77)
    unittest.main()
