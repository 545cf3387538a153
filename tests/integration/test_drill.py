#!/usr/bin/env python3
"""Openability is proved: the drill, its receipt, and what follows from it, on real stores."""
import http.server
import json
import os
import pty
import re
import socketserver
import sqlite3
import subprocess
import threading
import unittest

import yaml
from node import PROGRAM, Node, wait_for
from programs import ROOT

GREEN, RED, AMBER = 0, 8, 9


def cells(receipt, result):
    return [cell["slot"] for cell in receipt["drill"]["cells"] if cell["result"] == result]


class Answers(socketserver.UnixStreamServer):
    """A node that gives one answer after another, each to the path that it is for."""

    def __init__(self, path, answers):
        self.answers = list(answers)
        super().__init__(str(path), Answer)


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        path, answer = self.server.answers.pop(0) if self.server.answers else (None, {})
        body = json.dumps(answer).encode()
        self.send_response(200 if path == self.path else 500)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):  # pylint: disable=arguments-differ
        pass


def progress(state, *nodes):
    members = "node", "state", "slots", "slots_done", "versions", "versions_done"
    return {"state": state, "nodes": [dict(zip(members, node)) for node in nodes]}


def line(name, state, full, says):
    return f"\033[K{name:16} {state:8} [{'#' * full:30}]  {says} key versions\r\n"


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
        last = json.loads(self.node.run("--json", "drill", "show", code=RED))
        (cell,) = [cell for cell in last["drill"]["cells"] if cell["slot"] == "node-1"]
        self.assertEqual(self.provers("hadoop/orders@2"),
                         [(level, "node-1 through slot node-1", cell["proven"])
                          for level in ("key version", "keyring key", "main key", "root key", "slot")])
        # The one that does not open ends the chain.
        self.assertEqual(self.provers("hadoop/orders@1"), [("key version", None, None)])

    def provers(self, key):
        """Who proved each link of the key's chain, and when; of slots the one that the drill opened."""
        chain = json.loads(self.node.run("--json", "why", key))["chain"]
        return [(link["level"], link.get("proven_by"), link.get("proven")) for link in chain
                if not link["name"].startswith("offline ")]

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

    def test_a_keyring_wants_ways_of_its_own(self):
        """What the keyring says counts, whatever the node is configured to want."""
        self.node.run("keyring", "create", "precious", "--min-ways", "2")
        self.node.run("key", "create", "precious/ring")
        receipt = self.drill(code=AMBER)
        self.assertEqual(receipt["drill"]["light"], "amber")
        self.assertEqual([(ring["keyring"], ring["ways"], ring["wanted"]) for ring in receipt["drill"]["keyrings"]],
                         [("hadoop", 1, 1), ("precious", 1, 2)])
        said = self.node.run("drill", code=AMBER)
        self.assertRegex(said, r"(?m)^precious +1 +0 +1 +2$")
        self.assertRegex(said, "amber: everything opens, in fewer independent ways than wanted\n$")
        self.assertEqual(self.drill("--keyring", "hadoop")["drill"]["light"], "green")
        self.assertEqual(self.drill("--keyring", "precious", code=AMBER)["drill"]["light"], "amber")
        self.assertEqual(self.proofs()["light"], "amber")
        self.assertRegex(self.proofs()["text"], "keyring precious open in 1 independent ways .* and 2 are wanted")
        text = self.node.admin("GET", "/health/metrics")[1]
        for line in ('paths{keyring="precious"} 1', 'paths_wanted{keyring="precious"} 2', 'paths{keyring="hadoop"} 1',
                     'paths_wanted{keyring="hadoop"} 1'):
            self.assertIn(f"holdfast_open_{line}\n", text)
        self.node.configure('node = "node-1"', 'node = "node-1"\nproof {\n    min_ways = 2\n}')
        self.node.stop()
        self.node.start()
        self.assertEqual(self.proofs()["light"], "amber")
        for ring in "precious", "hadoop":
            self.node.run("keyring", "change", ring, "--min-ways", "1")
        self.assertEqual(self.proofs()["light"], "green")
        self.assertEqual(self.drill()["drill"]["light"], "green")
        self.node.run("keyring", "change", "precious", "--min-ways", "0")
        self.assertEqual(self.drill(code=AMBER)["drill"]["keyrings"][1]["wanted"], 2)

    def proofs(self):
        """What the status says of them."""
        status, body = self.node.admin("GET", "/api/v1/status")
        self.assertEqual(status, 200, body)
        return next(item for item in body["items"] if item["item"] == "proofs")

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

    def at_terminal(self, *words):
        """The program's exit code, what it shows at a terminal, and what it says on its standard output."""
        ours, theirs = pty.openpty()
        shown = bytearray()

        def read():
            while True:
                try:
                    shown.extend(os.read(ours, 4096))
                except OSError:  # EIO: nobody has the terminal any more
                    return
        reader = threading.Thread(target=read)
        reader.start()
        try:
            done = subprocess.run([str(PROGRAM), "--dir", str(self.node.dir), *words], stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=theirs, check=False, timeout=120)
        finally:
            os.close(theirs)
            reader.join(60)
            os.close(ours)
        self.assertFalse(reader.is_alive())
        return done.returncode, shown.decode(), done.stdout.decode()

    def test_a_person_at_a_terminal_sees_how_far_each_node_is(self):
        receipt = self.drill()
        name = receipt["drill"]["id"]
        path = f"/api/v1/drill/{name}"
        answers = [(path, progress("runs", ("node-1", "runs", 2, 0, 4, 2), ("node-2", "waiting", 0, 0, 0, 0))),
                   (path, progress("runs", ("node-1", "runs", 2, 1, 4, 3), ("node-2", "runs", 1, 0, 100, 1))),
                   (path, progress("ended", ("node-1", "done", 2, 2, 4, 4), ("node-2", "silent", 1, 0, 100, 50))),
                   (path + "/receipt", receipt)]
        pictures = (line("node-1", "runs", 15, "slot 1 of 2, 2 of 4") + line("node-2", "waiting", 0, "slot 0 of 0, 0 of 0"),
                    line("node-1", "runs", 22, "slot 2 of 2, 3 of 4") + line("node-2", "runs", 0, "slot 1 of 1, 1 of 100"),
                    line("node-1", "done", 30, "slot 2 of 2, 4 of 4")
                    + line("node-2", "silent", 15, "slot 1 of 1, 50 of 100"))
        with Answers(self.node.base / "answers", answers) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            try:
                code, shown, said = self.at_terminal("--server", f"unix:{self.node.base}/answers", "drill", "show", name)
            finally:
                server.shutdown()
        self.assertEqual(server.answers, [], "not all of it was asked for")
        # Each picture takes the place of the one before, and none is left when the result is there.
        self.assertEqual(shown, "\033[2A".join(pictures) + "\033[2A\033[J")
        self.assertEqual((code, said), (GREEN, self.node.run("drill", "show")))

    def test_the_last_picture_of_a_drill_is_full_and_is_wiped(self):
        code, shown, said = self.at_terminal("drill")
        self.assertEqual(code, GREEN)
        self.assertTrue(shown.endswith(line("node-1", "done", 30, "slot 1 of 1, 4 of 4") + "\033[1A\033[J"), repr(shown))
        self.assertRegex(said, "green: everything opens\n$")
        self.assertNotIn("\033", said)
        # Who reads the result, and not the terminal, gets no pictures.
        self.assertEqual(self.at_terminal("--json", "drill", "show")[1], "")
        self.node.run("drill", "show")
        self.assertEqual(self.node.error, "")

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

    def test_what_no_drill_has_opened_is_not_taken_to_be_readable(self):
        self.drill()
        self.node.run("what-if", "--lose", "slot:offline")
        self.node.run("keyring", "create", "young")
        self.node.run("key", "create", "young/first")
        said = self.node.run("what-if", "--lose", "slot:offline", code=RED)
        self.assertRegex(said, r"(?m)^no drill has opened anything of keyring young$")
        self.drill()
        self.node.run("what-if", "--lose", "slot:offline")
        # Its key file gone, nothing is known to open: whatever is lost, all of it is unreadable.
        os.rename(self.node.dir / "secrets/node.key", self.node.base / "node.key")
        self.drill(code=RED)
        said = self.node.run("what-if", "--lose", "slot:offline", code=RED)
        self.assertRegex(said, "Nothing opens the store any more")
        os.rename(self.node.base / "node.key", self.node.dir / "secrets/node.key")

    def test_a_drill_that_waits_for_no_time_is_refused(self):
        self.node.run("drill", "--wait", "0s", code=2)
        self.assertEqual(self.node.admin("POST", "/api/v1/drill", {"wait_ms": 0})[0], 400)

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
