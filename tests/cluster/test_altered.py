#!/usr/bin/env python3
"""
Whoever can write to the database, or to a node's disk, and has no key of the store: he alters heartbeats, the stamp of the last
fresh moment, and records on their way to a node. Nobody is believed who has not the MAC; one bad record stops neither the feed
nor the lease of a node; and a version that a node cannot read comes into use nowhere.
"""
import pathlib
import signal
import sys
import threading
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import postgres  # noqa: E402
from nodes import Kms, Nodes, RemoteException  # noqa: E402
from postgres import wait_for  # noqa: E402
from test_faults import metric, trail_of  # noqa: E402
from test_members import item, members  # noqa: E402

STALE = "X-Holdfast-Stale"

# What becomes of each heartbeat of node-2 on its way into the table (docs/formats/heartbeat.md).
FORGERIES = {
    "under another number": "NEW.body := OLD.body;",
    "with more applied": "NEW.applied_seq := NEW.applied_seq + 1000;",
    "with another byte in it": "NEW.body := set_byte(NEW.body, 33, get_byte(NEW.body, 33) # 1);",
    "with another MAC": "NEW.body := set_byte(NEW.body, length(NEW.body) - 1, get_byte(NEW.body, length(NEW.body) - 1) # 1);",
    "without a MAC": "NEW.body := '';",
    "that is another node's": "SELECT n, confirmed_seq, applied_seq, body INTO NEW.n, NEW.confirmed_seq, NEW.applied_seq, "
                              "NEW.body FROM hb WHERE node = 'node-1';",
    "that is an old one": "NEW := OLD;",
}
# The report in it begins after version, instance, boot id, flags and an empty site: it has opened all there will ever be.
ALL_PROVED = r"overlay(body placing '\x00ffffffffffffff'::bytea from 39 for 8)"

# One record as node-2 alone is shown it; who reads is told by the role. Everything else is as it was.
SHOWN_ALTERED = """
CREATE ROLE other LOGIN SUPERUSER;
CREATE TABLE altered (path BYTEA);
BEGIN;
ALTER TABLE record RENAME TO kept;
CREATE VIEW record AS SELECT path, revision, seq, digest, CASE WHEN current_user = 'other' AND path IN (SELECT path FROM altered)
    THEN set_byte(body, length(body) - 1, get_byte(body, length(body) - 1) # 1) ELSE body END AS body FROM kept;
CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO kept (path, revision, seq, digest, body) VALUES (NEW.path, NEW.revision, NEW.seq, NEW.digest, NEW.body);
    ELSE
        UPDATE kept SET revision = NEW.revision, seq = NEW.seq, digest = NEW.digest, body = NEW.body WHERE path = OLD.path;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER keep INSTEAD OF INSERT OR UPDATE ON record FOR EACH ROW EXECUTE FUNCTION keep();
COMMIT;
"""


def version_path(key, number):
    return f"version/hadoop/{key}/{number:010d}"


class Altered(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = postgres.Server()
        cls.addClassCleanup(cls.server.close)
        cls.server.start()
        cls.server.make_database()
        cls.nodes = Nodes(2, [cls.server.port], synchronous=0)
        cls.addClassCleanup(cls.nodes.close)

    def setUp(self):
        self.first, self.second = self.nodes.members
        self.wait_until_both_are_heard()
        self.kms = self.client(self.first)

    def client(self, node):
        kms = Kms(node)
        self.addCleanup(kms.close)
        return kms

    def freeze(self, node):
        node.process.send_signal(signal.SIGSTOP)
        self.addCleanup(self.go_on, node)

    @staticmethod
    def go_on(node):
        if node.process is not None:
            node.process.send_signal(signal.SIGCONT)

    # --- what people see ---

    @staticmethod
    def holds_lease(node):
        return metric(node, "holdfast_lease") == 1

    def lease_of_first(self):
        return item(self.first, "lease")["text"]

    def is_missed(self):
        """What the first node says of the second: by name while it is silent, then it is away."""
        return ("nothing was heard of node-2" in self.lease_of_first()
                or members(self.first)["node-2"]["state"] == "away")

    def wait_until_both_are_heard(self):
        wait_for(lambda: all(self.holds_lease(node) for node in self.nodes.members), "two leases")
        wait_for(lambda: "held, as one of 2 nodes" in self.lease_of_first(), "news of the second node")

    def proven(self, on):
        """How often the trail of the first node says of a version that so many nodes of the two have opened it."""
        return trail_of(self.first).count(f"proven on {on} of 2 nodes")

    def creates_with_proof_of(self, on, key):
        before = self.proven(on)
        self.kms.create(key)
        wait_for(lambda: self.proven(on) > before, f"note of a proof on {on} of 2 nodes")

    # --- heartbeats ---

    def forge(self, how):
        self.forge_no_more()
        self.server.sql(f"""CREATE FUNCTION forge() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {how} RETURN NEW; END $$;
            CREATE TRIGGER forge BEFORE UPDATE ON hb FOR EACH ROW WHEN (NEW.node = 'node-2') EXECUTE FUNCTION forge()""")

    def forge_no_more(self):
        self.server.sql("DROP TRIGGER IF EXISTS forge ON hb; DROP FUNCTION IF EXISTS forge()")

    def test_a_heartbeat_that_was_altered_gives_no_lease_and_is_no_news(self):
        self.addCleanup(self.forge_no_more)
        for at, (what, how) in enumerate(FORGERIES.items()):
            with self.subTest(f"a heartbeat {what}"):
                told = self.first.log_text().count("a heartbeat is not believed")
                self.forge(how)
                wait_for(lambda: not self.holds_lease(self.second), "end of the lease")
                wait_for(self.is_missed, "first node that misses the second")
                self.creates_with_proof_of(1, f"unheard-{at}")
                # It is told of the change all the same, and cannot know that nothing came after it.
                other = self.client(self.second)
                wait_for(lambda: f"unheard-{at}" in other.names(), "change that the second node follows")
                self.assertRegex(other.answer.getheader(STALE), r"^\d+$")
                self.assertEqual(item(self.second, "lease")["light"], "amber")
                # Once, though it looks some forty times a second; what is old is no lie.
                self.assertEqual(self.first.log_text().count("a heartbeat is not believed") - told,
                                 0 if what == "that is an old one" else 1)
                self.forge_no_more()
                self.wait_until_both_are_heard()
                self.creates_with_proof_of(2, f"heard-{at}")
                wait_for(lambda: other.names() and other.answer.getheader(STALE) is None, "answer without a mark")

    def test_heartbeats_that_are_removed_come_again(self):
        for at in range(3):
            self.server.sql("DELETE FROM hb")
            wait_for(lambda: self.server.sql("SELECT count(*) FROM hb") == "2", "both rows")
            self.creates_with_proof_of(2, f"removed-{at}")
        self.wait_until_both_are_heard()

    @staticmethod
    def is_sure(kms, key):
        """On a busy machine it may have no lease for a moment, and says so; that the key is not there it must not say."""
        try:
            kms.generate(key)
        except RemoteException as error:
            if "not available" in str(error):
                return False
            raise
        return kms.answer.getheader(STALE) is None

    def test_no_change_is_answered_on_the_word_of_a_node_that_stands_still(self):
        """If one were, that node would go on with a lease from before, and show the key as it was."""
        for at in range(4):
            key = f"still-{at}"
            self.kms.create(key)
            other = self.client(self.second)
            wait_for(lambda: self.is_sure(other, key), "second node that is sure of the key")
            before = self.proven(1)
            self.freeze(self.second)
            self.server.sql("UPDATE hb SET n = n + 1, applied_seq = applied_seq + 1000, "
                            f"body = {ALL_PROVED} WHERE node = 'node-2'")
            # It is there when the node goes on, and answered before anything else happens there.
            other.wire.request("GET", f"/kms/v1/key/{key}/_eek?eek_op=generate&num_keys=1", None,
                               {"Cookie": f"hadoop.auth={other.cookie}"})
            rolled = self.kms.roll(key)
            self.go_on(self.second)
            answer = other.wire.getresponse()
            text = answer.read().decode()
            self.assertEqual(rolled["versionName"], f"{key}@1")
            if answer.status == 200 and answer.getheader(STALE) is None:
                self.assertIn(f"{key}@1", text)
            else:
                self.assertIn(answer.status, (200, 500), text)
            wait_for(lambda: self.proven(1) > before, "note that the second node was not asked")
            self.wait_until_both_are_heard()

    def test_a_node_that_stands_still_goes_away_whatever_its_row_says(self):
        self.freeze(self.second)
        enough = threading.Event()
        self.addCleanup(enough.set)

        def keep_alive():
            while not enough.wait(0.2):
                self.server.sql("UPDATE hb SET n = n + 1, applied_seq = applied_seq + 1 WHERE node = 'node-2'")
        forger = threading.Thread(target=keep_alive, daemon=True)
        forger.start()
        try:
            wait_for(lambda: members(self.first)["node-2"]["state"] == "away", "member that is away")
            self.assertEqual(item(self.first, "member node-2")["light"], "amber")
            wait_for(lambda: metric(self.first, "holdfast_members_away") == 1, "metric of it")
        finally:
            enough.set()
            forger.join()
        self.go_on(self.second)
        wait_for(lambda: members(self.first)["node-2"]["state"] == "approved", "member that is back")
        wait_for(lambda: metric(self.first, "holdfast_members_away") == 0, "metric of it")

    # --- the stamp ---

    def test_a_stamp_that_was_altered_is_no_fresh_moment(self):
        self.kms.create("stamped")
        edek = self.kms.generate("stamped")[0]
        dek = self.kms.decrypt(edek)
        other = self.client(self.second)
        wait_for(lambda: "stamped" in other.names(), "key on the second node")
        self.assertEqual(self.second.stop(), 0)
        stamp = self.second.dir / "mirror" / "fresh"
        written = stamp.read_bytes()
        # Version and boot id, then two times, then the MAC. A moment later than it was, which is not to come yet.
        later = int.from_bytes(written[17:25]) + 1
        self.server.kill()
        self.addCleanup(self.database_comes_back)
        for what, bytes_ in (("later", written[:17] + later.to_bytes(8) + written[25:]),
                             ("of another boot", bytes(written[:1]) + bytes(16) + written[17:]),
                             ("with another MAC", written[:-1] + bytes([written[-1] ^ 1])),
                             ("that is cut", written[:-1]),
                             ("that is empty", b""),
                             ("that is gone", None)):
            with self.subTest(f"a stamp {what}"):
                if bytes_ is None:
                    stamp.unlink()
                else:
                    stamp.write_bytes(bytes_)
                self.second.start(ready=False)
                self.opens_nothing_until_told_to(edek, dek)
                self.assertEqual(self.second.stop(), 0)
        # It has not become younger by serving without a lease, and was not written anew.
        self.assertFalse(stamp.exists())
        stamp.write_bytes(written)
        stamp.chmod(0o600)
        self.second.start()
        kms = self.client(self.second)
        self.assertEqual(kms.decrypt(edek), dek)
        self.assertRegex(kms.answer.getheader(STALE), r"^\d+$")
        self.assertGreaterEqual(metric(self.second, "holdfast_stale_seconds"), 0)

    def opens_nothing_until_told_to(self, edek, dek):
        node = self.second
        self.assertEqual(metric(node, "holdfast_stale_seconds"), -1)
        self.assertEqual(item(node, "lease")["light"], "red")
        self.assertIn("nobody knows how old", item(node, "lease")["text"])
        self.assertNotEqual(node.admin("GET", "/health/ready")[0], 200)
        kms = Kms(node)
        try:
            with self.assertRaises(RemoteException) as refused:
                kms.decrypt(edek)
            # After any other a client with several servers would not go to the next.
            self.assertEqual((refused.exception.status, refused.exception.java_class), (500, "java.io.IOException"))
            node.run("node", "serve-stale", "--for", "1h")
            self.assertEqual(kms.decrypt(edek), dek)
            self.assertEqual(kms.answer.getheader(STALE), "unknown")
            # For opening only.
            with self.assertRaises(RemoteException):
                kms.generate("stamped")
        finally:
            kms.close()

    def database_comes_back(self):
        self.server.start()
        if self.second.process is None:
            self.second.start(ready=False)
        self.wait_until_both_are_heard()

    # --- one bad record ---

    def alter(self, path):
        """Twice is not at all."""
        self.server.sql("UPDATE record SET body = set_byte(body, length(body) - 1, get_byte(body, length(body) - 1) # 1) "
                        f"WHERE path = '{path}'")

    def test_one_bad_record_stops_neither_the_feed_nor_the_lease(self):
        path = version_path("hurt", 0)
        self.freeze(self.second)
        self.kms.create("hurt")
        hurt = self.kms.generate("hurt")[0]
        dek = self.kms.decrypt(hurt)
        self.alter(path)
        self.go_on(self.second)
        self.kms.create("whole")
        whole = self.kms.generate("whole")[0]
        other = self.client(self.second)
        wait_for(lambda: "whole" in other.names(), "change after the bad one")
        self.assertEqual(other.decrypt(whole), self.kms.decrypt(whole))
        self.wait_until_both_are_heard()
        wait_for(lambda: metric(self.second, "holdfast_applied_seq") == metric(self.first, "holdfast_applied_seq"),
                 "the same commit on both")
        self.assertEqual(item(self.second, "mirror")["light"], "green")
        seal = item(self.second, "seal")
        self.assertEqual(seal["light"], "red")
        self.assertIn(path, seal["text"])
        self.assertIn(f"the record {path}", self.second.log_text())
        # The one key is refused where it is damaged; who has read it before opens it.
        with self.assertRaises(RemoteException) as refused:
            other.decrypt(hurt)
        self.assertEqual(refused.exception.status, 500)
        self.assertEqual(self.kms.decrypt(hurt), dek)
        self.assertEqual(item(self.first, "seal")["light"], "green")
        self.creates_with_proof_of(2, "after-the-bad-one")
        self.alter(path)
        self.is_whole_after_a_start(self.second)
        self.assertEqual(self.client(self.second).decrypt(hurt), dek)

    def is_whole_after_a_start(self, node):
        """What was put right in the store."""
        self.assertEqual(node.stop(), 0)
        node.start()
        self.assertEqual(item(node, "seal")["light"], "green")

    def test_a_version_whose_record_one_node_cannot_read_is_abandoned_and_names_the_node(self):
        key = "unread"
        self.kms.create(key)
        self.assertEqual(self.second.stop(), 0)
        self.server.sql(SHOWN_ALTERED)
        self.second.configure("store {\n", 'store {\n    user = "other"\n')
        self.second.start()
        self.wait_until_both_are_heard()
        self.server.sql(f"INSERT INTO altered VALUES ('{version_path(key, 1)}')")
        with self.assertRaises(RemoteException) as refused:
            self.kms.roll(key)
        self.assertEqual(refused.exception.status, 500)
        wait_for(lambda: "node node-2 could not open it: corrupt" in trail_of(self.first), "note of the node and its reason")
        for node in (self.first, self.second):
            self.assertEqual(self.client(node).generate(key)[0]["versionName"], f"{key}@0")
        self.assertIn(version_path(key, 1), item(self.second, "seal")["text"])
        self.wait_until_both_are_heard()
        # The next one is as good as ever; the number is not given again.
        before = self.proven(2)
        self.assertEqual(self.kms.roll(key)["versionName"], f"{key}@2")
        wait_for(lambda: self.proven(2) > before, "note of a proof on both nodes")
        self.server.sql("DELETE FROM altered")
        self.is_whole_after_a_start(self.second)


if __name__ == "__main__":
    if postgres.binaries() is None:
        print("skipped: PostgreSQL is not installed; see tests/deps")
        sys.exit(77)
    unittest.main()
