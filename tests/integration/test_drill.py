#!/usr/bin/env python3
"""Openability is proved: the drill, its receipt, and what follows from it, on real stores."""
import json
import os
import re
import sqlite3
import unittest

import yaml
from node import Node, wait_for
from programs import ROOT

GREEN, RED, AMBER = 0, 8, 9


def cells(receipt, result):
    return [cell["slot"] for cell in receipt["drill"]["cells"] if cell["result"] == result]


class Drill(unittest.TestCase):
    def setUp(self):
        self.node = Node(grants=False)
        self.addCleanup(self.node.close)
        self.node.start()
        self.node.first_drill()
        for key in ("sales", "orders", "stock"):
            self.node.run("key", "create", f"hadoop/{key}")
        self.node.run("key", "rotate", "hadoop/orders")

    def drill(self, *words, code=GREEN):
        return json.loads(self.node.run("--json", "drill", *words, code=code))

    def flip(self, path):
        """One bit of the record's body, in the file, while nobody serves it."""
        self.node.stop()
        store = sqlite3.connect(self.node.dir / "store/store.db")
        (body,) = store.execute("select body from record where path = ?", (path,)).fetchone()
        altered = bytearray(body)
        altered[-20] ^= 1
        store.execute("update record set body = ? where path = ?", (bytes(altered), path))
        store.commit()
        store.close()
        self.node.start()

    def test_everything_opens_and_the_matrix_says_through_what(self):
        receipt = self.drill()
        self.assertEqual(receipt["drill"]["light"], "green")
        self.assertEqual(cells(receipt, "opened"), ["node-1"])
        self.assertEqual(cells(receipt, "people"), ["offline"], "never green, and with its age")
        self.assertEqual(receipt["drill"]["keyrings"],
                         [{"keyring": "hadoop", "versions": 4, "failed": 0, "ways": 1, "wanted": 1}])
        self.assertEqual(receipt["drill"]["failed"], [])
        said = self.node.run("drill", "--keyring", "hadoop")
        self.assertRegex(said, r"(?m)^node-1 +node-1 +opened +20\S+ +4 +0")
        self.assertRegex(said, r"(?m)^ +offline +people +20")
        self.assertRegex(said, "green: everything opens\n$")
        self.assertRegex(self.trail("drill.run"), "1 of 1 slots opened, 4 key versions, of which 0 do not open")
        self.assertRegex(self.trail("drill.run"), "1 of 1 nodes answered, green")
        self.node.run("drill", "--keyring", "nowhere", code=4)

    def trail(self, operation):
        def lines():
            text = (self.node.dir / "audit/audit.log").read_text()
            return "\n".join(line for line in text.splitlines() if f'"operation":"{operation}"' in line)
        return wait_for(lines, f"a line of {operation}")

    def test_one_bit_in_one_version_is_named_exactly_and_the_rest_is_green(self):
        self.drill()
        self.flip("version/hadoop/orders/0000000001")
        receipt = self.drill(code=RED)
        self.assertEqual(receipt["drill"]["light"], "red")
        self.assertEqual(receipt["drill"]["failed"],
                         [{"what": "hadoop/orders@1", "node": "node-1", "slot": "node-1", "cause": "altered",
                           "record": "version/hadoop/orders/0000000001"}])
        (ring,) = receipt["drill"]["keyrings"]
        self.assertEqual((ring["versions"], ring["failed"], ring["ways"]), (4, 1, 0))
        said = self.node.run("drill", code=RED)
        self.assertRegex(said, r"(?m)^hadoop/orders@1 +node-1 +node-1 +altered +version/hadoop/orders/0000000001$")
        lost = json.loads(self.node.run("--json", "what-if", "--lose", "slot:offline", code=RED))
        self.assertEqual(lost["keyrings"][0]["named"], ["hadoop/orders@1"], "lost already, whatever else is")
        chain = json.loads(self.node.run("--json", "why", "hadoop/orders@2"))["chain"]
        self.assertEqual(chain[0]["proven_by"], "node-1 through slot node-1")

    def test_a_slot_whose_file_is_gone_is_red(self):
        os.rename(self.node.dir / "secrets/node.key", self.node.base / "node.key")
        receipt = self.drill(code=RED)
        (cell,) = [cell for cell in receipt["drill"]["cells"] if cell["slot"] == "node-1"]
        self.assertEqual((cell["result"], cell["cause"]), ("failed", "protector_unavailable"))
        self.assertRegex(cell["text"], "node.key")
        os.rename(self.node.base / "node.key", self.node.dir / "secrets/node.key")
        self.assertEqual(self.drill()["drill"]["light"], "green")

    def test_fewer_ways_than_wanted_are_amber(self):
        self.node.configure('node = "node-1"', 'node = "node-1"\nproof {\n    min_ways = 2\n}')
        self.node.stop()
        self.node.start()
        receipt = self.drill(code=AMBER)
        self.assertEqual(receipt["drill"]["keyrings"][0]["wanted"], 2)

    def test_a_receipt_is_verified_without_a_node_and_an_edited_one_is_not(self):
        file = self.node.base / "receipt.json"
        self.node.run("drill", "--receipt", file)
        # Whole or not at all: who has the old file open reads on in it, and a link is not followed.
        with file.open() as old:
            self.node.run("drill", "show", "--receipt", file)
            self.assertEqual(old.read(), file.read_text())
            self.assertNotEqual(os.fstat(old.fileno()).st_ino, file.stat().st_ino)
        link = self.node.base / "link"
        link.symlink_to(file)
        self.node.run("drill", "show", "--receipt", link, code=2)
        self.assertTrue(link.is_symlink())
        self.node.stop()
        self.assertRegex(self.node.run("drill", "verify", file), "The receipt is as it was signed")
        signers = json.loads(self.node.run("--json", "drill", "verify", file))["signers"]
        self.assertEqual([(who["node"], who["signed"], who["trusted"]) for who in signers],
                         [("node-1", "all", True), ("node-1", "its part", True)])
        whole = file.read_text()
        for edited in (whole.replace('"failed":0', '"failed":1', 1), whole.replace("green", "amber", 1),
                       whole.replace('"drill":{', '"drill":{ ', 1), whole.replace('"signatures":[{', '"signatures":[{"x":1},{', 1),
                       whole[:whole.index(',"signatures"')] + ',"signatures":[]}', whole.replace("signatures", "other"),
                       whole[:whole.index(',"parts"')] + ',"parts":[]' + whole[whole.index(',"signatures"'):],
                       whole.replace('\\"failed\\":0', '\\"failed\\":1', 1),
                       re.sub('"signature":"..', '"signature":"00', whole), "{}", ""):
            self.assertNotEqual(edited, whole)
            file.write_text(edited)
            self.assertEqual(self.node.run("drill", "verify", file, code=7), "", edited[:80])
        other = Node(grants=False)
        self.addCleanup(other.close)
        file.write_text(whole)
        self.node.run("drill", "verify", file, "--public-key", other.dir / "audit.pub", code=7)
        self.node.run("drill", "verify", file, "--trust", other.dir / "audit.pub", "--trust", self.node.dir / "audit.pub")

    def test_a_drill_is_listed_and_shown_again(self):
        receipt = self.drill()
        drills = json.loads(self.node.run("--json", "drill", "list"))["drills"]
        self.assertEqual(drills[0]["id"], receipt["drill"]["id"])
        self.assertEqual(drills[0]["light"], "green")
        for drill in receipt["drill"]["id"], "last":
            self.assertEqual(json.loads(self.node.run("--json", "drill", "show", drill)), receipt)
        self.assertRegex(self.node.run("drill", "show"), "green: everything opens\n$")
        self.node.run("drill", "show", "0123456789abcdef", code=4)
        self.node.run("drill", "show", "../status", code=2)
        self.node.run("drill", "--wait", "5s", "--keyring", "hadoop")
        self.node.run("drill", "--wait", "5h", code=2)

    def test_what_if_and_the_smallest_cut_on_one_node(self):
        self.node.run("what-if", "--lose", "node:node-1", "--min-cut", code=2)
        self.drill()
        self.node.run("what-if", "--lose", "node:elsewhere", code=4)
        self.assertRegex(self.node.run("what-if", "--lose", "slot:offline"), r"(?m)^hadoop +4 +0 +0$")
        self.assertRegex(self.node.run("what-if", "--lose", "slot:node-1", code=AMBER), r"(?m)^hadoop +4 +0 +4$")
        said = self.node.run("what-if", "--lose", "slot:node-1", "--lose", "slot:offline", code=RED)
        self.assertRegex(said, r"(?m)^hadoop +4 +4 +0$")
        self.assertRegex(said, "Nothing opens the store any more")
        self.node.run("what-if", "--lose", "node:node-1", code=RED)
        cut = json.loads(self.node.run("--json", "what-if", "--min-cut", "hadoop/sales"))
        self.assertEqual(cut["ends"], ["node:node-1"], "one node: its loss is the end")
        self.node.run("what-if", "--min-cut", "hadoop/none", code=4)

    def test_the_daemon_drills_by_itself_and_tells_prometheus(self):
        def metrics():
            text = self.node.admin("GET", "/health/metrics")[1]
            return text if "holdfast_open_paths" in text else None
        self.drill()
        text = wait_for(metrics, "metrics of proofs")
        self.assertRegex(text, r'(?m)^holdfast_open_paths\{keyring="hadoop"\} 1$')
        self.assertRegex(text, r"(?m)^holdfast_drill_failed_versions 0$")
        self.assertRegex(text, r"(?m)^holdfast_drill_age_seconds \d+$")


class Alerts(unittest.TestCase):
    def test_the_rules_are_whole_and_speak_of_metrics_that_there_are(self):
        rules = yaml.safe_load((ROOT / "deploy/prometheus/holdfast.rules.yml").read_text())
        alerts = [rule for group in rules["groups"] for rule in group["rules"]]
        source = "".join(path.read_text() for path in (ROOT / "src").rglob("*.c"))
        pages = "".join((ROOT / "docs" / page).read_text() for page in ("drill.md", "jobs.md", "nodes.md"))
        self.assertGreater(len(alerts), 6)
        for alert in alerts:
            with self.subTest(alert["alert"]):
                self.assertIn(alert["labels"]["severity"], ("critical", "warning"))
                self.assertEqual(set(alert["annotations"]), {"summary", "description"})
                self.assertIn(f"`{alert['alert']}`", pages)
                for metric in re.findall(r"holdfast_\w+", alert["expr"]):
                    self.assertIn(f'"{metric}"', source)


if __name__ == "__main__":
    unittest.main()
