#!/usr/bin/env python3
"""
The primary dies, or freezes, under eight writers: nothing that was acknowledged is lost, nothing is
applied twice, the counter of the survivor has no gap, and the pause is that of bare libpq.
"""
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import patroni  # noqa: E402
import postgres  # noqa: E402

THREADS = 8
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


def break_primary(cluster, how):
    """Loads the cluster, breaks its primary, and waits until writes go on."""
    primary = cluster.primary()
    primary.sql("CREATE TABLE IF NOT EXISTS bare (n bigint)")
    ours = Load(cluster.base, "load", 300, THREADS, *cluster.conninfos())
    bare = Load(cluster.base, "bare", 300, *cluster.conninfos())
    try:
        postgres.wait_for(lambda: len(ours.acks()) > 300 and len(bare.acks()) > 30, "load")
        how(primary)
        broken = len(ours.acks()), len(bare.acks())
        # A few acknowledgements may still be on their way, so it takes more to say that it goes on.
        postgres.wait_for(lambda: cluster.primary() not in (None, primary), "new primary", 60)
        postgres.wait_for(lambda: len(ours.acks()) > broken[0] + 300 and
                          len(bare.acks()) > broken[1] + 30, "writes after the failover", 60)
    finally:
        status = ours.end()
        bare.process.terminate()
        bare.process.wait()
    assert status == 0, f"writers failed:\n{ours.log.read_text()[-3000:]}"
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


def report(name, cluster, ours, bare, count):
    ambiguous = re.search(r"ambiguous_commits_total (\d+)", ours.log.read_text()).group(1)
    print(f"{name}: {count} writes acknowledged, none lost, none twice; pause "
          f"{ours.pause_ms()} ms, bare libpq {bare.pause_ms()} ms "
          f"({ours.pause_ms() / bare.pause_ms():.2f} times), ambiguous commits {ambiguous}; "
          f"ttl {cluster.ttl} s, ready in {cluster.ready_in:.1f} s", flush=True)


def the_primary_is_killed():
    with patroni.Cluster() as cluster:
        cluster.start()
        ours, bare = break_primary(cluster, lambda primary: primary.kill())
        report("primary killed", cluster, ours, bare, check_survivor(cluster, ours))


def the_primary_is_frozen():
    with patroni.Cluster() as cluster:
        cluster.start()
        frozen = cluster.primary()
        ours, bare = break_primary(cluster, lambda primary: primary.freeze())
        count = check_survivor(cluster, ours)
        # What the watchdog does to a machine that stood still: without one Patroni 3.0 may wake up and take the lock back.
        frozen.kill()
        frozen.start()
        postgres.wait_for(lambda: frozen.role() == "replica", "return of the old primary", 60)
        assert check_survivor(cluster, ours) == count
        report("primary frozen", cluster, ours, bare, count)


if __name__ == "__main__":
    lacking = patroni.missing()
    if lacking is not None:
        print(f"skipped: {lacking} is not installed; see tests/deps")
        sys.exit(77)
    the_primary_is_killed()
    the_primary_is_frozen()
