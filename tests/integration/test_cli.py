#!/usr/bin/env python3
"""The two programs as people use them and misuse them: what they do, what they say, how they end."""
import base64
import datetime
import http.client
import json
import os
import pathlib
import pwd
import re
import shutil
import signal
import ssl
import subprocess
import tempfile
import unittest

from kms import Kms, RemoteException
from node import Node, UnixConnection, free_port, wait_for
from programs import complete, daemon, program

ME = "unix:" + pwd.getpwuid(os.getuid()).pw_name
ID = "[0-9a-f]{32}"


class Case(unittest.TestCase):
    node = None

    def hang_up(self, words):
        before = self.node.log_text().count(words)
        self.node.process.send_signal(signal.SIGHUP)
        wait_for(lambda: self.node.log_text().count(words) > before, f'"{words}" in the log')

    def fails(self, code, message, *words, stdin=None):
        """The command ends with that code, says nothing on standard output, and says what to do."""
        out = self.node.run(*words, code=code, stdin=stdin)
        self.assertEqual(out, "")
        self.assertRegex(self.node.error, "^holdfast: ")
        self.assertRegex(self.node.error, message)
        return self.node.error


class Running(Case):
    @classmethod
    def setUpClass(cls):
        cls.admin_port = free_port()
        cls.node = Node("--listen-admin", f"127.0.0.1:{cls.admin_port}", grants=False)
        cls.addClassCleanup(cls.node.close)
        cls.node.add_second(cls.admin_port)
        cls.node.start()
        cls.node.second_joins()
        cls.remote = ("--server", f"https://127.0.0.1:{cls.admin_port}")
        cls.node.second("policy", "grant", "--who", "cert:admin", "--role", "key-user")
        cls.node.second("policy", "grant", "--who", ME, "--role", "key-user")

    # --- the node ---

    def test_a_second_server_on_the_store_is_refused_and_says_who_has_it(self):
        done = daemon("--dir", self.node.dir)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, f"store is open in process {self.node.process.pid}; stop it first")
        self.assertEqual(self.node.admin("GET", "/health/ready")[0], 200, "the first one goes on")

    def test_status_says_what_to_do_and_programs_get_the_same(self):
        said = self.node.run("status")
        self.assertRegex(said, r"(?m)^amber +offline +.*offline/passphrase opens the root key: move it")
        self.assertRegex(said, r"(?m)^green +seal +unlocked")
        self.assertTrue(said.endswith("The node is amber.\n"))
        told = self.node.run_json("status")
        self.assertEqual(told["light"], "amber")
        for item in told["items"]:
            if item["item"] != "memory":
                self.assertIn(item["text"], said)

    def test_slots_and_the_chain_of_a_key(self):
        said = self.node.run("slot", "list")
        self.assertRegex(said, r"(?m)^node-1 +keyfile +no +no +yes +1 +1 +20")
        self.assertRegex(said, rf"(?m)^offline +passphrase +yes +yes +yes +1 +1 +20\S+ +{ID}$")
        self.node.run("key", "create", "hadoop/chain")
        for what in ("hadoop/chain", "hadoop/chain@1"):
            said = self.node.run("why", what)
            self.assertRegex(said, r"(?m)^key version +hadoop/chain@1 +open +active")
            self.assertRegex(said, r"(?m)^slot +offline \(passphrase\) +closed +needs a person")
        self.fails(4, "no version 9", "why", "hadoop/chain@9")
        self.fails(4, "there is no key hadoop/nobody", "why", "hadoop/nobody")
        self.fails(2, "name the keyring, as in 'keyring/key@3'", "why", "chain")

    def test_nobody_serves_a_wrong_directory(self):
        done = program("--dir", "/nonexistent", "status")
        self.assertEqual(done.returncode, 6)
        self.assertRegex(done.stderr, "nobody serves /nonexistent/admin.sock: is holdfastd running for this directory")

    def test_a_remote_node_is_reached_by_mutual_tls_only(self):
        self.assertIn("hadoop", self.node.run(*self.remote, "keyring", "list"))
        self.fails(2, "--server must be https://HOST:PORT or unix:PATH", "--server", "http://127.0.0.1:1", "status")
        self.fails(6, "127.0.0.1", "--server", "https://127.0.0.1:1", "status")
        socket = f"unix:{self.node.dir}/admin.sock"
        done = program("--server", socket, "keyring", "list")
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_bench_tells_rates(self):
        self.node.run("key", "create", "hadoop/bench")
        self.assertRegex(self.node.run("bench", "hadoop/bench", "--seconds", "1"), r"(?m)^unwrap +\d+ /s +p50")
        lines = self.node.run("bench", "hadoop/bench", "--seconds", "1", "--json").splitlines()
        self.assertEqual([json.loads(line)["what"] for line in lines], ["generate", "unwrap"])
        self.fails(2, "--seconds must be from 1 to 600", "bench", "hadoop/bench", "--seconds", "0")

    # --- keys ---

    def test_the_life_of_a_key(self):
        run = self.node.run
        self.assertEqual(run("key", "create", "hadoop/life"), "hadoop/life@1 is made.\n")
        self.assertEqual(run("key", "rotate", "hadoop/life"), "hadoop/life@2 encrypts from now on.\n")
        self.assertIn("life", run("key", "list", "hadoop").splitlines())
        said = run("key", "show", "hadoop/life")
        self.assertRegex(said, r"(?m)^primary: 2$")
        self.assertRegex(said, rf"(?m)^1 +active +no +no +20\S+ +{ID}$")
        run("key", "primary", "hadoop/life", "--version", "1")
        self.assertEqual(self.node.run_json("key", "show", "hadoop/life")["primary"], 1)
        self.assertEqual(run("key", "state", "hadoop/life", "suspend", "--version=2", "--reason", "INC-4711"),
                         "hadoop/life@2: suspend is done.\n")
        self.assertEqual(self.node.run_json("key", "show", "hadoop/life")["versions"][1]["reason"], "INC-4711")
        run("key", "state", "hadoop/life", "deactivate", "--version", "2")
        said = run("key", "destroy", "hadoop/life", "--version", "2")
        self.assertRegex(said, r"^hadoop/life@2 waits and can be destroyed from 20\S+ on; to keep it:")
        self.fails(5, "it is due at 20", "key", "destroy", "hadoop/life", "--version", "2")
        run("key", "recover", "hadoop/life", "--version", "2")
        said = run("key", "delete", "hadoop/life", "--reason", "project ended")
        self.assertIn("holdfast key recover hadoop/life", said)
        self.assertNotIn("life", run("key", "list", "hadoop").splitlines())
        self.assertRegex(run("key", "list", "hadoop", "--deleted"), r"(?m)^life +destroyed from 20\d\d-")
        self.fails(4, "is deleted", "key", "show", "hadoop/life")
        self.assertRegex(run("key", "show", "hadoop/life", "--deleted"), r"(?m)^destroy_at: +20\d\d-")
        self.fails(4, "is deleted; it can be recovered", "key", "rotate", "hadoop/life")
        self.fails(5, "still holds its name; recover it, or wait", "key", "create", "hadoop/life")
        self.fails(5, r"it is due at 20\S+ and can be recovered until then", "key", "destroy", "hadoop/life")
        self.assertEqual(run("key", "recover", "hadoop/life"), "hadoop/life is in use again.\n")

    def test_where_nothing_waits_destruction_is_at_once(self):
        self.node.run("keyring", "create", "brief", "--destroy-wait", "0s")
        self.node.run("key", "create", "brief/gone")
        self.fails(5, "is in use; delete it first", "key", "destroy", "brief/gone")
        self.node.run("key", "delete", "brief/gone")
        self.assertEqual(self.node.run("key", "destroy", "brief/gone", "--reason", "over"), "brief/gone is destroyed.\n")
        self.assertEqual(self.node.run("key", "list", "brief", "--deleted"), "")
        self.node.run("key", "create", "brief/old")
        self.node.run("key", "rotate", "brief/old")
        self.node.run("key", "state", "brief/old", "compromise", "--version", "1")
        self.assertEqual(self.node.run("key", "destroy", "brief/old", "--version", "1"), "brief/old@1 is destroyed.\n")
        self.assertRegex(self.node.run("key", "show", "brief/old"), r"(?m)^1 +destroyed-compromised ")

    def test_material_is_imported_from_standard_input_and_files(self):
        run = self.node.run
        run("keyring", "create", "import")
        run("key", "create", "import/in", "--algorithm", "aes-128", "--material-file", "-", stdin=b"0123456789abcdef")
        self.assertTrue(self.node.run_json("key", "show", "import/in")["versions"][0]["imported"])
        path = self.node.base / "material"
        path.write_bytes(b"fedcba9876543210")
        run("key", "rotate", "import/in", "--material-file", path)
        self.fails(2, "Wrong key length. Required 128, but got 32", "key", "rotate", "import/in", "--material-file", "-",
                   stdin=b"0123")
        self.fails(2, "there is no material in -", "key", "create", "import/x", "--material-file", "-", stdin=b"")
        self.fails(2, "there is no material in /tmp", "key", "create", "import/x", "--material-file", "/tmp")
        self.fails(2, "cannot read /nonexistent: No such file", "key", "create", "import/x", "--material-file",
                   "/nonexistent")
        self.fails(2, "has more than 65536 bytes", "key", "create", "import/x", "--algorithm", "opaque",
                   "--material-file", "-", stdin=bytes(65537))
        self.assertEqual(run("key", "list", "import").split(), ["in"])

    def test_what_was_made_is_what_was_asked_for(self):
        self.node.run("key", "create", "hadoop/plan", "--algorithm", "hmac", "--bytes", "64", "--pre-active", "--description",
                      "for mail", "--attribute", "team=mail", "--attribute", "eq=a=b", "--first-version", "0")
        key = self.node.run_json("key", "show", "hadoop/plan")
        self.assertEqual((key["algorithm"], key["description"], key["attributes"], key["primary"], key["exportable"]),
                         ("hmac", "for mail", {"team": "mail", "eq": "a=b"}, None, False))
        self.assertEqual([(v["version"], v["state"]) for v in key["versions"]], [(0, "pre-active")])
        self.fails(2, '--attribute needs NAME=VALUE, got "team"', "key", "create", "hadoop/x", "--attribute", "team")

    def test_names_cannot_send_commands_to_the_terminal(self):
        self.node.run("key", "create", "hadoop/a\x1b[31mb\nc")
        said = self.node.run("key", "list", "hadoop")
        self.assertIn(r"a\x1b[31mb\x0ac", said.splitlines())
        self.assertNotIn("\x1b", said + self.node.run("key", "show", "hadoop/a\x1b[31mb\nc"))

    def test_names_are_completed_as_data_and_never_run(self):
        trap = self.node.base / "trap"
        self.node.run("keyring", "create", "done")
        for key in ("sales", f"$(touch {trap})", f"`touch {trap}`", "a b"):
            self.node.run("key", "create", f"done/{key}")
        place = ("--dir", self.node.dir)
        self.assertEqual(complete(*place, "key", "show", "do"), ["done/"])
        self.assertIn("done/sales", complete(*place, "key", "show", "done/"))
        self.assertIn(r"done/a\ b", complete(*place, "key", "rotate", "done/"))
        self.assertFalse(trap.exists())
        self.assertEqual(complete(*place, "policy", "grant", "--keyring", "do"), ["done"])

    def test_usage_is_told_by_caller(self):
        self.node.run("key", "create", "hadoop/used")
        for _ in range(3):
            self.node.admin("POST", "/api/v1/keyrings/hadoop/keys/used/data-key", {})
        said = self.node.run("key", "usage", "hadoop/used", "1")
        self.assertRegex(said, r"(?m)^wraps: 3$")
        self.assertRegex(said, rf"(?m)^{ME} +3 +20")

    # --- keyrings ---

    def last_rewrap(self):
        """When that job last ended, if it rests."""
        jobs = json.loads(self.node.run("--json", "job", "list"))["jobs"]
        job = next(job for job in jobs if job["name"] == "rewrap")
        return job.get("ended") if job["state"] == "rests" else None

    def test_keyrings(self):
        run = self.node.run
        said = run("keyring", "create", "pay", "--approve-destroy", "yes", "--destroy-wait", "7d")
        self.assertRegex(said, r"(?m)^approve_destroy: yes$")
        self.assertRegex(said, r"(?m)^destroy_wait_ms: 604800000$")
        self.assertRegex(run("keyring", "change", "pay", "--approve-export", "yes"), r"(?m)^approve_export: yes$")
        self.assertRegex(run("keyring", "show", "pay"), r"(?m)^destroy_wait_ms: 604800000$")
        self.assertRegex(run("keyring", "list"), r"(?m)^pay +0 +main +1 +yes +yes +-$")
        run("key", "create", "pay/k")
        before = self.last_rewrap()
        said = run("keyring", "rotate", "pay")
        self.assertIn("keyring_key_version: 2", said)
        self.assertIn("'holdfast job list' shows how far", said)
        wait_for(lambda: self.last_rewrap() not in (None, before), "end of the job")
        self.assertEqual(run("key", "rewrap", "pay/k"), "moved: 0\n")
        self.assertRegex(run("keyring", "change", "pay", "--rotate-every", "90d"), r"(?m)^rotate_every_ms: 7776000000$")
        run("keyring", "change", "pay", "--rotate-every", "59m", code=2)
        self.assertRegex(run("keyring", "show", "pay"), r"(?m)^serve_on: -$")
        run("keyring", "change", "pay", "--serve-on", "stranger", code=2)
        self.assertIn("stranger is no member", self.node.error)
        run("keyring", "change", "pay", "--serve-on", "a,,b", code=2)
        self.assertIn("'' is no name of a node", self.node.error)
        run("keyring", "change", "pay", "--serve-on", "")
        self.assertRegex(run("keyring", "show", "pay"), r"(?m)^rotate_every_ms: 7776000000$")
        self.assertRegex(run("keyring", "show", "pay"), r"(?m)^min_ways: 0$")
        self.assertRegex(run("keyring", "change", "pay", "--min-ways", "2"), r"(?m)^min_ways: 2$")
        run("keyring", "change", "pay", "--min-ways", "1001", code=2)
        self.assertIn("1000 ways at most", self.node.error)
        run("keyring", "change", "pay", "--rotate-every", "30d")
        self.assertRegex(run("keyring", "show", "pay"), r"(?m)^min_ways: 2$")
        self.assertEqual({job["name"] for job in json.loads(run("--json", "job", "list"))["jobs"]},
                         {"drill", "purge", "rewrap", "root", "rotate", "settle"})

    def test_staleness_of_nothing_is_allowed_and_warned_of(self):
        self.node.run("keyring", "create", "strict", "--max-stale", "0s", "--max-stale-wrap", "0s")
        self.assertIn("stops during every failover", self.node.error)

    # --- policy ---

    def test_policy_is_explained(self):
        self.node.run("policy", "grant", "--who", "pseudo:etl", "--role", "key-user", "--keyring", "hadoop", "--key", "e-*")
        self.node.run("policy", "grant", "--who", "pseudo:etl", "--action", "key.unwrap", "--key", "e-secret", "--deny")

        def explain(*words):
            return self.node.run("policy", "explain", "pseudo:etl", "key.unwrap", "--keyring", "hadoop", *words)

        self.assertRegex(explain("--key", "e-1"), r"(?s)rule \d+ of policy 'grants' allows it.*so 'key.unwrap' is allowed\n$")
        self.assertRegex(explain("--key", "e-secret"), "(?s)denies it.*a rule that denies wins")
        self.assertRegex(explain("--key", "other"), "no rule speaks of it, so 'key.unwrap' is refused")
        self.fails(2, '"etl" must say how the caller proves who he is: unix:etl', "policy", "explain", "etl", "key.unwrap")
        self.fails(2, "'key.fly' is no action", "policy", "explain", "pseudo:etl", "key.fly")

    def test_a_bad_document_is_refused_with_its_rule(self):
        good = {"effect": "allow", "who": ["cert:x"], "roles": ["key-user"]}
        for rules, message in (([good, {**good, "effect": "maybe"}], 'rule 2, "effect"'),
                               ([{**good, "who": ["x"]}], "rule 1, \"who\": 'x' must begin with cert:, unix:"),
                               ([{**good, "roles": ["king"]}], "'king' is no role; there are key-admin")):
            self.fails(2, message, "policy", "put", "bad", "-", stdin=json.dumps({"rules": rules}).encode())
        self.fails(2, "not valid at line 1", "policy", "put", "bad", "-", stdin=b"{")
        self.fails(2, "cannot read /nonexistent", "policy", "put", "bad", "/nonexistent")
        self.fails(2, "cannot read /tmp: is it a file", "policy", "put", "bad", "/tmp")
        self.fails(2, 'rule \\d+, "who": it is missing', "policy", "grant", "--role", "key-user")
        self.fails(4, "there is no policy 'bad'", "policy", "show", "bad")
        path = self.node.base / "good.json"
        path.write_text(json.dumps({"rules": [good]}))
        self.assertEqual(self.node.run("policy", "put", "good", path), "Policy good is in force.\n")
        self.assertEqual(json.loads(self.node.run("policy", "show", "good")), {"rules": [good]})
        self.assertIn("good", self.node.run("policy", "list").split())
        self.node.run("policy", "remove", "good")
        self.fails(4, "there is no policy 'good'", "policy", "remove", "good")

    # --- mistakes, and programs ---

    def test_each_mistake_has_its_exit_code_and_words(self):
        self.node.run("key", "create", "hadoop/there")
        for code, message, *words in (
                (2, "there is no command \"key fly\"", "key", "fly"),
                (2, "(?s)there is no command \"key\".*holdfast key create KEYRING/KEY", "key"),
                (2, "unknown option --force; see holdfast key rotate --help", "key", "rotate", "hadoop/there", "--force"),
                (2, "usage: holdfast key show KEYRING/KEY", "key", "show"),
                (2, "usage: holdfast key show KEYRING/KEY", "key", "show", "a/b", "c/d"),
                (2, '"there" must be KEYRING/KEY', "key", "show", "there"),
                (2, '"hadoop/" must be KEYRING/KEY', "key", "create", "hadoop/"),
                (2, "the keyring's name is empty", "key", "show", "/there"),
                (2, "use one of aes-128", "key", "create", "hadoop/x", "--algorithm", "des"),
                (2, "say which version with --version N; holdfast key show hadoop/there", "key", "state", "hadoop/there",
                 "suspend"),
                (2, "say which version", "key", "primary", "hadoop/there"),
                (2, '--version needs a number, got "one"', "key", "primary", "hadoop/there", "--version", "one"),
                (2, "use activate, suspend, resume", "key", "state", "hadoop/there", "fly", "--version", "1"),
                (2, '--approve-export needs yes or no, got "true"', "keyring", "change", "hadoop", "--approve-export", "true"),
                (2, "needs a time such as 30d", "keyring", "change", "hadoop", "--destroy-wait", "30"),
                (2, "dark window may not be shorter", "keyring", "change", "hadoop", "--dark-window", "1s"),
                (2, "a keyring's name has 1 to 63", "keyring", "create", "Pay Roll"),
                (2, "an approval's id has 32 hex digits", "approval", "give", "7"),
                (3, "made not to be exported|Not allowed", "key", "export", "hadoop/there"),
                (4, "there is no keyring nope", "key", "list", "nope"),
                (4, "there is no key hadoop/nope", "key", "rotate", "hadoop/nope"),
                (4, "has no version 9", "key", "primary", "hadoop/there", "--version", "9"),
                (5, "there is a key hadoop/there already", "key", "create", "hadoop/there"),
                (5, "there is a keyring hadoop already", "keyring", "create", "hadoop"),
                (5, "cannot take the step \"resume\"", "key", "state", "hadoop/there", "resume", "--version", "1")):
            with self.subTest(" ".join(words)):
                self.fails(code, message, *words)

    def test_without_words_and_with_help(self):
        self.assertEqual(program().returncode, 2)
        for words in (["--help"], ["key", "--help"], ["key", "create", "--help"], ["--version"]):
            done = program(*words)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertTrue(done.stdout)

    def test_json_everywhere_is_json(self):
        run = self.node.run
        run("keyring", "create", "json", "--destroy-wait", "0s")
        run("key", "create", "json/deleted")
        path = self.node.base / "json.json"
        path.write_text('{"rules":[{"effect":"allow","who":["cert:j"],"roles":["auditor"]}]}')
        passphrase = (self.node.dir / "offline/passphrase").read_bytes()
        for words, stdin in ((w.split(), None) for w in (
                "status", "slot list", "keyring list", "keyring show json", "keyring change json --approve-export yes",
                "keyring rotate json", "key create json/k", "key list json", "key show json/k", "key rotate json/k",
                "key primary json/k --version 1", "key rewrap json/k", "key state json/k deactivate --version 2",
                "key destroy json/k --version 2", "key delete json/deleted", "key recover json/deleted", "key usage json/k 1",
                "why json/k", f"policy put json {path}", "policy list", "policy show json", "policy remove json",
                "policy grant --who cert:j --role auditor", "policy explain cert:j key.read", "approval list",
                "audit verify", "lock")):
            with self.subTest(" ".join(words)):
                self.assertIsInstance(json.loads(run(*words, "--json", stdin=stdin)), dict)
        self.assertEqual(json.loads(run("--json", "unlock", stdin=passphrase)), {"slot": "offline"})


class TwoPeople(Case):
    @classmethod
    def setUpClass(cls):
        cls.port = free_port()
        cls.node = Node("--listen-admin", f"127.0.0.1:{cls.port}", grants=False)
        cls.addClassCleanup(cls.node.close)
        # A place that other users can reach, as /run/holdfast is.
        cls.sockets = pathlib.Path(tempfile.mkdtemp(prefix="holdfast-test-"))
        cls.addClassCleanup(shutil.rmtree, cls.sockets)
        cls.sockets.chmod(0o755)
        if os.getuid() == 0:
            cls.group, cls.user = "nogroup", pwd.getpwnam("nobody")
            with open(cls.node.dir / "holdfast.conf", "a") as conf:
                conf.write(f'listener "group" {{\n address = "unix:{cls.sockets}/admin.sock"\n group = "{cls.group}"\n'
                           ' doors = { "admin" }\n}\n')
        cls.node.add_second(cls.port)
        cls.node.start()
        cls.node.second_joins()

    def second(self, *words, **more):
        return self.node.second(*words, **more)

    def waits(self, code, *words):
        return re.search(f"approval ({ID}) waits until 20", self.fails(code, "this needs a second person", *words)).group(1)

    def test_two_people_destroy_a_key(self):
        self.node.run("keyring", "create", "vital", "--approve-destroy", "yes", "--destroy-wait", "0s")
        self.node.run("key", "create", "vital/k")
        self.fails(5, "is in use; delete it first", "key", "destroy", "vital/k")
        self.node.run("key", "delete", "vital/k")
        number = self.waits(5, "key", "destroy", "vital/k")
        self.assertEqual(self.waits(5, "key", "destroy", "vital/k"), number, "asking again is the same request")
        self.assertRegex(self.node.run("approval", "list"), rf"(?m)^{number} +key.destroy +vital +k +{ME} +- +20")
        self.fails(3, "a second person approves it", "approval", "give", number)
        remote = ("--server", f"https://127.0.0.1:{self.port}")
        self.fails(3, "the same person as cert:admin; a second person approves it", *remote, "approval", "give", number)
        self.assertRegex(self.second("approval", "give", number), "the one who asked may now repeat the command")
        self.assertRegex(self.node.run("approval", "list"), rf"(?m)^{number} .* cert:second +20")
        self.assertEqual(self.node.run("key", "destroy", "vital/k"), "vital/k is destroyed.\n")
        self.assertNotIn(number, self.node.run("approval", "list"))
        self.second("approval", "give", number, code=5)
        self.assertRegex(self.node.error, "used up")

    def test_force_always_takes_two(self):
        self.node.run("key", "create", "hadoop/forced")
        self.node.run("key", "delete", "hadoop/forced")
        number = self.waits(5, "key", "destroy", "hadoop/forced", "--force")
        self.second("approval", "give", number)
        self.fails(5, "is due at", "key", "destroy", "hadoop/forced")
        self.node.run("key", "destroy", "hadoop/forced", "--force")

    def test_export_takes_a_right_an_exportable_key_and_where_asked_two_people(self):
        self.node.run("keyring", "create", "out", "--approve-export", "yes")
        self.node.run("key", "create", "out/k", "--algorithm", "aes-128", "--exportable", "--material-file", "-",
                      stdin=b"0123456789abcdef")
        self.node.run("key", "create", "out/kept")
        self.fails(3, "(?s)Not allowed.*holdfast policy explain CALLER ACTION", "key", "export", "out/k")
        self.second("policy", "grant", "--who", ME, "--action", "key.export", "--keyring", "out")
        self.fails(3, "not made exportable|not to be exported", "key", "export", "out/kept")
        number = self.waits(5, "key", "export", "out/k")
        self.second("approval", "give", number)
        material = re.search("material: (.*)", self.node.run("key", "export", "out/k")).group(1)
        self.assertEqual(base64.b64decode(material), b"0123456789abcdef")
        self.assertNotEqual(self.waits(5, "key", "export", "out/k"), number, "an approval is good for one use")

    def test_a_key_administrator_cannot_give_himself_the_use_of_keys(self):
        before = self.node.run("policy", "list")
        for options in (["--role", "key-user"], ["--action", "key.unwrap"], ["--action", "key.read", "--action", "key.sign"],
                        ["--action", "key.export", "--keyring", "hadoop", "--key", "one"]):
            for who in (ME, "unix:*", "cert:admin"):
                with self.subTest(f"{who} {options}"):
                    self.waits(3, "policy", "grant", "--who", who, *options)
        self.fails(2, "a pattern of actions can only be denied", "policy", "grant", "--who", ME, "--action", "key.*")
        self.assertEqual(self.node.run("policy", "list"), before)
        self.assertIn("refused", self.node.run("policy", "explain", ME, "key.unwrap", "--keyring", "hadoop", "--key", "k"))
        number = self.waits(3, "policy", "grant", "--who", ME, "--action", "key.mac", "--keyring", "macs")
        self.second("approval", "give", number)
        self.node.run("policy", "grant", "--who", ME, "--action", "key.mac", "--keyring", "macs")
        self.assertIn("is allowed", self.node.run("policy", "explain", ME, "key.mac", "--keyring", "macs", "--key", "k"))

    def test_what_asks_for_two_is_not_switched_off_by_one(self):
        self.node.run("keyring", "create", "guard", "--approve-destroy", "yes")
        self.waits(5, "keyring", "change", "guard", "--approve-destroy", "no")
        self.waits(5, "keyring", "change", "guard", "--destroy-wait", "0s")
        self.node.run("keyring", "change", "guard", "--destroy-wait", "60d")

    def as_nobody(self, method, path, body):
        """One call in a child process that is another user."""
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.setgroups([])
                os.setgid(self.user.pw_gid)
                os.setuid(self.user.pw_uid)
                wire = UnixConnection(self.sockets / "admin.sock")
                wire.request(method, path, json.dumps(body), {"Content-Type": "application/json"})
                answer = wire.getresponse()
                os.write(write, json.dumps([answer.status, answer.read().decode()]).encode())
            finally:
                os._exit(0)
        os.close(write)
        with os.fdopen(read) as stream:
            told = stream.read()
        os.waitpid(child, 0)
        status, text = json.loads(told)
        return status, json.loads(text)

    @unittest.skipUnless(os.getuid() == 0, "only root can be somebody else")
    def test_a_second_unix_user_approves_over_the_groups_socket(self):
        mode = (self.sockets / "admin.sock").stat()
        self.assertEqual((mode.st_mode & 0o777, mode.st_gid), (0o660, self.user.pw_gid))
        self.assertEqual((self.node.dir / "admin.sock").stat().st_mode & 0o777, 0o600)
        self.node.run("keyring", "create", "group", "--approve-destroy", "yes", "--destroy-wait", "0s")
        self.node.run("key", "create", "group/k")
        self.node.run("key", "delete", "group/k")
        number = self.waits(5, "key", "destroy", "group/k")
        approve = ("POST", f"/api/v1/approvals/{number}/approve", {})
        self.assertEqual(self.as_nobody(*approve)[0], 403, "without a right he approves nothing")
        self.node.run("policy", "grant", "--who", "unix:nobody", "--action", "approve")
        self.assertEqual(self.as_nobody(*approve), (200, {}))
        self.node.run("key", "destroy", "group/k")
        self.assertEqual(self.as_nobody("POST", "/api/v1/unlock", {"passphrase": "x"})[0], 403, "nor is he the owner")


class Locked(Case):
    @classmethod
    def setUpClass(cls):
        cls.node = Node()
        cls.addClassCleanup(cls.node.close)
        cls.key_file = cls.node.base / "node.key"
        cls.passphrase = (cls.node.dir / "offline/passphrase").read_bytes()
        cls.node.start()
        cls.node.run("key", "create", "hadoop/k", "--first-version", "0")
        alice = Kms(cls.node)
        cls.edek = alice.generate("k")[0]
        cls.dek = alice.decrypt(cls.edek)
        cls.cookie = alice.cookie
        alice.close()
        # From now on the key file is away, as on a machine whose token was pulled.
        cls.node.stop()
        shutil.move(cls.node.dir / "secrets/node.key", cls.key_file)
        cls.node.start(ready=False)

    def setUp(self):
        # Of the seal only: a drill while the key file is away makes the proofs red, and the node with them.
        items = {item["item"]: item["light"] for item in self.node.run_json("status")["items"]}
        if items["seal"] != "red":
            self.node.run("lock")

    def hadoop(self):
        alice = Kms(self.node)
        self.addCleanup(alice.close)
        alice.cookie = self.cookie
        return alice

    def test_it_started_without_its_key_file_and_said_so(self):
        self.assertRegex(self.node.log_text(), "slot node-1 does not open: .*node.key")
        self.assertRegex(self.node.log_text(), "the node is locked; open it with: holdfast --dir .* unlock")

    def test_health_says_live_and_not_ready(self):
        self.assertEqual(self.node.admin("GET", "/health/live"), (200, "live\n"))
        self.assertEqual(self.node.admin("GET", "/health/ready"), (503, "not ready\n"))
        status, metrics = self.node.admin("GET", "/health/metrics")
        self.assertEqual(status, 200)
        self.assertRegex(metrics, r"(?m)^holdfast_unlocked 0$")

    def test_administration_says_that_it_is_locked_and_what_opens_it(self):
        self.assertRegex(self.node.run("status"), "(?m)^red +seal +locked: nothing is served; 'holdfast unlock' opens it")
        self.assertRegex(self.node.run("slot", "list"), "(?m)^offline +passphrase")
        for words in (["key", "list", "hadoop"], ["keyring", "list"], ["policy", "list"], ["lock"], ["why", "hadoop/k"],
                      ["key", "create", "hadoop/x"], ["approval", "list"]):
            with self.subTest(words):
                self.fails(5, "the node is locked; 'holdfast unlock' opens it", *words)

    def test_hadoop_clients_get_one_failure_after_which_they_go_to_another_server(self):
        alice = self.hadoop()
        cookies = (None, self.cookie, self.cookie[:-4] + "AAA\"", "nonsense")
        for method, path in (("OPTIONS", "keys/names"), ("GET", "keys/names"), ("GET", "key/k/_eek?eek_op=generate"),
                             ("POST", "keys"), ("GET", "no/such/path"), ("GET", "keys/names?delegation=x")):
            for name in ("", "user.name=alice"):
                for cookie in cookies:
                    with self.subTest(f"{method} {path} {name} {cookie}"):
                        answer, body = alice.raw(method, f"/kms/v1/{path}{'&' if '?' in path else '?'}{name}",
                                                 headers={"Cookie": f"hadoop.auth={cookie}"} if cookie else {})
                        self.assertEqual(answer.status, 500)
                        self.assertIsNone(answer.getheader("Set-Cookie"))
                        said = json.loads(body)["RemoteException"]
                        self.assertEqual(said["javaClassName"], "java.io.IOException")
                        self.assertEqual(said["message"], "the node is locked; 'holdfast unlock' opens it")
        for call in (lambda: alice.decrypt(self.edek), lambda: alice.generate("k"), alice.names):
            with self.assertRaises(RemoteException) as caught:
                call()
            self.assertEqual((caught.exception.status, caught.exception.java_class), (500, "java.io.IOException"))

    def test_the_passphrase_from_standard_input_opens_it(self):
        self.fails(3, "the passphrase is not the one of this slot", "unlock", stdin=b"wrong\n")
        self.fails(2, "no passphrase came on standard input", "unlock", stdin=b"")
        self.assertEqual(self.node.run("unlock", stdin=self.passphrase), "Slot offline has opened the root key.\n")
        self.assertEqual(self.hadoop().decrypt(self.edek), self.dek)
        self.fails(5, "unlocked already", "unlock", stdin=self.passphrase)
        self.assertRegex(self.node.run("lock"), "The node is locked; open it again with holdfast unlock")
        self.assertEqual(self.node.admin("GET", "/health/ready")[0], 503)

    def test_a_passphrase_file_and_a_key_file_open_it(self):
        self.node.run("unlock", "--passphrase-file", self.node.dir / "offline/passphrase")
        self.node.run("lock")
        self.fails(2, "there is no file /nonexistent", "unlock", "--key-file", "/nonexistent")
        self.key_file.chmod(0o640)
        self.fails(2, r"open to others \(mode 0640\); chmod it to 0600", "unlock", "--key-file", self.key_file)
        self.key_file.chmod(0o600)
        other = self.node.base / "other.key"
        other.write_text("holdfast-keyfile 1\n" + "00" * 32 + "\n")
        other.chmod(0o600)
        self.fails(3, "key file is not the one|not the one of this slot", "unlock", "--key-file", other)
        self.assertEqual(self.node.run("unlock", "--key-file", self.key_file), "Slot node-1 has opened the root key.\n")
        self.assertEqual(self.hadoop().decrypt(self.edek), self.dek)


class Reload(Case):
    @classmethod
    def setUpClass(cls):
        cls.node = Node(grants=False)
        cls.addClassCleanup(cls.node.close)
        cls.node.start()

    def test_settings_change_without_a_restart_or_not_at_all(self):
        node, path = self.node, self.node.dir / "holdfast.conf"
        before = path.read_text()

        def edit(*changes, more=""):
            text = before
            for old, new in changes:
                self.assertIn(old, text)
                text = text.replace(old, new)
            path.write_text(text + more)

        def ask(connection):
            connection.request("GET", "/kms/v1/keys/names?user.name=alice")
            answer = connection.getresponse()
            answer.read()
            return answer.status

        living = node.connection()
        self.addCleanup(living.close)
        self.assertEqual(ask(living), 403, "alice is believed, and has no rights")
        strict = ("pseudo = yes", "idle_timeout = 1")
        edit(strict, more="threads { max_connections = 0 }\n")
        self.hang_up("all stays as it was: ")
        self.assertRegex(node.log_text(), r"holdfast.conf:\d+: max_connections = 0: it must be from")
        edit(strict, ('client_ca = "ca.crt"', 'client_ca = "nothing.crt"'))
        self.hang_up('all stays as it was: listener "hadoop": ')
        self.assertEqual(ask(living), 403)

        edit(strict, ('"node-1"\n', '"renamed"\n'), more="threads { max_connections = 3 }\n")
        self.hang_up("threads: max_connections is in force as it is now")
        wait_for(lambda: "node cannot change while the node runs: restart it" in node.log_text(), "word on the name")
        for name in ("pseudo", "idle_timeout"):
            self.assertIn(f'listener "hadoop": {name} is in force as it is now', node.log_text())
        self.assertEqual(ask(living), 401, "nobody is believed any more, on a living connection either")
        living.sock.settimeout(20)
        self.assertEqual(living.sock.recv(1), b"", "an idle connection is closed after a second, not 75")

        # The three that are allowed say nothing; a fourth is not taken while they live.
        held = [UnixConnection(node.dir / "admin.sock") for _ in range(3)]
        for one in held:
            one.request("GET", "/health/live")
            self.assertEqual(one.getresponse().read() and 200, 200)
        with self.assertRaises(OSError):
            node.connection(timeout=1).request("GET", "/health/live")
        for one in held:
            one.close()

        # A listener of which something cannot change keeps everything.
        edit((f"127.0.0.1:{node.port}", "127.0.0.2:1"), more="threads { max_connections = 4 }\n")
        self.hang_up('listener "hadoop": pseudo changes at a restart, with the rest of its listener')
        self.assertIn('listener "hadoop": address cannot change while the node runs', node.log_text())
        other = node.connection()
        self.addCleanup(other.close)
        self.assertEqual(ask(other), 401)


class Signals(Case):
    @classmethod
    def setUpClass(cls):
        cls.node = Node(grants=False)
        cls.addClassCleanup(cls.node.close)
        cls.node.start()

    def served(self):
        return ssl.get_server_certificate(("127.0.0.1", self.node.port))

    def test_certificates_are_swapped_when_good_and_kept_when_not(self):
        certificate, key = self.node.dir / "secrets/server.crt", self.node.dir / "secrets/server.key"
        first, first_key = self.served(), key.read_bytes()
        living = http.client.HTTPSConnection("127.0.0.1", self.node.port, context=self.node.tls, timeout=30)
        living.request("GET", "/health/live")
        living.getresponse().read()

        for words, text in (('all stays as it was: listener "hadoop": .*server.crt', "not a certificate\n"),
                            ('all stays as it was: listener "hadoop": .*server.crt', "")):
            certificate.write_text(text)
            self.hang_up("all stays as it was")
            self.assertRegex(self.node.log_text(), words)
            self.assertEqual(self.served(), first)

        def make(days):
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                            "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-days", days,
                            "-keyout", key, "-out", certificate], check=True, capture_output=True)

        make("30")
        good_key = key.read_bytes()
        key.write_bytes(first_key)
        self.hang_up("does not belong to the certificate")
        self.assertEqual(self.served(), first)

        key.write_bytes(good_key)
        self.hang_up("as it is now")
        second = self.served()
        self.assertNotEqual(second, first)
        self.assertEqual(second.strip(), certificate.read_text().strip())
        self.assertRegex(self.node.run("status"), r"(?m)^amber +certificate:hadoop +.* is good for (29|30) days|"
                                                  r"^green +certificate:hadoop +.* is good for 30 days")
        living.request("GET", "/health/live")
        self.assertEqual(living.getresponse().status, 200, "a connection lives through it")
        living.close()

    def test_sigterm_ends_it_well_and_what_was_answered_stays(self):
        self.node.run("key", "create", "hadoop/stays")
        self.assertEqual(self.node.stop(), 0)
        self.assertIn("ending on signal 15", self.node.log_text())
        self.node.start()
        self.assertIn("stays", self.node.run("key", "list", "hadoop").split())

    def test_what_waited_to_be_destroyed_is_destroyed_when_its_time_has_come(self):
        run = self.node.run
        run("keyring", "create", "soon", "--destroy-wait", "1s")
        run("keyring", "create", "later", "--destroy-wait", "1h")
        run("keyring", "create", "two", "--destroy-wait", "1s", "--approve-destroy", "yes")
        for ring in ("soon", "later", "two"):
            run("key", "create", f"{ring}/k")
            run("key", "delete", f"{ring}/k")
        run("key", "create", "soon/versions")
        run("key", "rotate", "soon/versions")
        run("key", "state", "soon/versions", "deactivate", "--version", "1")
        run("key", "destroy", "soon/versions", "--version", "1")
        due = self.node.run_json("key", "show", "soon/versions")["versions"][0]["destroy_at"]
        self.node.stop()
        wait_for(lambda: datetime.datetime.now(datetime.timezone.utc) > datetime.datetime.fromisoformat(due), "due time")
        self.node.start()
        wait_for(lambda: run("key", "list", "soon", "--deleted") == "", "destruction of what is due")
        wait_for(lambda: self.node.run_json("key", "show", "soon/versions")["versions"][0]["state"] == "destroyed",
                 "destruction of a version")
        self.assertRegex(run("key", "list", "later", "--deleted"), r"^k +destroyed from 20\d\d-.* on\n$")
        self.assertRegex(run("key", "list", "two", "--deleted"), "^k ", "two people were asked for")
        wait_for(lambda: '"operation":"key.destroy","outcome":"ok","caller":"system"'
                 in (self.node.dir / "audit/audit.log").read_text(), "line in the trail")

    def test_an_owner_who_is_nobody_is_refused(self):
        self.node.stop()
        conf = self.node.dir / "holdfast.conf"
        good = conf.read_text()
        conf.write_text('owner = "no-such-user"\n' + good)
        done = daemon("--dir", self.node.dir)
        conf.write_text(good)
        self.assertEqual(done.returncode, 1)
        self.assertIn('owner = "no-such-user": there is no such user', done.stderr)
        self.node.start()


class Audit(Case):
    @classmethod
    def setUpClass(cls):
        cls.node = Node()
        cls.addClassCleanup(cls.node.close)
        cls.node.start()
        for number in range(20):
            cls.node.run("key", "create", f"hadoop/k{number}")
        cls.node.stop()
        cls.trail = cls.node.dir / "audit"
        cls.whole = (cls.trail / "audit.log").read_bytes()

    def setUp(self):
        self.copy = self.node.base / "copy"
        shutil.rmtree(self.copy, ignore_errors=True)
        shutil.copytree(self.trail, self.copy)

    def put(self, content):
        (self.copy / "audit.log").write_bytes(content)

    def verify(self, *words, code=0):
        return self.node.run("audit", "verify", "--trail", self.copy, *words, code=code)

    def test_a_whole_trail_is_said_to_be_whole_and_what_is_not_excluded_too(self):
        said = self.verify()
        lines = len(self.whole.splitlines())
        self.assertIn(f"The chain is whole: {lines} lines", said)
        self.assertRegex(said, "Not excluded, because no anchor was given")
        told = json.loads(self.verify("--json"))
        self.assertEqual((told["intact"], told["lines"], told["anchored"]), (True, lines, False))

    def test_one_changed_byte_is_found_wherever_it_is(self):
        lines = self.whole.split(b"\n")
        for number in range(0, len(lines) - 1, max(1, len(lines) // 12)):
            start = sum(len(line) + 1 for line in lines[:number])
            at = start + len(lines[number]) // 2
            self.put(self.whole[:at] + bytes([self.whole[at] ^ 1]) + self.whole[at + 1:])
            with self.subTest(f"line {number + 1}"):
                self.assertEqual(self.verify(code=7), "")
                self.assertRegex(self.node.error, "audit.log")
                told = json.loads(self.verify("--json", code=7))
                self.assertFalse(told["intact"])
                self.assertEqual(told["problem_file"].rsplit("/", 1)[-1], "audit.log")
                self.assertLessEqual(abs(told["problem_line"] - (number + 1)), 1)

    def test_a_line_that_is_missing_moved_or_doubled_is_found(self):
        lines = self.whole.splitlines(keepends=True)
        for what, changed in (("missing", lines[:9] + lines[10:]), ("moved", lines[:9] + [lines[10], lines[9]] + lines[11:]),
                              ("doubled", lines[:10] + [lines[9]] + lines[10:]), ("first", lines[1:])):
            with self.subTest(what):
                self.put(b"".join(changed))
                self.verify(code=7)

    def test_an_anchor_excludes_that_the_end_was_cut(self):
        lines = self.whole.splitlines(keepends=True)
        [*_, anchor] = [line for line in lines if b'"audit.checkpoint"' in line]
        path = self.node.base / "anchor"
        path.write_bytes(anchor)
        self.assertTrue(json.loads(self.verify("--anchor", path, "--json"))["anchored"])
        self.put(b"".join(lines[:12]))
        self.assertIn("Not excluded", self.verify(), "without an anchor a cut end is not seen, and said so")
        self.verify("--anchor", path, code=7)

    def test_another_key_did_not_sign_it(self):
        other = self.node.base / "other.pub"
        made = subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519"], capture_output=True, check=True).stdout
        subprocess.run(["openssl", "pkey", "-pubout", "-outform", "DER", "-out", other], input=made, check=True)
        self.verify("--public-key", other, code=7)
        self.fails(2, "cannot read /nonexistent", "audit", "verify", "--public-key", "/nonexistent")


class AuditFiles(Case):
    def test_files_that_are_in_an_archive_are_missed_unless_a_part_is_asked_for(self):
        self.node = Node()
        self.addCleanup(self.node.close)
        with open(self.node.dir / "holdfast.conf", "a", encoding="ascii") as configuration:
            configuration.write("audit {\n    max_file_mib = 1\n}\n")
        self.node.start()
        kms = Kms(self.node)
        kms.create("zone")
        first = self.node.dir / "audit/audit.log.1"
        for _ in range(20000):
            kms.generate("zone")
            if first.exists():
                break
        kms.close()
        self.node.stop()
        lines = len(first.read_bytes().splitlines())
        self.assertRegex(self.node.run("audit", "verify"), r"The chain is whole: .* in 2 files")
        first.rename(self.node.base / "archived")
        self.fails(7, r"file 2 of the trail; the files before it are missing \(--part checks what is here\)", "audit", "verify")
        self.assertIn(f"begins with file 2: lines 1 to {lines} are not here", self.node.run("audit", "verify", "--part"))
        told = json.loads(self.node.run("audit", "verify", "--part", "--json"))
        self.assertEqual((told["intact"], told["first_file"], told["first_line"]), (True, 2, lines + 1))
        current = self.node.dir / "audit/audit.log"
        current.write_bytes(current.read_bytes().replace(b'"outcome":"ok"', b'"outcome":"no"', 1))
        self.fails(7, "audit.log", "audit", "verify", "--part")


if __name__ == "__main__":
    unittest.main()
