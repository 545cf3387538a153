#!/usr/bin/env python3
"""
What three nodes on three database hosts do, beside what the same machine does without them. One line per figure: name, value,
unit, ratio, what it is a ratio to, limit, target. Nothing is asserted: machines are shared and noisy; where two cores serve
all, only the ratio by processor time says something on three machines.

    tests/cluster/measure.py [ROUNDS] [SECONDS]
"""
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.setdefault("HOLDFAST_BUILD", str(ROOT / "build-release")))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import patroni  # noqa: E402
from nodes import Kms, Nodes  # noqa: E402
from kms import b64, unb64  # noqa: E402
from node import Node  # noqa: E402

OTHER = "measured"  # what the programs beside this one write into: never the nodes' own store
ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 5
SECONDS = int(sys.argv[2]) if len(sys.argv) > 2 else 3


def show(name, value, unit, ratio, to, limit="-", target="-"):
    print(f"{name:<44} {value:>10,.1f} {unit:<10} {ratio:>7.2f} {to:<40} limit {limit:<5} target {target}", flush=True)


def processor_time(pid):
    """Seconds that all threads of this process have run."""
    return sum(int(file.read_text().split()[0]) for file in pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


def start_wrk(node, path, script, connections):
    command = ["wrk", "-t1", f"-c{connections}", f"-d{SECONDS}s", "--latency", "-s", str(script),
               f"https://127.0.0.1:{node.port}{path}"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def requests_of(process):
    """How many were answered, and the whole output."""
    out = process.communicate()[0]
    if process.returncode or "Non-2xx" in out or "Socket errors" in out:
        raise SystemExit(f"wrk: {out}")
    return int(re.search(r"(\d+) requests in", out)[1]), out


def milliseconds(out, percent):
    value, unit = re.search(rf"{percent}%\s+([\d.]+)(us|ms|s)", out).groups()
    return float(value) * {"us": 0.001, "ms": 1, "s": 1000}[unit]


def write_script(node, name, method, cookie, body="", counter=None):
    file = node.base / f"{name}.lua"
    text = (f'wrk.method = "{method}"\nwrk.headers["Cookie"] = [[hadoop.auth={cookie}]]\n'
            f'wrk.headers["Content-Type"] = "application/json"\nwrk.body = [==[{body}]==]\n')
    if counter:
        text += ('local n = 0\nfunction request()\n  n = n + 1\n'
                 f'  return wrk.format(nil, nil, nil, string.format([[{counter}]], n))\nend\n')
    file.write_text(text)
    return file


def opening(nodes, key):
    """Requests that are answered for a second of processor time of the nodes, and for a second, all nodes together."""
    loads = []
    for node in nodes:
        kms = Kms(node)
        edek = kms.generate(key)[0]
        body = json.dumps({"name": key, "iv": b64(unb64(edek["iv"])),
                           "material": b64(unb64(edek["encryptedKeyVersion"]["material"]))})
        script = write_script(node, "open", "POST", kms.cookie, body)
        kms.close()
        loads.append((node, f"/kms/v1/keyversion/{edek['versionName'].replace('@', '%40')}/_eek?eek_op=decrypt", script))
    # One after the other, as if each had a machine: side by side on two cores they would take each other's caches.
    done = used = 0
    for node, path, script in loads:
        before = processor_time(node.process.pid)
        done += requests_of(start_wrk(node, path, script, 32))[0]
        used += processor_time(node.process.pid) - before
    return done / used, done / SECONDS


def creating(node, callers):
    kms = Kms(node)
    kms.handshake()
    stamp = f"{time.monotonic_ns():x}"
    script = write_script(node, "create", "POST", kms.cookie, counter='{"name":"m-%s-%%d","length":256}' % stamp)
    kms.close()
    done, out = requests_of(start_wrk(node, "/kms/v1/keys", script, callers))
    return done / SECONDS, milliseconds(out, 50), milliseconds(out, 99)


def commits(cluster, program, *arguments):
    """Acknowledged commits a second of one of the programs beside this file."""
    log = cluster.base / f"{program}.measured"
    with open(log, "wb") as out:
        process = subprocess.Popen([str(BUILD / "tests/cluster" / program), "300", *arguments,
                                    *(member.conninfo(OTHER) for member in cluster.members)],
                                   stdout=out, stderr=subprocess.DEVNULL, stdin=subprocess.PIPE)
    time.sleep(1)  # connections are made
    first = log.read_text().count("ack ")
    time.sleep(SECONDS)
    last = log.read_text().count("ack ")
    process.terminate()
    process.wait()
    return (last - first) / SECONDS


def median(rows):
    return [statistics.median(column) for column in zip(*rows)]


def main():
    lacking = patroni.missing()
    if lacking is not None:
        sys.exit(f"{lacking} is missing: make deps")
    cpu = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())[1]
    print(f"{cpu}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; median of {ROUNDS} rounds of {SECONDS} s")
    with patroni.Cluster() as cluster, Node() as alone:
        cluster.start()
        cluster.primary().sql(f"CREATE DATABASE {OTHER}", "postgres")
        cluster.primary().sql("CREATE TABLE bare (n bigint)", OTHER)
        alone.start()
        Kms(alone).create("bench", length=256)
        with Nodes(3, [member.port for member in cluster.members], synchronous=1) as nodes:
            Kms(nodes[0]).create("bench", length=256)
            rows = [(*opening([alone], "bench"), *opening(nodes.members, "bench"), commits(cluster, "bare"),
                     commits(cluster, "load", "64"), *creating(nodes[0], 1), *creating(nodes[0], 64)) for _ in range(ROUNDS)]
    one_cpu, one, three_cpu, three, bare, load, create_1, p50_1, p99_1, create_64, p50_64, p99_64 = median(rows)
    show("opened, one embedded node", one, "req/s", 1, "")
    show("opened, three nodes in turn, added up", three, "req/s", three / one, "of one embedded node")
    show("the same, for a second of processor time", three_cpu, "req/cpu-s", median([(row[2] / row[0],) for row in rows])[0],
         "of one embedded node", "0.90")
    show("embedded node, for a second of it", one_cpu, "req/cpu-s", 1, "")
    show("bare libpq, one connection", bare, "commits/s", 1, "")
    show("writer path, 64 callers, one node", load, "commits/s", median([(row[5] / row[4],) for row in rows])[0],
         "of bare libpq", "5", "15")
    show("create in force on three nodes, 1 caller", create_1, "keys/s", create_1 / bare, "of bare libpq")
    show("  p50", p50_1, "ms", p50_1 * bare / 1000, "of one bare commit")
    show("  p99", p99_1, "ms", p99_1 * bare / 1000, "of one bare commit")
    show("create in force on three nodes, 64 callers", create_64, "keys/s", median([(row[9] / row[4],) for row in rows])[0],
         "of bare libpq", "1", "3")
    show("  p50", p50_64, "ms", p50_64 * bare / 1000, "of one bare commit")
    show("  p99", p99_64, "ms", p99_64 * bare / 1000, "of one bare commit")


main()
