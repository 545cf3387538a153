"""
Faults for three nodes on three database hosts: each one happens to a part that a seed has chosen, is seen to have happened,
and is taken back. fault.begin() returns once it is there, fault.end() once all is whole again.
"""
import os
import pathlib
import random
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from postgres import signal_all, wait_for  # noqa: E402

SEED = int(os.environ.get("HOLDFAST_SEED") or random.getrandbits(32))
# How long things are broken; 0: a few faults.
SECONDS = int(os.environ.get("HOLDFAST_SECONDS") or (1800 if os.environ.get("HOLDFAST_LONG") else 0))


def state_of(pid):
    """R, S, D, T, Z as the kernel has it; None: no such process."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return None


def is_gone(pid):
    return state_of(pid) in (None, "Z")


def wait_frozen(pids):
    """A signal takes effect when its process is next on a processor."""
    wait_for(lambda: all(state_of(pid) in ("T", "Z", None) for pid in pids), "processes that stand still", 10)
    assert any(state_of(pid) == "T" for pid in pids), "nothing was frozen"


def freeze(pids):
    signal_all(pids, signal.SIGSTOP)
    wait_frozen(pids)


def kill(pids):
    assert pids and not all(is_gone(pid) for pid in pids), "there was nothing to kill"
    signal_all(pids, signal.SIGKILL)
    wait_for(lambda: all(is_gone(pid) for pid in pids), "end of what was killed", 10)


class Scene:
    """The whole set-up: a Patroni cluster and the nodes on it."""

    def __init__(self, cluster, nodes):
        self.cluster, self.nodes = cluster, nodes

    def is_whole(self):
        return (all(etcd.process.poll() is None and etcd.is_healthy() for etcd in self.cluster.etcds)
                and self.cluster.is_whole()
                and all(node.process is not None and node.admin("GET", "/health/ready", quiet=True)[0] == 200
                        for node in self.nodes.members))

    def wait_until_whole(self):
        def tried():
            try:
                return self.is_whole()
            except AssertionError:  # psql, while a server starts
                return None
        return wait_for(tried, "cluster that is whole again", 120)


class Fault:
    """name is what is told; holds is how long it should last at least."""
    group = ""

    def __init__(self, scene, rolls):
        self.scene, self.random = scene, rolls
        self.name = type(self).__name__
        self.choose()

    def pick(self, parts):
        return self.random.choice(parts)

    def choose(self):
        raise NotImplementedError

    def seconds(self):
        """Short pauses matter as much as long ones: a lease is two seconds."""
        return self.random.uniform(1, 20) if SECONDS else self.random.choice([1, 2, 3, 5])

    def begin(self):
        raise NotImplementedError

    def end(self):
        raise NotImplementedError


class OnNode(Fault):
    group = "node"

    def choose(self):
        self.node = self.pick(self.scene.nodes.members)
        self.what = f"node {self.scene.nodes.members.index(self.node) + 1}"
        self.holds = self.seconds()

    def has_no_answer(self):
        try:
            connection = self.node.connection(timeout=0.3)
            connection.request("GET", "/health/live")
            connection.getresponse()
            return False
        except OSError:
            return True


class NodeKilled(OnNode):
    def begin(self):
        pid = self.node.process.pid
        self.node.kill()
        assert is_gone(pid) and self.has_no_answer()
        self.name = f"SIGKILL of {self.what}"

    def end(self):
        self.node.start()


class NodeFrozen(OnNode):
    def begin(self):
        freeze([self.node.process.pid])
        assert self.has_no_answer()
        self.name = f"SIGSTOP of {self.what} for {self.holds:.0f} s"

    def end(self):
        assert state_of(self.node.process.pid) == "T", "it has not stood still all the time"
        self.node.process.send_signal(signal.SIGCONT)
        self.node.wait_until("ready")


class NodeRestarted(OnNode):
    def choose(self):
        super().choose()
        self.holds = 0

    def begin(self):
        before = self.node.process.pid
        code = self.node.stop()
        assert code == 0, f"it ended with {code}"
        self.node.start()
        assert self.node.process.pid != before
        self.name = f"restart of {self.what}"

    def end(self):
        self.node.wait_until("ready")


class OnDatabase(Fault):
    """A host of the database: Patroni and PostgreSQL together."""
    group = "database"
    of_primary = False

    def choose(self):
        primary = wait_for(self.scene.cluster.primary, "primary", 60)
        standbys = [member for member in self.scene.cluster.members if member is not primary]
        self.member = primary if self.of_primary else self.pick(standbys)
        self.what = f"{'primary' if self.of_primary else 'standby'} {self.member.name}"
        self.holds = self.seconds()

    def wait_for_another(self):
        """The fault is seen by the cluster, too."""
        wait_for(lambda: self.scene.cluster.primary() not in (None, self.member), "new primary", 60)

    def reset(self):
        """
        What the watchdog does to a machine whose Patroni stood still for too long. Without one Patroni 3.0 may wake up, take the
        lock back for its old timeline, and undo what the new primary has acknowledged (patroni pull request 2787).
        """
        self.member.kill()
        self.member.start()


class PrimaryKilled(OnDatabase):
    of_primary = True

    def begin(self):
        pids = self.member.pids()
        self.member.kill()
        wait_for(lambda: all(is_gone(pid) for pid in pids), "end of what was killed", 10)
        self.wait_for_another()
        self.name = f"SIGKILL of {self.what}, another leads"

    def end(self):
        self.member.start()


class PrimaryFrozen(OnDatabase):
    """Long enough for another to be elected, or, as often, too short for it."""
    of_primary = True

    def begin(self):
        self.member.freeze()
        wait_frozen(self.member.frozen)
        self.long = self.random.random() < 0.5
        self.holds = min(self.holds, self.scene.cluster.ttl / 2)
        if self.long:
            self.wait_for_another()
        self.name = f"SIGSTOP of {self.what}" + (", another leads" if self.long else f" for {self.holds:.0f} s")

    def end(self):
        if self.long:
            self.reset()
        else:
            self.member.thaw()


class StandbyKilled(OnDatabase):
    def begin(self):
        pids = self.member.pids()
        self.member.kill()
        wait_for(lambda: all(is_gone(pid) for pid in pids), "end of what was killed", 10)
        self.name = f"SIGKILL of {self.what}"

    def end(self):
        self.member.start()


class StandbyFrozen(OnDatabase):
    def begin(self):
        self.member.freeze()
        wait_frozen(self.member.frozen)
        self.name = f"SIGSTOP of {self.what} for {self.holds:.0f} s"

    def end(self):
        self.member.thaw()


class DatabaseRestarted(OnDatabase):
    """The primary's server alone: Patroni starts it again, or another leads."""
    of_primary = True

    def begin(self):
        server = int((self.member.data / "postmaster.pid").read_text().split()[0])
        os.kill(server, signal.SIGINT)  # PostgreSQL's fast shutdown
        wait_for(lambda: is_gone(server), "end of the server", 30)
        self.name = f"restart of the server of {self.what}"

    def end(self):
        wait_for(self.scene.cluster.primary, "primary", 60)


class PatroniKilled(OnDatabase):
    """PostgreSQL goes on without the one that keeps it; of the primary, another leads meanwhile."""

    def choose(self):
        self.of_primary = self.random.random() < 0.5
        super().choose()

    def begin(self):
        server = int((self.member.data / "postmaster.pid").read_text().split()[0])
        self.member.process.kill()
        self.member.process.wait()
        assert not is_gone(server), "the server has ended with Patroni"
        if self.of_primary:
            self.wait_for_another()
        self.name = f"SIGKILL of Patroni of {self.what}" + (", another leads beside it" if self.of_primary else "")

    def end(self):
        self.member.start()


class PatroniFrozen(PatroniKilled):
    def begin(self):
        self.pids = [self.member.process.pid]
        freeze(self.pids)
        if self.of_primary:
            self.wait_for_another()
        self.name = f"SIGSTOP of Patroni of {self.what}" + (", another leads beside it" if self.of_primary else "")

    def end(self):
        if self.of_primary:
            self.reset()
        else:
            signal_all(self.pids, signal.SIGCONT)


class OnEtcd(Fault):
    group = "etcd"

    def choose(self):
        self.etcd = self.pick(self.scene.cluster.etcds)
        self.holds = self.seconds()


class EtcdKilled(OnEtcd):
    def begin(self):
        kill(self.etcd.pids())
        self.etcd.process.wait()
        self.name = f"SIGKILL of etcd {self.etcd.name}"

    def end(self):
        self.etcd.start(self.scene.cluster.etcds)
        wait_for(self.etcd.is_healthy, "etcd that is back", 60)


class EtcdFrozen(OnEtcd):
    def begin(self):
        freeze(self.etcd.pids())
        self.name = f"SIGSTOP of etcd {self.etcd.name} for {self.holds:.0f} s"

    def end(self):
        signal_all(self.etcd.pids(), signal.SIGCONT)
        wait_for(self.etcd.is_healthy, "etcd that is back", 60)


ALL = (NodeKilled, NodeFrozen, NodeRestarted, PrimaryKilled, PrimaryFrozen, StandbyKilled, StandbyFrozen, DatabaseRestarted,
       PatroniKilled, PatroniFrozen, EtcdKilled, EtcdFrozen)
# What a short run does, so that each kind of part is broken.
FEW = (NodeKilled, StandbyFrozen, PrimaryKilled, EtcdKilled, NodeFrozen)


def say(text):
    print(f"  {time.monotonic() - say.began:7.1f} s  {text}", flush=True)


say.began = time.monotonic()


def inflict(scene, rolls, kinds):
    """One fault, or two of different groups at once; gives their names."""
    faults = []
    for kind in kinds:
        fault = kind(scene, rolls)
        fault.begin()
        say(fault.name)
        faults.append(fault)
    time.sleep(max(fault.holds for fault in faults))
    for fault in faults:
        fault.end()
    scene.wait_until_whole()
    return [fault.name for fault in faults]


def break_things(scene, load, rolls, kinds, few):
    """For SECONDS all kinds, or each of the few once, in random order; gives what has happened."""
    done = []
    end = time.monotonic() + SECONDS
    for these in pairs(rolls, kinds) if SECONDS else [(kind,) for kind in rolls.sample(few, len(few))]:
        done += inflict(scene, rolls, these)
        load.go_on()
        if not load.is_alive() or (SECONDS and time.monotonic() > end):
            break
    return done


def pairs(rolls, of):
    """For ever: every kind once in random order, then again; now and then two at once."""
    while True:
        kinds = list(of)
        rolls.shuffle(kinds)
        while kinds:
            first = kinds.pop()
            others = [kind for kind in kinds if kind.group != first.group]
            if others and rolls.random() < 0.3:
                second = rolls.choice(others)
                kinds.remove(second)
                yield first, second
            else:
                yield (first,)
