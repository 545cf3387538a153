#!/usr/bin/env python3
"""
The primary, or the standby that commits wait for, dies or freezes under eight writers: nothing that was acknowledged is lost,
nothing is applied twice, the counter of the survivor has no gap, and the pause is measured beside that of bare libpq.
"""
import os
import pathlib
import re
import statistics
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import patroni  # noqa: E402
import postgres  # noqa: E402

THREADS = 8
ROUNDS = 10 if os.environ.get("HOLDFAST_LONG") else 1
BUILD = pathlib.Path(os.environ["HOLDFAST_BUILD"]) / "tests/cluster"
ACK = re.compile(r"^ack (\d+)(?: (\d+) (\d+) (\d+)( repeated)?)?$")


class Load:
    """A program that prints a line for each acknowledged write."""

    def __init__(self, base, name, *arguments):
        self.log = base / f"{name}.out"
        self.errors = base / f"{name}.err"
        with open(self.log, "wb") as out, open(self.errors, "wb") as errors:
            self.process = subprocess.Popen([str(BUILD / name), *map(str, arguments)], stdout=out,
                                            stderr=errors, stdin=subprocess.PIPE)

    def acks(self):
        """Milliseconds, thread, number, seq of each acknowledged write."""
        found = [ACK.match(line) for line in self.log.read_text().splitlines()]
        return [tuple(int(part or 0) for part in match.groups()[:4]) for match in found if match]

    def end(self):
        self.process.communicate(b"end\n", timeout=90)
        return self.process.returncode

    def pause_ms(self):
        times = sorted(ack[0] for ack in self.acks())
        return max(after - before for before, after in zip(times, times[1:]))


def under_load(cluster, how, has_happened):
    """Breaks something while both write, and waits until both go on after it has happened."""
    cluster.primary().sql("CREATE TABLE IF NOT EXISTS bare (n bigint)")
    ours = Load(cluster.base, "load", 300, THREADS, *cluster.conninfos())
    bare = Load(cluster.base, "bare", 300, *cluster.conninfos())
    try:
        postgres.wait_for(lambda: len(ours.acks()) > 300 and len(bare.acks()) > 30, "load")
        how()
        broken = len(ours.acks()), len(bare.acks())
        postgres.wait_for(has_happened, "what the fault leads to", 60)
        # A few acknowledgements may still be on their way, so it takes more to say that it goes on.
        postgres.wait_for(lambda: len(ours.acks()) > broken[0] + 300 and
                          len(bare.acks()) > broken[1] + 30, "writes after the fault", 60)
    finally:
        status = ours.end()
        bare.process.terminate()
        bare.process.wait()
    assert status == 0, f"writers failed:\n{ours.log.read_text()[-3000:]}"
    return ours, bare


def break_primary(cluster, how):
    primary = cluster.primary()
    ours, bare = under_load(cluster, lambda: how(primary), lambda: cluster.primary() not in (None, primary))
    assert bare.pause_ms() > 500, "the fault has not happened"
    return ours, bare


def check_survivor(cluster, ours):
    """What was acknowledged is there, at its number, once."""
    survivor = cluster.primary()
    rows = survivor.sql("SELECT encode(path, 'escape') || ' ' || seq || ' ' || revision FROM record")
    stored = {}
    for row in rows.splitlines():
        path, seq, revision = row.split(" ")
        assert revision == "1", f"{path} was applied twice"
        stored[path] = int(seq)
    acks = ours.acks()
    for _, thread, number, seq in acks:
        path = f"load/{thread}/{number}"
        assert stored.get(path) == seq, f"{path} was acknowledged as {seq}: {stored.get(path)}"
    counts = survivor.sql("SELECT seq, (SELECT count(*) FROM batch), (SELECT max(seq) FROM batch),"
                          " (SELECT count(*) FROM request), (SELECT count(*) FROM record),"
                          " (SELECT count(DISTINCT seq) FROM record) FROM state").split("|")
    assert len(set(counts)) == 1, f"a gap, or something twice: {counts}"
    return len(acks)


def ambiguous(ours):
    return int(re.search(r"ambiguous_commits_total (\d+)", ours.log.read_text()).group(1))


# --- the faults: each gives the pauses of writes in milliseconds, ours and those of bare libpq ---

def the_primary_is_killed(cluster):
    ours, bare = break_primary(cluster, lambda primary: primary.kill())
    count = check_survivor(cluster, ours)
    print(f"  {count} writes acknowledged, none lost, none twice; ambiguous commits {ambiguous(ours)}", flush=True)
    return ours.pause_ms(), bare.pause_ms()


def the_primary_is_frozen(cluster):
    frozen = cluster.primary()
    ours, bare = break_primary(cluster, lambda primary: primary.freeze())
    count = check_survivor(cluster, ours)
    # What the watchdog does to a machine that stood still: without one Patroni 3.0 may wake up and take the lock back.
    frozen.kill()
    frozen.start()
    postgres.wait_for(lambda: frozen.role() == "replica", "return of the old primary", 60)
    assert check_survivor(cluster, ours) == count
    return ours.pause_ms(), bare.pause_ms()


def awaited_standby(cluster):
    """The one that commits wait for."""
    def name():
        return cluster.primary().sql("SELECT application_name FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum')")
    postgres.wait_for(lambda: name() != "", "a synchronous standby", 60)
    return next(member for member in cluster.members if member.name == name().splitlines()[0])


def break_standby(cluster, how):
    primary = cluster.primary()
    standby = awaited_standby(cluster)
    ours, bare = under_load(cluster, lambda: how(standby), lambda: awaited_standby(cluster) is not standby)
    assert cluster.primary() is primary, "a standby was broken, and the primary has changed"
    check_survivor(cluster, ours)
    return ours.pause_ms(), bare.pause_ms()


def the_standby_is_killed(cluster):
    return break_standby(cluster, lambda standby: standby.kill())


def the_standby_is_frozen(cluster):
    return break_standby(cluster, lambda standby: standby.freeze())


def rounds(fault):
    """Each on a cluster of its own; the limit is said beside what was measured, and nothing is asserted of times."""
    pauses = []
    for _ in range(ROUNDS):
        with patroni.Cluster() as cluster:
            cluster.start()
            pauses.append(fault(cluster))
            ttl = cluster.ttl
    ours, bare = zip(*pauses)
    ratios = [one / other for one, other in pauses]
    print(f"{fault.__name__.replace('_', ' ')}, {ROUNDS} times: writes pause {statistics.median(ours) / 1000:.1f} s, "
          f"{max(ours) / 1000:.1f} s at worst; bare libpq {statistics.median(bare) / 1000:.1f} s, {max(bare) / 1000:.1f} s; "
          f"{statistics.median(ratios):.2f} times, {max(ratios):.2f} at worst (limit 1.2); ttl {ttl} s, loop_wait 1 s, "
          f"wal_sender_timeout 5 s", flush=True)


if __name__ == "__main__":
    lacking = patroni.missing()
    if lacking is not None:
        print(f"skipped: {lacking} is not installed; see tests/deps")
        sys.exit(77)
    for one in (the_primary_is_killed, the_primary_is_frozen, the_standby_is_killed):
        rounds(one)
    if ROUNDS > 1:
        rounds(the_standby_is_frozen)
