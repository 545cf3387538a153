"""The mixed load of the fault tests: all kinds of clients on three nodes, one history, and what is checked in the end."""
import contextlib
import json
import os
import pathlib
import shutil
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from clients import (Admin, Book, Generator, Hadoop, Opener, Reader, Revoker, Writer, failed,  # noqa: E402
                     longest_call_ms, longest_gap_ms)
from history import OK, UNKNOWN, History, check, counts, recorded  # noqa: E402
from postgres import wait_for  # noqa: E402

KEEP = pathlib.Path(os.environ.get("HOLDFAST_KEEP") or os.environ["HOLDFAST_BUILD"])
REVOKED = "revoked"
WRITES, OPENS, GENERATES = ("create", "roll"), ("open",), ("generate",)


class Load:
    """All clients of a run."""

    def __init__(self, nodes, seed, busy=1.0, named=0.5):
        """busy: 1 is as busy as two cores that others use too can bear; named: the share of writes with a request id."""
        self.book = book = Book(History(), nodes)
        self.nodes = nodes
        count = len(nodes)

        def more(at):
            return {"seed": seed + at, "at": at}
        self.shared = [f"shared-{seed}-{number}" for number in range(6)]
        # The others know the users once each of them has applied the grant.
        users = [f"writer-{at}" for at in range(count)]
        for user in users:
            nodes[0].run("policy", "grant", "--who", f"pseudo:{user}", "--role", "key-user", "--role", "key-admin")
        first = Hadoop(nodes[0], 30, "alice")
        for name in self.shared:
            began = time.monotonic()
            version = first.create(name, None)
            book.history.add("first", "n1", "create", name, began, end=time.monotonic(), outcome=OK, version=version)
            book.keys.append(name)
        first.close()
        self.writers = [Writer(book, user, shared=self.shared, contested=str(seed), named=named, pause=0.03 / busy,
                               **more(at))
                        for at, user in enumerate(users)]
        self.generators = [Generator(book, f"generator-{at}", pause=0.02 / busy, **more(10 + at)) for at in range(2)]
        self.openers = [Opener(book, f"opener-{at}", pause=0.02 / busy, **more(20 + at)) for at in range(2)]
        # Bound to one node each: what that node does without the others' help.
        self.bound = [Opener(book, f"bound-{at}", bound=True, pause=0.05 / busy, **more(30 + at)) for at in range(count)]
        self.readers = [Reader(book, "reader", pause=0.02 / busy, **more(40))]
        self.revokers = [Revoker(book, "revoker", key=f"{REVOKED}-{seed}", pause=0.2 / busy, **more(50))]

    def all(self):
        return [*self.writers, *self.generators, *self.openers, *self.bound, *self.readers, *self.revokers]

    def start(self):
        for client in self.all():
            client.start()
        wait_for(lambda: not self.is_alive() or all(len(client.calls) > 5 for client in self.all()), "load", 120)

    def stop(self):
        for client in self.all():
            client.stopping.set()
        for client in self.all():
            client.stop()

    def is_alive(self):
        return not any(client.failure for client in self.all())

    def go_on(self, clients=None, calls=3):
        """Each of them (the roaming ones) is answered again, so that a fault does not hide behind the next one."""
        clients = clients or [*self.writers, *self.generators, *self.openers]

        goals = [(client, client.good() + calls) for client in clients]

        def late():
            return [client for client, goal in goals if client.good() < goal]
        try:
            wait_for(lambda: not self.is_alive() or not late(), "answers after the fault", 180)
        except AssertionError:
            print(*(client.story() for client in late()), sep="\n", flush=True)
            raise

    def look_everywhere(self):
        """What each node holds in the end, and whether it opens all that was ever handed out."""
        for at in range(len(self.nodes)):
            last = Revoker(self.book, "last", seed=at, at=at, bound=True, key=self.revokers[0].key)
            last.change("restore")
            last.close()
        keys = list(self.book.history.by_key())
        for at, node in enumerate(self.nodes.members):
            opener = Opener(self.book, f"last-n{at + 1}", seed=at, at=at, bound=True)
            for item in list(self.book.edeks):
                opener.open(item, last=True)
            opener.close()
            admin = Admin(node, 30)
            for key in keys:
                self.book.history.see(f"n{at + 1}", key, admin.values(key))
            admin.close()

    def check(self):
        """Fails when any rule is broken."""
        found = check(self.book.history, [f"n{at + 1}" for at in range(len(self.nodes))])
        for rule in sorted({violation.rule for violation in found}):
            of_rule = [violation for violation in found if violation.rule == rule]
            print(f"{len(of_rule)} violations of {rule}, among them", *of_rule[:5], sep="\n  ")
        broken = sorted({violation.rule for violation in found})
        assert not broken, f"{len(found)} violations of {broken}"

    def check_trails(self):
        """What was acknowledged stands in the trails of the nodes, which have ended."""
        lines = [json.loads(line) for node in self.nodes.members for path in sorted((node.dir / "audit").glob("audit.log*"))
                 for line in path.read_text().splitlines()]
        found = list(recorded(self.book.history.operations, lines))
        assert not found, "\n  ".join([f"{len(found)} violations of I8, among them", *map(str, found[:5])])
        print(f"every acknowledged version stands in one of the trails, of {len(lines)} lines", flush=True)
        abandoned = [line for line in lines if line.get("outcome") == "ok" and "could not open it" in line.get("detail", "")]
        for line in abandoned[:10]:
            print(f"abandoned at {line['t']} by {line['node']}: {line.get('key')} version {line.get('version')}, {line['detail']}")
        print(f"{len(abandoned)} versions were abandoned", flush=True)

    def no_use_failed(self):
        """What roams has opened and generated without one failure that a client sees."""
        for client in (*self.openers, *self.generators):
            for call in failed([client], (*OPENS, *GENERATES)):
                raise AssertionError(f"{client.name} has failed: {call.kind}, {call.attempts} attempts: {call.why}")

    def report(self):
        table = counts(self.book.history)
        rows = [f"{kind} {outcomes[OK]}" + "".join(f", {outcomes[outcome]} {outcome}" for outcome in ("fail", UNKNOWN, "stale")
                                                   if outcomes[outcome]) for kind, outcomes in sorted(table.items())]
        print(f"{len(self.book.history.operations)} operations ({'; '.join(rows)}), {len(self.book.history.by_key())} keys, "
              f"{len(self.book.edeks)} wrapped data keys")
        for what, clients, kinds in (("opens", self.openers, OPENS), ("data keys", self.generators, GENERATES),
                                     ("writes", self.writers, WRITES)):
            print(f"{what}: no answer for {longest_gap_ms(clients, kinds)} ms at most, one call took "
                  f"{longest_call_ms(clients, kinds)} ms at most, {len(failed(clients, kinds))} calls failed", flush=True)
            for call in failed(clients, kinds)[:5]:
                print(f"  {call.kind}, {call.attempts} attempts in {call.end - call.begin:.1f} s: {call.why[:2]} ... {call.why[-2:]}")


@contextlib.contextmanager
def kept(load, nodes, name, logs=()):
    """What a failed run leaves: its history and its logs."""
    try:
        yield
    except BaseException:
        path = KEEP / f"{name}.jsonl"
        load.book.history.save(path)
        print(f"the history is in {path}", flush=True)
        for at, node in enumerate(nodes.members):
            text = node.log_text()
            (KEEP / f"{name}-node-{at + 1}.log").write_text(text)
            # Where only the output is at hand later.
            print(f"the log of n{at + 1} ends:", *text.splitlines()[-12:], sep="\n  ", flush=True)
        for log in logs:
            shutil.copy(log, KEEP / f"{name}-{log.name}")
        raise


@contextlib.contextmanager
def loaded(nodes, name, seed, whole=lambda: None, **more):
    """Mixed load around a fault; afterwards all is whole again, everything is looked at, and every rule has held."""
    load = Load(nodes, seed, **more)
    with kept(load, nodes, f"{name}-{seed}"):
        load.start()
        try:
            yield load
            load.go_on()
        finally:
            load.stop()
        whole()
        load.look_everywhere()
        load.check()
