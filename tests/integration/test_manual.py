#!/usr/bin/env python3
"""The manual, the help texts and the completion say the same as the programs."""
import re
import subprocess
import unittest

from programs import ROOT, complete, daemon, program


class Manual(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.commands = {}
        for line in re.findall(r"(?m)^  holdfast (.*)$", program("--help").stdout):
            words = line.split()
            name = tuple(words[:2] if len(words) > 1 and re.fullmatch("[a-z-]+", words[1]) else words[:1])
            cls.commands[name] = program(*name, "--help").stdout
        cls.manual = (ROOT / "man/holdfast.1.scd").read_text()

    def test_every_command_has_help_with_an_example(self):
        self.assertGreater(len(self.commands), 30)
        for name, said in self.commands.items():
            with self.subTest(" ".join(name)):
                self.assertRegex(said, rf"(?m)^  holdfast {' '.join(name)}( |$)")
                self.assertRegex(said, rf"(?m)^Example: holdfast (--dir \S+ )?{' '.join(name)}( |$)")

    def test_every_command_and_option_stands_in_the_manual(self):
        for name, said in self.commands.items():
            with self.subTest(" ".join(name)):
                entry = re.search(rf"(?m)^\*holdfast {' '.join(name)}\*.*$", self.manual)
                self.assertIsNotNone(entry)
                options = set(re.findall(r"(?m)^ +--([a-z-]+)", said))
                if name[0] == "keyring":
                    text = self.manual[self.manual.index("# KEYRINGS"):self.manual.index("# KEYS")]
                else:
                    text = entry.group(0)
                self.assertEqual({option for option in options if f"*--{option}*" not in text}, set())

    def test_the_manual_names_no_command_that_is_not_there(self):
        named = set(re.findall(r"(?m)^\*holdfast ([a-z-]+(?: [a-z-]+)?)\*", self.manual))
        self.assertEqual(named, {" ".join(name) for name in self.commands})

    def test_the_manual_lists_every_exit_code(self):
        source = (ROOT / "src/cli/main.c").read_text()
        codes = set(re.findall(r"return (\d);", source[source.index("static int exit_code"):source.index("print_command")]))
        status = self.manual[self.manual.index("# EXIT STATUS"):self.manual.index("# FILES")]
        self.assertEqual(set(re.findall(r"(?m)^\*(\d)\*$", status)), codes)

    def test_every_setting_stands_in_the_manual_with_its_type_and_default(self):
        manual = (ROOT / "man/holdfast.conf.5.scd").read_text()
        sections = {"top level": "# TOP LEVEL"}
        found, section = 0, None
        for line in daemon("--settings").stdout.splitlines():
            setting = re.fullmatch(r"  (\w+) (\(.*\))", line)
            if setting:
                text = manual[manual.index(sections.get(section, f"# SECTION {section}")) + 1:]
                text = text[:text.index("\n# ")]
                self.assertIn(f"\n*{setting.group(1)}* {setting.group(2)}\n", text, section)
                found += 1
            elif not line.startswith(" "):
                section = line.split(" { }")[0]
        self.assertGreater(found, 30)
        named = len(re.findall(r"(?m)^\*\w+\* \(", manual))
        self.assertEqual(named, found, "no setting that is not there")

    def test_every_option_of_the_daemon_stands_in_its_manual(self):
        manual = (ROOT / "man/holdfastd.8.scd").read_text()
        options = set(re.findall(r"--[a-z-]+", daemon("--help").stdout))
        self.assertGreater(len(options), 5)
        for option in options - {"--dir"}:
            self.assertIn(f"*{option}*", manual)

    def test_the_manual_can_be_made(self):
        for path in sorted((ROOT / "man").glob("*.scd")):
            done = subprocess.run(["scdoc"], input=path.read_bytes(), capture_output=True)
            self.assertEqual(done.returncode, 0, f"{path.name}: {done.stderr.decode()}")
            self.assertIn(b".TH", done.stdout)

    # --- completion ---

    def test_every_noun_verb_and_option_is_completed(self):
        nouns = complete("")
        self.assertLessEqual({name[0] for name in self.commands} | {"--dir", "--json"}, set(nouns))
        for noun in {name[0] for name in self.commands if len(name) == 2}:
            verbs = {name[1] for name in self.commands if name[0] == noun and len(name) == 2}
            self.assertEqual(set(complete(noun, "")), verbs | {"--help"}, noun)
        for name, said in self.commands.items():
            options = {"--" + option for option in re.findall(r"(?m)^ +--([a-z-]+)", said)}
            self.assertLessEqual(options | {"--json", "--help"}, set(complete(*name, "--")), name)
        self.assertEqual(complete("key", "sta"), ["state"])
        self.assertEqual(complete("--dir", "/tmp/x", "key", "create", "--exp"), ["--exportable"])
        self.assertEqual(complete("key", "state", "a/b", "sus"), ["suspend"])
        self.assertEqual(complete("policy", "grant", "--role", "key-u"), ["key-user"])


if __name__ == "__main__":
    unittest.main()
