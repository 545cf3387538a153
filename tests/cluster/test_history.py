#!/usr/bin/env python3
"""Histories written by hand, good and bad: each rule finds what breaks it, and nothing else."""
import pathlib
import random
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from history import EXISTS, FAIL, MISSING, OK, UNKNOWN, History, check, merge, recorded  # noqa: E402

KEY = "k"


def operation(kind, begin, end, version=None, outcome=OK, **more):
    """One line of a table below; client and node are a and n1 unless said otherwise."""
    fields = {"client": "a", "node": "n1", **more}
    if outcome != UNKNOWN:
        fields["end"] = end
    return kind, begin, dict(fields, version=version, outcome=outcome)


def create(begin, end, version=0, **more):
    return operation("create", begin, end, version, **more)


def roll(begin, end, version=None, **more):
    return operation("roll", begin, end, version, **more)


def lost(kind, begin, **more):
    """No answer."""
    return operation(kind, begin, None, outcome=UNKNOWN, **more)


def read(begin, end, version, **more):
    return operation("read", begin, end, version, **more)


def generate(begin, end, version=0, item="e", **more):
    return operation("generate", begin, end, version, item=item, **more)


def opened(begin, end, digest="d", item="e", **more):
    return operation("open", begin, end, item=item, digest=digest, **more)


def refused(kind, begin, end, why=None, **more):
    return operation(kind, begin, end, outcome=FAIL, why=why, **more)


def deleted(begin, end, **more):
    return operation("revoke", begin, end, **more)


def restored(begin, end, **more):
    return operation("restore", begin, end, **more)


def ask(begin, **more):
    """The question at the end, when all faults are over."""
    return opened(begin, begin + 1, last=True, **more)


ONE = {0: "x"}
TWO = {0: "x", 1: "y"}
THREE = {0: "x", 1: "y", 2: "z"}

# What it says, the versions in the end (on both nodes, or each of them), the operations, the rules that it breaks.
CASES = [
    ("nothing at all", None, [], set()),
    ("create and roll, one after the other", TWO, [create(0, 1), roll(2, 3, 1), read(4, 5, 1)], set()),

    # I1, I7
    ("an acknowledged create is lost", None, [create(0, 1)], {"I1"}),
    ("an acknowledged roll is lost", ONE, [create(0, 1), roll(2, 3, 1)], {"I1"}),
    ("an acknowledged roll is lost on one node", (TWO, ONE), [create(0, 1), roll(2, 3, 1)], {"I1"}),
    ("a roll without an answer may be there", TWO, [create(0, 1), lost("roll", 2)], set()),
    ("a roll without an answer may be absent", ONE, [create(0, 1), lost("roll", 2)], set()),
    ("a create without an answer may be absent", None, [lost("create", 0)], set()),
    ("what a reader saw is lost", ONE, [create(0, 1), lost("roll", 2), read(3, 4, 1)], {"I7"}),
    ("what a stale reader saw is lost", ONE, [create(0, 1), lost("roll", 2), read(3, 4, 1, stale=5.0)], {"I7"}),

    # I2
    ("a version has another material on the other node", (ONE, {0: "other"}), [create(0, 1)], {"I2"}),
    ("a wrapped data key opens to two", ONE,
     [create(0, 1), generate(2, 3), opened(4, 5), opened(4, 5, "other", node="n2"), ask(6)], {"I2"}),
    ("also on a stale node", ONE,
     [create(0, 1), generate(2, 3), opened(4, 5), opened(4, 5, "other", stale=9.0), ask(6)], {"I2"}),

    # I3 and order
    ("the same node shows an older version than before", TWO,
     [create(0, 1), lost("roll", 2), read(3, 4, 1), read(5, 6, 0)], {"I3", "order"}),
    ("another node shows an older version than was seen before", TWO,
     [create(0, 1), lost("roll", 2), read(3, 4, 1), read(5, 6, 0, node="n2")], {"order"}),
    ("two clients may see it in turn while it is not answered", TWO,
     [create(0, 1), roll(2, 9, 1), read(3, 4, 1), read(3.5, 4.5, 0, client="b")], set()),
    ("a stale node may be behind what was seen elsewhere", TWO,
     [create(0, 1), lost("roll", 2), read(3, 4, 1), read(5, 6, 0, node="n2", stale=3.0)], set()),
    ("a stale node is not behind itself", TWO,
     [create(0, 1), lost("roll", 2), read(3, 4, 1, node="n2", stale=2.0), read(5, 6, 0, node="n2", stale=4.0)], {"I3"}),
    ("a key that was seen is not known any more", ONE,
     [lost("create", 0), read(1, 2, 0), read(3, 4, None)], {"I3", "order"}),

    # I4
    ("opened after its deletion was acknowledged", ONE,
     [create(0, 1), generate(2, 3), deleted(4, 5), opened(6, 7), restored(8, 9), ask(10)], {"I4"}),
    ("generated after it", ONE, [create(0, 1), deleted(4, 5), generate(6, 7), restored(8, 9), ask(10)], {"I4"}),
    ("opened while the deletion was under way", ONE,
     [create(0, 1), generate(2, 3), deleted(4, 6), opened(5, 7), restored(8, 9), ask(10)], set()),
    ("opened by a stale node", ONE,
     [create(0, 1), generate(2, 3), deleted(4, 5), opened(6, 7, stale=2.5), restored(8, 9), ask(10)], set()),
    ("opened once it was restored", ONE,
     [create(0, 1), generate(2, 3), deleted(4, 5), restored(5, 6), opened(7, 8), ask(10)], set()),
    ("opened while its restoration had no answer", ONE,
     [create(0, 1), generate(2, 3), deleted(4, 5), lost("restore", 6), opened(7, 8), ask(10)], set()),
    ("deleted again after a restoration that was answered", ONE,
     [create(0, 1), generate(2, 3), deleted(4, 5), restored(5.1, 5.2), deleted(5.3, 5.4), opened(6, 7), ask(10)], {"I4"}),
    ("a restoration without an answer may be late", ONE,
     [create(0, 1), generate(2, 3), deleted(4, 5), lost("restore", 5.1), deleted(5.3, 5.4), opened(6, 7), ask(10)], set()),
    ("a deletion without an answer promises nothing", ONE,
     [create(0, 1), generate(2, 3), lost("revoke", 4), opened(6, 7), ask(10)], set()),

    # I5
    ("what was handed out does not open in the end", ONE,
     [create(0, 1), generate(2, 3), refused("open", 9, 10, MISSING, item="e", last=True)], {"I5"}),
    ("it has no answer in the end", ONE, [create(0, 1), generate(2, 3), lost("open", 9, item="e", last=True)], {"I5"}),
    ("it opens on one node and not on the other", ONE,
     [create(0, 1), generate(2, 3), ask(9), refused("open", 9, 10, item="e", node="n2", last=True)], {"I5"}),
    ("nobody has tried", ONE, [create(0, 1), generate(2, 3)], {"I5"}),
    ("a node with a lease does not know it", ONE,
     [create(0, 1), generate(2, 3), refused("open", 4, 5, MISSING, item="e", node="n2"), ask(9)], {"I5"}),
    ("a node without a lease may not know it yet", ONE,
     [create(0, 1), generate(2, 3), refused("open", 4, 5, MISSING, item="e", node="n2", stale=1.0), ask(9)], set()),
    ("a node that gives no answer", ONE,
     [create(0, 1), generate(2, 3), lost("open", 4, item="e"), ask(9)], set()),

    # I6
    ("a number is given twice", TWO, [create(0, 1), roll(2, 3, 1), roll(4, 5, 1)], {"I6", "I9"}),
    ("at the same time, too", TWO, [create(0, 1), roll(2, 3, 1), roll(2, 3, 1, client="b")], {"I6", "I9"}),
    ("a repeat gets the first result", TWO,
     [create(0, 1), roll(2, 3, 1, request="r"), roll(4, 5, 1, request="r", node="n2")], set()),
    ("a repeat makes another version", THREE,
     [create(0, 1), roll(2, 3, 1, request="r"), roll(4, 5, 2, request="r", node="n2")], {"I6"}),
    ("a repeat after no answer is the same roll", TWO,
     [create(0, 1), lost("roll", 2, request="r"), roll(4, 5, 1, request="r", node="n2")], set()),
    ("it was applied twice", THREE,
     [create(0, 1), lost("roll", 2, request="r"), roll(4, 5, 1, request="r", node="n2")], {"I6"}),
    ("a version that nobody asked for", TWO, [create(0, 1)], {"I6"}),
    ("a roll that was refused has made one", TWO, [create(0, 1), refused("roll", 2, 3)], {"I6"}),

    # lease
    ("generated with the old version after an acknowledged roll", TWO,
     [create(0, 1), roll(2, 3, 1), generate(4, 5, 0, client="b", node="n2"), ask(9)], {"lease", "order"}),
    ("by a node without a lease", TWO,
     [create(0, 1), roll(2, 3, 1), generate(4, 5, 0, client="b", node="n2", stale=0.5), ask(9)], set()),
    ("while the roll was under way", TWO,
     [create(0, 1), roll(2, 5, 1), generate(4, 6, 0, client="b", node="n2"), ask(9)], set()),
    ("not known after its create was acknowledged", ONE,
     [create(0, 1), refused("generate", 2, 3, MISSING, client="b", node="n2")], {"lease", "order"}),
    ("read as absent after it", ONE, [create(0, 1), read(2, 3, None, client="b", node="n2")], {"lease", "order"}),
    ("the repeat's answer counts from the first clear one", TWO,
     [create(0, 1), lost("roll", 2, request="r"), generate(3, 4, 0, client="b"),
      roll(5, 6, 1, request="r"), generate(7, 8, 1, client="b"), ask(9)], set()),

    # I9
    ("the answers of two rolls fit in one order only", THREE,
     [create(0, 1), roll(2, 9, 2), roll(3, 8, 1, client="b"), read(4, 5, 0, client="c")], set()),
    ("no order fits: the later number was answered first, before the other began", THREE,
     [create(0, 1), roll(2, 3, 2), roll(4, 5, 1, client="b")], {"I9"}),
    ("a look shows what had not begun", TWO, [create(0, 1), read(2, 3, 1, client="b"), roll(4, 5, 1)], {"I9", "order"}),
    ("a lost roll explains the jump", THREE, [create(0, 1), lost("roll", 2), roll(3, 4, 2), read(5, 6, 2)], set()),
    ("a lost roll that began too late does not", THREE,
     [create(0, 1), roll(2, 3, 2), lost("roll", 4), read(5, 6, 2)], {"I9"}),
    ("two lost rolls, of which one happened between two looks", TWO,
     [create(0, 1), lost("roll", 2), lost("roll", 2.5), read(3, 4, 0), read(5, 6, 1)], set()),
    ("both happened, the second late", THREE,
     [create(0, 1), lost("roll", 2), lost("roll", 2.5), read(3, 4, 1), read(5, 6, 1), read(7, 8, 2)], set()),
    ("one lost roll does not explain two versions", THREE,
     [create(0, 1), lost("roll", 2), read(3, 4, 1), read(5, 6, 2)], {"I6", "order"}),
    ("a number that was burnt leaves a gap", {0: "x", 2: "z"},
     [create(0, 1), refused("roll", 2, 3), roll(4, 5, 2), read(6, 7, 2)], set()),
    ("what was seen before it was asked for", TWO, [create(0, 1), read(2, 3, 1, client="b"), roll(4, 5, 1, client="b")],
     {"I9", "order"}),
    ("a roll without an id that gets the result of the lost one before it", TWO,
     [create(0, 1), lost("roll", 1.5), read(2, 3, 1, client="b"), roll(4, 5, 1)], set()),
    ("of another user it is no repeat", TWO,
     [create(0, 1), lost("roll", 1.5, client="c"), read(2, 3, 1, client="b"), roll(4, 5, 1)], {"I9", "order"}),
    ("exists, though nobody had made it", ONE, [refused("create", 0, 1, EXISTS), create(2, 3)], {"I9"}),
    ("exists, since a lost create has made it", ONE, [lost("create", 0), refused("create", 1, 2, EXISTS), read(3, 4, 0)],
     set()),
    ("made twice", ONE, [create(0, 1), create(2, 3)], {"I6", "I9"}),
    ("lost create, then a create that is answered", ONE, [lost("create", 0), create(1, 2), read(3, 4, 0)], set()),
]


def history_of(operations, views):
    history = History()
    for kind, begin, fields in operations:
        history.add(kind=kind, key=KEY, begin=float(begin), **fields)
    for node, values in zip(("n1", "n2"), views if isinstance(views, tuple) else (views, views)):
        history.see(node, KEY, values)
    return history


def random_history(rolls, clients=4, steps=40):
    """What a correct store may answer to clients at once, some of whom never hear of it; the truth is the order of moments."""
    events, state = [(0.0, 0.5, 1.0, "a", "create", True)], 0
    for client in range(clients):
        now = 1.0
        for _ in range(steps):
            begin = now + rolls.random() * 0.2
            end = begin + rolls.random()
            moment = rolls.uniform(begin, end)
            kind = "roll" if rolls.random() < 0.3 else "read"
            heard = rolls.random() < 0.8
            events.append((begin, moment, end, str(client), kind, heard))
            now = end + 0.001
    history, state = History(), -1
    for begin, moment, end, client, kind, heard in sorted(events, key=lambda event: event[1]):
        happens = heard or rolls.random() < 0.5
        state += happens and kind != "read"
        more = {"end": end, "outcome": OK, "version": state} if heard else {}
        if heard or kind != "read":
            history.add(client, "n1", kind, KEY, begin, **more)
    for node in ("n1", "n2"):
        history.see(node, KEY, {number: str(number) for number in range(state + 1)})
    return history


class Histories(unittest.TestCase):
    def test_each_case_breaks_the_rules_of_its_row(self):
        for says, views, operations, broken in CASES:
            with self.subTest(says):
                found = check(history_of(operations, views), ("n1", "n2"))
                self.assertEqual({violation.rule for violation in found}, broken, "\n".join(map(str, found)))

    def test_each_rule_has_a_case_that_breaks_it(self):
        self.assertEqual(set().union(*(broken for *_, broken in CASES)),
                         {"I1", "I2", "I3", "I4", "I5", "I6", "I7", "I9", "order", "lease"})

    def test_a_node_on_which_nobody_has_looked_is_told(self):
        history = history_of([create(0, 1)], ONE)
        self.assertEqual([violation.rule for violation in check(history, ("n1", "n2", "n3"))], ["I1"])

    def test_each_acknowledged_version_stands_in_a_trail(self):
        history = history_of([create(0, 1), roll(1, 2, 1), lost("roll", 3), refused("roll", 4, 5)], TWO)
        lines = [{"operation": "key.create", "outcome": "ok", "key": KEY, "version": 0, "detail": "proven on 2 of 2 nodes"},
                 {"operation": "key.rotate", "outcome": "ok", "key": KEY, "version": 1, "detail": "proven on 1 of 2 nodes"}]
        self.assertEqual(list(recorded(history.operations, lines)), [])
        for at in range(2):
            for change in (None, {"outcome": "in_doubt"}, {"detail": "candidate"}, {"version": 7}, {"key": "another"}):
                altered = [dict(line, **(change or {})) for number, line in enumerate(lines) if number != at or change is not None]
                altered = altered if change is None else [altered[one] if one == at else lines[one] for one in range(2)]
                found = list(recorded(history.operations, altered))
                self.assertEqual([(one.rule, one.operations[0].version) for one in found], [("I8", at)], change)

    def test_attempts_under_one_request_id_become_one(self):
        attempts = history_of([lost("roll", 1, request="r"), refused("roll", 2, 3, request="r"),
                               roll(4, 6, 1, request="r"), roll(5, 5.5, 1, request="r"), roll(7, 8, 2)], TWO).operations
        self.assertEqual([(one.begin, one.end, one.outcome) for one in merge(attempts)], [(1, 5.5, OK), (7, 8, OK)])
        self.assertEqual([one.outcome for one in merge(attempts[:2])], [UNKNOWN])
        self.assertEqual([one.outcome for one in merge(attempts[1:2])], [FAIL])

    def test_what_a_correct_store_answers_is_right_and_a_changed_answer_is_not(self):
        changed = 0
        for seed in range(60):
            rolls = random.Random(seed)
            history = random_history(rolls)
            found = check(history, ("n1", "n2"))
            self.assertEqual(found, [], f"seed {seed}:\n" + "\n".join(map(str, found)))
            # An answer that is older than what was acknowledged before the question.
            acknowledged = sorted((one for one in history.operations if one.kind == "roll" and one.outcome == OK),
                                  key=lambda one: one.end)
            later = [one for one in history.operations if one.kind == "read" and one.begin > acknowledged[0].end]
            if later:
                rolls.choice(later).version = acknowledged[0].version - 1
                rules = {violation.rule for violation in check(history, ("n1", "n2"))}
                self.assertLessEqual({"lease", "order"}, rules, f"seed {seed}")
                changed += 1
        self.assertGreater(changed, 50)

    def test_many_operations_without_an_answer_do_not_stop_the_search(self):
        operations = [create(0, 1)] + [lost("roll", 1 + at / 1000) for at in range(200)]
        operations += [read(3 + at, 3.5 + at, at) for at in range(100)]
        self.assertEqual(check(history_of(operations, {number: "" for number in range(120)}), ("n1", "n2")), [])
        operations.append(read(200, 201, 5))
        found = check(history_of(operations, {number: "" for number in range(120)}), ("n1", "n2"))
        self.assertEqual({violation.rule for violation in found}, {"I3", "order"})

    def test_a_history_that_was_saved_is_the_same_when_it_is_loaded(self):
        history = history_of([create(0, 1), lost("roll", 2, request="r"), generate(3, 4, stale=0.5)], TWO)
        with tempfile.NamedTemporaryFile() as file:
            history.save(file.name)
            again = History.load(file.name)
        self.assertEqual((again.operations, again.views), (history.operations, history.views))


if __name__ == "__main__":
    unittest.main()
