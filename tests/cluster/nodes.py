"""Several Holdfast nodes on one PostgreSQL, each in a directory of its own, with load that keeps books."""
import http.client
import json
import pathlib
import random
import ssl
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
from kms import Kms, RemoteException  # noqa: E402
from node import Node, free_port  # noqa: E402

GONE = (OSError, http.client.HTTPException)


def store_options(ports, synchronous, database="holdfast"):
    """What holdfast init and store migrate are told of the database."""
    hosts = [word for port in ports for word in ("--store-host", f"127.0.0.1:{port}")]
    return ["--store", "postgres", *hosts, "--store-synchronous", synchronous, "--store-database", database,
            "--store-sslmode", "disable"]


def section(configuration, heading):
    """One section of a holdfast.conf, braces and all."""
    start = configuration.index(heading + " {")
    return configuration[start:configuration.index("\n}", start) + 2] + "\n\n"


def is_unknown(error):
    """Whether a node answered that it has no such key, or that it cannot be sure and another may know better."""
    return "not found" in str(error) or "not available" in str(error)


class Member(Node):
    """
    Another machine's directory: it joins by its own key pair, is approved by the first node, which serves, and gets its
    certificate from there, for host too. It is told of the store as the first one is; options are those of node accept.
    """

    def __init__(self, first, number, *options, site=None, host=None):  # pylint: disable=super-init-not-called
        self.base = pathlib.Path(tempfile.mkdtemp(prefix="holdfast-test-"))
        self.dir = self.base / "node"
        self.port = free_port()
        self.process = None
        self.prefix = []
        self.grants = False
        self.log = open(self.base / "log", "ab")  # pylint: disable=consider-using-with
        asked = json.loads(self.run("node", "join", "--name", f"node-{number}", "--json",
                                    *(["--site", site] if site else []), *(["--host", host] if host else [])))
        made = json.loads(first.run("node", "approve", asked["request"], "--fingerprint", asked["fingerprint"], "--json"))
        self.run("node", "accept", made["bundle"], "--fingerprint", made["bundle_fingerprint"],
                 "--listen-hadoop", f"127.0.0.1:{self.port}", "--hadoop-pseudo", *options)
        self.tls = ssl.create_default_context(cafile=str(self.dir / "ca.crt"))
        with open(self.dir / "holdfast.conf", "a", encoding="utf-8") as mine:
            mine.write("\n" + section((first.dir / "holdfast.conf").read_text(), "store"))


NO_REPEATS = ('hadoop_keyring = "hadoop"', 'hadoop_keyring = "hadoop"\n    hadoop_retry_window = 0')


class Nodes:
    """So many nodes that serve, each at its site if there are any; use it as a context manager."""

    def __init__(self, count, ports, synchronous, repeats=False, sites=()):
        self.members = []
        try:
            first = Node(*store_options(ports, synchronous), *(["--site", sites[0]] if sites else []))
            self.members.append(first)
            for number in range(1, count + 1):
                if number > 1:
                    self.members.append(Member(first, number, site=sites[number - 1] if sites else None))
                # Else a roll soon after another is taken for its repeat, and cannot be counted.
                if not repeats:
                    self.members[-1].configure(*NO_REPEATS)
                self.members[-1].start()
        except BaseException:
            self.close()
            raise

    def __getitem__(self, at):
        return self.members[at]

    def __len__(self):
        return len(self.members)

    def close(self):
        for member in self.members:
            member.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Key:
    """What the one who writes a key knows of it."""

    def __init__(self, name):
        self.name = name
        self.versions = 0  # acknowledged
        self.maybe = 0  # may have happened besides: the answer was an error, or none
        self.numbers = []  # version names, as they were acknowledged


class Client(threading.Thread):
    """Calls one node until it is told to stop; an error, or a node that is gone, is counted and outlived."""

    def __init__(self, node, seed):
        super().__init__(daemon=True)
        self.node = node
        self.random = random.Random(seed)
        self.stopping = threading.Event()
        self.failure = None
        self.errors = []
        self.times = [time.monotonic()]
        self.kms = None

    def run(self):
        while not self.stopping.is_set():
            try:
                self.kms = self.kms or Kms(self.node)
                self.step()
                self.times.append(time.monotonic())
            except GONE:
                self.lost("no answer")
                # Nobody listens: do not spin.
                self.stopping.wait(0.02)
            except RemoteException as error:
                if error.status < 500:
                    self.failure = error
                    return
                self.lost(str(error))
            except AssertionError as error:
                self.failure = error
                return

    def lost(self, why):
        self.errors.append(why)
        if self.kms is not None:
            self.kms.close()
            self.kms = None

    def stop(self):
        self.stopping.set()
        self.join(90)
        assert not self.is_alive(), "a call has no end"
        if self.failure is not None:
            raise self.failure

    def done(self):
        return len(self.times) - 1

    def pause_ms(self):
        return int(1000 * max((after - before for before, after in zip(self.times, self.times[1:])), default=0))


class Writer(Client):
    """Creates and rolls keys of its own."""

    def __init__(self, node, seed):
        super().__init__(node, seed)
        self.keys = []

    def step(self):
        live = [key for key in self.keys if key.versions]
        if not live or self.random.random() < 0.4:
            key = Key(f"key-{self.random.getrandbits(64):016x}")
            self.keys.append(key)
        else:
            key = self.random.choice(live)
        key.maybe += 1
        done = self.kms.roll(key.name) if key.versions else self.kms.create(key.name)
        key.maybe -= 1
        key.versions += 1
        key.numbers.append(done["versionName"])

    def acknowledged(self):
        return sum(key.versions for key in self.keys)


class Opener(Client):
    """Opens the same data keys again and again."""

    def __init__(self, node, seed, edeks):
        super().__init__(node, seed)
        self.edeks = edeks

    def step(self):
        edek, dek = self.random.choice(self.edeks)
        assert self.kms.decrypt(edek) == dek, "another data key came out"


def check_key(kms, key):
    """What was acknowledged is there, under its number, once; and it opens."""
    try:
        metadata = kms.metadata(key.name)
    except RemoteException as error:
        # Its maker was not told that it is there; until a job has settled that, nobody knows.
        if not key.versions and is_unknown(error):
            return
        raise
    if not key.versions and not metadata:
        return
    assert metadata, f"{key.name} was acknowledged and is lost"
    assert key.versions <= metadata["versions"] <= key.versions + key.maybe, (key.name, key.versions, key.maybe, metadata)
    assert len(set(key.numbers)) == len(key.numbers), f"a number was given twice: {key.numbers}"
    edek = kms.generate(key.name)[0]
    # What was not acknowledged may be a candidate still: it is counted, and not used.
    numbers = [int(name.rsplit("@", 1)[1]) for name in (*key.numbers, edek["versionName"])]
    assert max(numbers) == numbers[-1] < metadata["versions"], (key.numbers, edek["versionName"], metadata)
    kms.decrypt(edek)
