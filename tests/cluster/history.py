"""
What clients of several nodes did and saw, with times of one monotonic clock, and the rules that every such history keeps.

A history is operations (one attempt at one node each) and views (what a node holds in the end). The rules:

    I1  an acknowledged create or roll is present on every node
    I2  a version has one material on all nodes; a wrapped data key opens to one data key
    I3  what a client sees as current at one node never goes back
    I4  nothing of a key opens, and nothing is generated, once its deletion is acknowledged
    I5  every wrapped data key that was handed out opens, everywhere
    I6  one request id has one effect; no version number is given twice; there are no versions that nobody asked for
    I7  a version that anybody has seen is there
    I9  creates and rolls are linearizable, key by key, and nobody sees a version before it was asked for
    order  together with all looks at the current version they are: once anybody has seen a version, answered or not, nobody
        with a lease sees an older one
    lease  after an acknowledged create or roll, no node with a lease answers with an older version, or with none

An attempt without a clear answer is "unknown": it may have happened at any time after it began, or never. An answer that a
node marks as stale (it has no lease, or the others may not know yet what it knows) counts for I1, I2, I5, I6 and I7, and for
I3 against the same node's answers; it says nothing on what was in force, so I4, I9, order and lease leave it out.
"""
import dataclasses
import json
import math
from collections import defaultdict
from typing import Optional

OK, FAIL, UNKNOWN = "ok", "fail", "unknown"
WRITES = ("create", "roll")
LOOKS = ("read", "generate")  # they tell which version is the current one
USES = ("generate", "open")
MISSING, EXISTS = "missing", "exists"  # why a call failed, where that tells something


@dataclasses.dataclass
class Operation:
    client: str
    node: str
    kind: str  # create, roll, read, generate, open, revoke, restore
    key: str
    begin: float
    end: float = math.inf
    outcome: str = UNKNOWN
    version: Optional[int] = None  # made, seen or used
    request: Optional[str] = None  # the same for all attempts at one thing
    item: Optional[str] = None  # which wrapped data key
    digest: Optional[str] = None  # of the data key that came out
    why: Optional[str] = None
    stale: Optional[float] = None  # seconds, as the node has marked its answer
    last: bool = False  # asked once all faults were over: it has to work

    @property
    def is_fresh(self):
        return self.stale is None


@dataclasses.dataclass
class View:
    """What one node holds of one key in the end: check values by version; None: it does not know the key."""
    node: str
    key: str
    values: Optional[dict]


@dataclasses.dataclass
class Violation:
    rule: str
    key: str
    says: str
    operations: tuple = ()

    def __str__(self):
        lines = "".join(f"\n      {describe(operation)}" for operation in self.operations)
        return f"{self.rule} {self.key}: {self.says}{lines}"


def describe(operation):
    end = "..." if math.isinf(operation.end) else f"{operation.end:.4f}"
    more = [f"{name} {value}" for name in ("version", "request", "item", "why", "stale")
            if (value := getattr(operation, name)) is not None]
    return (f"{operation.begin:.4f} - {end} {operation.client} at {operation.node}: {operation.kind} {operation.outcome}"
            f"{''.join(', ' + word for word in more)}")


class History:
    """Operations in the order in which they began, as far as one client goes; threads may share it."""

    def __init__(self):
        self.operations = []
        self.views = []

    def add(self, client, node, kind, key, begin, **more):
        operation = Operation(client, node, kind, key, begin, **more)
        self.operations.append(operation)
        return operation

    def see(self, node, key, values):
        self.views.append(View(node, key, values))

    def by_key(self):
        found = defaultdict(list)
        for operation in self.operations:
            found[operation.key].append(operation)
        for operations in found.values():
            operations.sort(key=lambda operation: operation.begin)
        return found

    def views_of(self, key):
        return [view for view in self.views if view.key == key]

    def save(self, path):
        with open(path, "w", encoding="utf-8") as file:
            for kind, entries in (("operation", self.operations), ("view", self.views)):
                for entry in entries:
                    file.write(json.dumps({"is": kind, **dataclasses.asdict(entry)}) + "\n")

    @staticmethod
    def load(path):
        history = History()
        with open(path, encoding="utf-8") as file:
            for line in file:
                fields = json.loads(line)
                if fields.pop("is") == "operation":
                    history.operations.append(Operation(**fields))
                else:
                    values = fields["values"]
                    fields["values"] = values and {int(number): value for number, value in values.items()}
                    history.views.append(View(**fields))
        return history


def merge(operations):
    """
    Attempts under one request id become one operation: from the first attempt to the first clear answer.

    Without an id the Hadoop door takes the same write of the same user for a repeat, as long as the one before had no answer
    (docs/decisions/0007): such a write may have been done when the first of them was asked for.
    """
    merged, groups, open_since = [], defaultdict(list), {}
    for operation in operations:
        if operation.request is None:
            place = (operation.client, operation.kind, operation.key)
            since = open_since.setdefault(place, operation.begin) if operation.kind in WRITES else operation.begin
            if operation.outcome != UNKNOWN:
                open_since.pop(place, None)
            merged.append(operation if operation.outcome != OK else dataclasses.replace(operation, begin=since))
        else:
            groups[operation.request].append(operation)
    for attempts in groups.values():
        done = [attempt for attempt in attempts if attempt.outcome == OK]
        chosen = min(done, key=lambda attempt: attempt.end) if done else attempts[-1]
        outcome = OK if done else UNKNOWN if any(a.outcome == UNKNOWN for a in attempts) else FAIL
        merged.append(dataclasses.replace(chosen, begin=min(attempt.begin for attempt in attempts), outcome=outcome,
                                          end=math.inf if outcome == UNKNOWN else chosen.end))
    return sorted(merged, key=lambda operation: operation.begin)


# --- the rules, each for one key ---


def present(key, operations, views):
    """I1 and I7."""
    for operation in operations:
        if operation.outcome != OK or operation.version is None:
            continue
        for view in views:
            if operation.version not in (view.values or {}):
                rule = "I1" if operation.kind in WRITES else "I7"
                yield Violation(rule, key, f"version {operation.version} is not on {view.node}", (operation,))


def one_material(key, operations, views):
    """I2."""
    first = {}
    for view in views:
        for number, value in (view.values or {}).items():
            node, known = first.setdefault(number, (view.node, value))
            if known != value:
                yield Violation("I2", key, f"version {number} is one thing on {node}, another on {view.node}")
    opened = {}
    for operation in operations:
        if operation.item is not None and operation.digest is not None:
            before = opened.setdefault(operation.item, operation)
            if before.digest != operation.digest:
                yield Violation("I2", key, "a wrapped data key opens to two data keys", (before, operation))


def never_back(key, operations, _):
    """I3: no node goes back, with a lease or without."""
    newest = {}
    for operation in operations:
        # A client that does not tell which node has answered has "".
        if operation.kind not in (*WRITES, *LOOKS) or operation.outcome != OK or not operation.node:
            continue
        seen = -1 if operation.version is None else operation.version
        place = (operation.client, operation.node)
        before, version = newest.get(place, (None, -1))
        # A client asks one thing after another; what overlaps was not one client's.
        if before is not None and before.end < operation.begin and version > seen:
            yield Violation("I3", key, "the current version went back", (before, operation))
        elif seen >= version:
            newest[place] = (operation, seen)


def revoked(key, operations, _):
    """I4: from the answer to a deletion until somebody asks for the key again."""
    deleted = [operation for operation in operations if operation.kind == "revoke" and operation.outcome == OK]
    restores = [operation for operation in operations if operation.kind == "restore" and operation.outcome != FAIL]
    for operation in operations:
        if operation.kind not in USES or operation.outcome != OK or not operation.is_fresh:
            continue
        before = [revoke for revoke in deleted if revoke.end < operation.begin]
        if not before:
            continue
        newest = max(before, key=lambda revoke: revoke.end)
        if not any(newest.begin < restore.end and restore.begin < operation.end for restore in restores):
            yield Violation("I4", key, "used after its deletion was acknowledged", (newest, operation))


def opens(key, operations, _):
    """I5. In the end it must open everywhere; before, no fresh node may say that it knows nothing of it."""
    gone = any(operation.kind == "revoke" for operation in operations)
    handed = {operation.item: operation for operation in operations
              if operation.kind == "generate" and operation.outcome == OK and operation.item is not None}
    tried = {operation.item for operation in operations if operation.kind == "open" and operation.last}
    for item, operation in handed.items():
        if item not in tried:
            yield Violation("I5", key, "nobody has tried to open it in the end", (operation,))
    for operation in operations:
        if operation.kind != "open" or operation.outcome == OK:
            continue
        made = handed.get(operation.item)
        known = made is not None and made.end < operation.begin and operation.is_fresh and not gone
        if operation.last or (operation.outcome == FAIL and operation.why == MISSING and known):
            yield Violation("I5", key, "what was handed out does not open", (*filter(None, (made,)), operation))


def requests(key, operations, views):
    """I6."""
    effect, given = {}, {}
    for operation in operations:
        if operation.kind not in WRITES or operation.outcome != OK:
            continue
        if operation.request is not None:
            first = effect.setdefault(operation.request, operation)
            if first.version != operation.version:
                yield Violation("I6", key, "one request id made two versions", (first, operation))
                continue
            if first is not operation:
                continue
        other = given.setdefault(operation.version, operation)
        if other is not operation:
            yield Violation("I6", key, f"version {operation.version} was given twice", (other, operation))
    asked = sum(operation.outcome != FAIL for operation in merge([o for o in operations if o.kind in WRITES]))
    for view in views:
        if len(view.values or {}) > asked:
            yield Violation("I6", key, f"{view.node} has {len(view.values)} versions, {asked} may have been made")


def recorded(operations, lines):
    """
    I8: each version that was acknowledged stands in the trail of a node, with what proved it. lines are those of all
    trails, as objects. It is asked for once all nodes have come back, since what a dead node did not write another may.
    """
    written = {(line["key"], line["version"]) for line in lines
               if line.get("operation") in ("key.create", "key.rotate") and line.get("outcome") == "ok"
               and "version" in line and line.get("detail", "").startswith("proven on ")}
    for operation in operations:
        if operation.kind in WRITES and operation.outcome == OK and (operation.key, operation.version) not in written:
            yield Violation("I8", operation.key, f"version {operation.version} is in no trail", (operation,))


def in_force(key, operations, _):
    """lease."""
    writes = sorted((o for o in merge([o for o in operations if o.kind in WRITES]) if o.outcome == OK),
                    key=lambda operation: operation.end)
    at, newest = 0, None
    for operation in operations:
        if operation.kind not in LOOKS or not operation.is_fresh:
            continue
        while at < len(writes) and writes[at].end < operation.begin:
            if newest is None or writes[at].version > newest.version:
                newest = writes[at]
            at += 1
        if newest is None:
            continue
        if operation.outcome == FAIL and operation.why == MISSING:
            yield Violation("lease", key, "not known after it was acknowledged", (newest, operation))
        if operation.outcome == OK and (operation.version is None or operation.version < newest.version):
            yield Violation("lease", key, "an old version after an acknowledged newer one", (newest, operation))


# --- linearizability ---


class Search:
    """
    Is there an order of the operations, each at a moment between its begin and its end, in which every answer is right?

    After Wing and Gong: of the operations that nothing else precedes, one goes next; what was tried is remembered by what is
    left and the state. The state is the number of versions. Two shortcuts change no answer: a look that is right is taken at
    once, since it moves nothing; unknown rolls are alike, so the one that began first goes first.
    """

    def __init__(self, operations, numbers):
        place = {number: at + 1 for at, number in enumerate(numbers)}
        self.certain, self.maybe = [], []
        for operation in operations:
            step = self.step(operation, place)
            if step is None:
                continue
            (self.maybe if operation.outcome == UNKNOWN else self.certain).append((operation, *step))
        self.maybe.sort(key=lambda entry: entry[0].begin)
        self.blocked = None

    @staticmethod
    def step(operation, place):
        """What it needs the state to be, and what it makes of it: None where it says nothing."""
        kind, outcome = operation.kind, operation.outcome
        if kind in WRITES:
            if outcome == UNKNOWN:
                return ("absent", 1) if kind == "create" else ("present", 1)
            if outcome == OK:
                after = place.get(operation.version, 0)
                # A version that is nowhere cannot be put in order; I1 tells of it as well.
                return (after - 1, 1) if after else ("never", 1)
            if kind == "create" and operation.why == EXISTS and operation.is_fresh:
                return ("present", 0)
        if kind in (*WRITES, *LOOKS) and outcome == FAIL and operation.why == MISSING and operation.is_fresh:
            return ("absent", 0)
        if kind in LOOKS and outcome == OK and operation.is_fresh:
            return (0 if operation.version is None else place.get(operation.version, "never"), 0)
        return None

    @staticmethod
    def fits(need, state):
        if need == "absent":
            return state == 0
        if need == "present":
            return state > 0
        return need == state

    def run(self):
        entries = self.certain
        total = len(entries)
        # Depth first; done is how far all is taken, and ahead what is taken beyond it.
        stack = [(0, frozenset(), 0, 0)]
        tried = set(stack)
        farthest = -1
        while stack:
            done, ahead, used, state = stack.pop()
            done, ahead, choices = self.open_to(done, ahead, state)
            if done == total:
                return True
            if done + len(ahead) > farthest:
                farthest = done + len(ahead)
                self.blocked = tuple(entries[at][0] for at in choices)
            limit = min(entries[at][0].end for at in choices)
            following = [(done, ahead | {at}, used, state + entries[at][2])
                         for at in choices if self.fits(entries[at][1], state)]
            following += self.with_maybe(done, ahead, used, state, limit)
            for position in following:
                if position not in tried:
                    tried.add(position)
                    stack.append(position)
        return False

    def open_to(self, done, ahead, state):
        """Takes the looks that are right now; gives what may go next."""
        entries = self.certain
        ahead = set(ahead)
        while True:
            while done in ahead:
                ahead.discard(done)
                done += 1
            choices, limit, at = [], math.inf, done
            while at < len(entries) and entries[at][0].begin <= limit:
                if at not in ahead:
                    choices.append(at)
                    limit = min(limit, entries[at][0].end)
                at += 1
            choices = [at for at in choices if entries[at][0].begin <= limit]
            taken = [at for at in choices if entries[at][2] == 0 and self.fits(entries[at][1], state)]
            if not taken:
                return done, frozenset(ahead), choices
            ahead.update(taken)

    def with_maybe(self, done, ahead, used, state, limit):
        """The next of the unknown writes of each kind, if it had begun; used counts both kinds in one number."""
        found = []
        creates, rolls = used & 0xffffffff, used >> 32
        for need, count, more in (("absent", creates, 1), ("present", rolls, 1 << 32)):
            alike = [entry for entry in self.maybe if entry[1] == need]
            if count < len(alike) and alike[count][0].begin <= limit and self.fits(need, state):
                found.append((done, ahead, used + more, state + 1))
        return found


def linearizable(key, operations, views):
    """I9, and where that holds, order."""
    merged = merge([operation for operation in operations if operation.kind in (*WRITES, *LOOKS)])
    numbers = {number for view in views for number in view.values or {}}
    numbers |= {operation.version for operation in merged if operation.outcome == OK and operation.version is not None}
    for rule, kinds in (("I9", WRITES), ("order", (*WRITES, *LOOKS))):
        search = Search([operation for operation in merged if operation.kind in kinds], sorted(numbers))
        if not search.run():
            yield Violation(rule, key, "no order explains the answers; none of these can be next", search.blocked[:8])
            return


def from_the_future(key, operations, _):
    """I9: a version is seen before anybody can have made it."""
    writes = [operation for operation in operations if operation.kind in WRITES]
    begun = {operation.version: operation for operation in merge(writes) if operation.outcome == OK}
    for operation in operations:
        made = begun.get(operation.version) if operation.kind in LOOKS and operation.outcome == OK else None
        if made is not None and operation.end < made.begin:
            yield Violation("I9", key, "seen before it was made", (operation, made))


RULES = (present, one_material, never_back, opens, requests, in_force, linearizable, from_the_future)
# Of a key that clients delete and restore, what is current is not asked.
RULES_OF_DELETED = (present, one_material, revoked, opens, requests)


def check(history, nodes):
    """All violations; nodes are those that must hold every key in the end."""
    found = []
    for key, operations in history.by_key().items():
        views = history.views_of(key)
        unseen = set(nodes) - {view.node for view in views}
        if unseen:
            found.append(Violation("I1", key, f"nobody has looked on {', '.join(sorted(unseen))}"))
        is_deleted = any(operation.kind == "revoke" for operation in operations)
        for rule in RULES_OF_DELETED if is_deleted else RULES:
            found += rule(key, operations, views)
    return found


def counts(history):
    """Operations and what became of them, by kind: {kind: {outcome: count}}."""
    table = defaultdict(lambda: defaultdict(int))
    for operation in history.operations:
        table[operation.kind][operation.outcome] += 1
        if operation.stale is not None:
            table[operation.kind]["stale"] += 1
    return table
