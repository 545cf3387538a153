"""
Clients of several nodes that write down what they do (history.py): through the Hadoop door, where a write has no name of its
own, and through the administration door, where it has a request id and is repeated under it, on another node, until the
answer is clear.

A client that knows all nodes turns to the next when one does not answer, as Hadoop's own does; what it was told in the end is
a call. One that is bound to a node shows what that node does.
"""
import hashlib
import json
import math
import pathlib
import random
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from history import EXISTS, FAIL, MISSING, OK, UNKNOWN  # noqa: E402
from nodes import GONE, Kms, RemoteException  # noqa: E402
from node import UnixConnection  # noqa: E402

STALE = "X-Holdfast-Stale"
UNMARKED = math.inf  # of answers whose headers nobody has seen: they may be as old as they like
KEYRING = "/api/v1/keyrings/hadoop/keys"
READ_TIMEOUT, WRITE_TIMEOUT = 2, 12
READS = ("read", "generate", "open")


class Answer(Exception):
    """The node has answered, and not what was asked for: missing, exists, or that it cannot now."""

    def __init__(self, why, text):
        super().__init__(text)
        self.why = why


class Hadoop:
    """One node's Hadoop door, to a user of its own: the same write of one user at the same time is taken for a repeat."""

    def __init__(self, node, timeout, user):
        self.kms = Kms(node, user)
        self.kms.wire.timeout = timeout
        self.stale = None

    def close(self):
        self.kms.close()

    def call(self, method, *arguments):
        self.kms.answer = None
        try:
            if self.kms.cookie is None:
                self.shake_hands()
            return getattr(self.kms, method)(*arguments)
        except RemoteException as error:
            text = str(error)
            if "already exists" in text:
                raise Answer(EXISTS, text) from None
            if "not found" in text or "No KeyVersion" in text or "does not exist" in text:
                raise Answer(MISSING, text) from None
            if error.status < 500:
                raise
            raise Answer(None, text) from None
        finally:
            self.stale = stale_of(self.kms.answer)

    def shake_hands(self):
        try:
            self.kms.handshake()
        except AssertionError as error:
            # As with any other answer: only what says that the server cannot now is outlived.
            if str(error)[:1] == "5" or str(error)[:2] == "(5":
                raise Answer(None, f"handshake: {error}") from None
            raise

    def create(self, key, _):
        return number_of(self.call("create", key))

    def roll(self, key, _):
        return number_of(self.call("roll", key))

    def generate(self, key):
        return self.call("generate", key)[0]

    def open(self, edek):
        return self.call("decrypt", edek)


class Admin:
    """One node's administration door; requests carry an id."""

    def __init__(self, node, timeout, _=None):
        self.wire = UnixConnection(node.dir / "admin.sock", timeout)
        self.stale = None

    def close(self):
        self.wire.close()

    def call(self, method, path, body=None, request=None):
        self.stale = None
        headers = {} if body is None else {"Content-Type": "application/json"}
        if request is not None:
            headers["Idempotency-Key"] = request
        self.wire.request(method, path, None if body is None else json.dumps(body), headers)
        answer = self.wire.getresponse()
        text = answer.read()
        self.stale = stale_of(answer)
        if answer.status == 404:
            raise Answer(MISSING, text)
        if answer.status == 409:
            code = json.loads(text)["error"]["code"]
            raise Answer(EXISTS if code == "exists" else code, text)
        if answer.status >= 500:
            raise Answer(None, text)
        if answer.status >= 300:
            raise AssertionError(f"{method} {path}: {answer.status} {text}")
        return json.loads(text)

    def create(self, key, request):
        return self.call("POST", KEYRING, {"name": key, "algorithm": "aes-128"}, request)["version"]

    def roll(self, key, request):
        return self.call("POST", f"{KEYRING}/{key}/rotate", None, request)["version"]

    def revoke(self, key, request):
        self.call("DELETE", f"{KEYRING}/{key}", None, request)

    def restore(self, key, request):
        self.call("POST", f"{KEYRING}/{key}/recover", None, request)

    def read(self, key):
        try:
            return self.call("GET", f"{KEYRING}/{key}")["primary"]
        except Answer as answer:
            if answer.why == MISSING:
                return None
            raise

    def values(self, key):
        """Check values of the versions that have ever been in use; None: it does not know the key."""
        try:
            versions = self.call("GET", f"{KEYRING}/{key}")["versions"]
        except Answer as answer:
            if answer.why == MISSING:
                return None
            raise
        return {version["version"]: version["check_value"] for version in versions if "activated" in version}


def stale_of(answer):
    seconds = answer and answer.getheader(STALE)
    return None if seconds is None else math.inf if seconds == "unknown" else float(seconds)


def number_of(made):
    return int(made["versionName"].rpartition("@")[2])


def digest_of(edek):
    return hashlib.sha256(json.dumps(edek, sort_keys=True).encode()).hexdigest()[:24]


class Book:
    """What all clients of one run share."""

    def __init__(self, history, nodes):
        self.history = history
        self.nodes = nodes
        self.edeks = {}  # item -> (key, edek)
        self.pool = []  # items that may be opened at any time
        self.keys = []  # that are known to be there

    def keep(self, key, edek, pool=True):
        item = digest_of(edek)
        self.edeks[item] = (key, edek)
        if pool:
            self.pool.append(item)
        return item


class Call:
    """What a client was told in the end, over all attempts."""

    def __init__(self, kind, begin):
        self.kind, self.begin, self.end, self.attempts, self.good = kind, begin, None, 0, False
        self.why = []


class Client(threading.Thread):
    """
    Goes on until it is told to stop. It is bound to one node (at) or begins at one and turns to the next when it has no answer.
    """

    def __init__(self, book, name, seed, at=0, bound=False, pause=0.01):
        super().__init__(daemon=True, name=name)
        self.book, self.at, self.bound, self.pause = book, at, bound, pause
        self.random = random.Random(seed)
        self.stopping = threading.Event()
        self.failure = None
        self.doors = {}
        self.calls = []
        self.under_way = None
        self.user = "alice"

    def run(self):
        try:
            while not self.stopping.is_set():
                self.step()
                self.stopping.wait(self.random.uniform(0.5, 1.5) * self.pause)
        except Exception as error:  # pylint: disable=broad-exception-caught
            # Whatever it was: a client that ends in silence would look like a server that does not answer.
            self.failure = error
        self.close()

    def close(self):
        for door in self.doors.values():
            door.close()

    def node(self):
        return self.book.nodes[self.at % len(self.book.nodes)]

    def door(self, kind, timeout):
        place = (self.at % len(self.book.nodes), kind, timeout)
        if place not in self.doors:
            self.doors[place] = kind(self.node(), timeout, self.user)
        return place, self.doors[place]

    def attempt(self, kind, door_kind, key, do, timeout, **more):
        """One attempt at one node, written down: (operation, result); the result counts when the outcome is ok."""
        node = f"n{self.at % len(self.book.nodes) + 1}"
        operation = self.book.history.add(self.name, node, kind, key, time.monotonic(), **more)
        place = result = None
        try:
            place, door = self.door(door_kind, timeout)
            result = do(door)
            operation.outcome = OK
        except Answer as answer:
            operation.why = answer.why or str(answer)
            # A write that was refused for the moment may be done all the same: the node says so, or it was cut off.
            operation.outcome = FAIL if answer.why or kind in READS else UNKNOWN
            operation.stale = door.stale
        except GONE as error:
            operation.why = repr(error)
            if place is not None:
                self.doors.pop(place).close()
        else:
            operation.stale = door.stale
        if operation.outcome != UNKNOWN:
            operation.end = time.monotonic()
        return operation, result

    def call(self, kind, door_kind, key, do, timeout, patience=60, **more):
        """Until an answer that is clear, at one node after the other."""
        self.under_way = call = Call(kind, time.monotonic())
        while True:
            call.attempts += 1
            operation, result = self.attempt(kind, door_kind, key, do, timeout, **more)
            told = operation.outcome == FAIL
            is_clear = operation.outcome == OK or (told and kind not in READS)
            if not is_clear:
                call.why.append(operation.why)
            repeats = kind in READS or operation.request is not None
            if is_clear or not repeats or self.bound or time.monotonic() - call.begin > patience:
                break
            if self.stopping.is_set() and not operation.request:
                # Others would have been asked: that it failed cannot be said of it.
                return operation, result
            self.at += 1
            # All have been asked: do not spin.
            if call.attempts % len(self.book.nodes) == 0:
                time.sleep(0.05)
        call.end, call.good = time.monotonic(), is_clear
        self.calls.append(call)
        if not is_clear and not self.bound:
            self.at += 1
        return operation, result

    def good(self):
        return sum(call.good for call in self.calls)

    def story(self):
        """What it is at, for who waits for it in vain."""
        now, call = time.monotonic(), self.under_way
        if call is None:
            return f"{self.name}: no call yet"
        since = f"{(call.end or now) - call.begin:.1f} s, began {now - call.begin:.1f} s ago"
        lately = [f"{one.kind} {one.end - one.begin:.1f} s" + ("" if one.good else f" {one.why[-3:]}")
                  for one in self.calls[-8:]]
        return (f"{self.name}: {self.good()} good of {len(self.calls)}, at n{self.at % len(self.book.nodes) + 1}, "
                f"{call.kind} on attempt {call.attempts} ({since}) {call.why[-3:]}; before: {lately}")

    def stop(self):
        self.stopping.set()
        self.join(120)
        assert not self.is_alive(), f"{self.name}: a call has no end"
        if self.failure is not None:
            raise self.failure

    def request_id(self):
        return f"{self.random.getrandbits(128):032x}"


class Writer(Client):
    """Creates and rolls; some keys are everybody's, so that writers meet, and some names are made by two at once."""

    def __init__(self, *arguments, shared=(), contested="", named=0.5, **more):
        """named: the share of its writes that have a request id."""
        super().__init__(*arguments, **more)
        self.named = named
        self.shared, self.contested, self.turn = list(shared), contested, 0
        self.user = self.name

    def write(self, kind, key):
        door, request = (Admin, self.request_id()) if self.random.random() < self.named else (Hadoop, None)
        operation, number = self.call(kind, door, key, lambda to: getattr(to, kind)(key, request), WRITE_TIMEOUT,
                                      request=request)
        if operation.outcome == OK:
            operation.version = number
        return operation

    def step(self):
        dice = self.random.random()
        if dice < 0.15:
            self.create(f"{self.name}-{self.random.getrandbits(48):012x}")
        elif dice < 0.25:
            self.turn += 1
            self.create(f"contested-{self.contested}-{self.turn}")
        else:
            self.write("roll", self.random.choice(self.shared if dice < 0.8 else self.book.keys))

    def create(self, key):
        if self.write("create", key).outcome == OK:
            self.book.keys.append(key)


class Generator(Client):
    def step(self):
        key = self.random.choice(self.book.keys)
        operation, edek = self.call("generate", Hadoop, key, lambda to: to.generate(key), READ_TIMEOUT)
        if operation.outcome == OK:
            operation.version = number_of(edek)
            operation.item = self.book.keep(key, edek)


class Opener(Client):
    def step(self):
        if not self.book.pool:
            return
        item = self.random.choice(self.book.pool)
        self.open(item)

    def open(self, item, **more):
        key, edek = self.book.edeks[item]
        operation, dek = self.call("open", Hadoop, key, lambda to: to.open(edek), READ_TIMEOUT, item=item, **more)
        if operation.outcome == OK:
            operation.digest = hashlib.sha256(dek).hexdigest()[:24]
            operation.version = number_of(edek)


class Reader(Client):
    def step(self):
        key = self.random.choice(self.book.keys)
        operation, number = self.call("read", Admin, key, lambda to: to.read(key), READ_TIMEOUT)
        if operation.outcome == OK:
            operation.version = number
        self.at += self.random.random() < 0.3


class Revoker(Opener):
    """Deletes and restores a key of its own; the nodes are asked to open in between."""

    def __init__(self, *arguments, key="", **more):
        super().__init__(*arguments, **more)
        self.key, self.items = key, []

    def change(self, kind):
        request = self.request_id()
        return self.call(kind, Admin, self.key, lambda to: getattr(to, kind)(self.key, request), WRITE_TIMEOUT,
                         request=request)[0]

    def use(self):
        for _ in self.book.nodes.members:
            self.at += 1
            item = self.random.choice(self.items)
            key, edek = self.book.edeks[item]
            operation, dek = self.attempt("open", Hadoop, key, lambda to: to.open(edek), READ_TIMEOUT, item=item)
            if operation.outcome == OK:
                operation.digest = hashlib.sha256(dek).hexdigest()[:24]

    def step(self):
        if not self.items and not self.begin():
            return
        self.use()
        self.change("revoke")
        self.use()
        self.put_back()

    def begin(self):
        """Its key and one item of it are there."""
        made = self.call("create", Admin, self.key, lambda to: to.create(self.key, None), WRITE_TIMEOUT)[0]
        if made.outcome == OK:
            made.version = 1
        operation, edek = self.call("generate", Hadoop, self.key, lambda to: to.generate(self.key), READ_TIMEOUT)
        if operation.outcome != OK:
            return False
        operation.version, operation.item = number_of(edek), self.book.keep(self.key, edek, pool=False)
        self.items.append(operation.item)
        return True

    def put_back(self):
        """A node that has not heard of the deletion says that there is nothing to restore."""
        while self.change("restore").outcome != OK and not self.stopping.is_set():
            self.at += 1


def longest_gap_ms(clients, kind):
    """The longest time in which none of them got a good answer to that kind of call."""
    ends = sorted(call.end for client in clients for call in client.calls if call.kind in kind and call.good)
    return int(1000 * max((after - before for before, after in zip(ends, ends[1:])), default=0))


def longest_call_ms(clients, kind):
    """The longest time that one of them had to wait for one."""
    return int(1000 * max((call.end - call.begin for client in clients for call in client.calls if call.kind in kind), default=0))


def failed(clients, kind):
    return [call for client in clients for call in client.calls if call.kind in kind and not call.good]
