"""
Machines for tests, each a network namespace, without root: sites with a bridge each, and wires between the sites that take
time and that can be cut. The kernel's own delay (netem) is not everywhere, so a process carries each frame.
"""
import collections
import contextlib
import ctypes
import fcntl
import os
import pwd
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

import postgres

UNSHARE = ["unshare", "--user", "--map-root-user", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
INSIDE = "HOLDFAST_TEST_NETNS"
NEWNET = 0x40000000
ETHTOOL = 0x8946
# What would leave the sum of a packet, or its cutting, to a device that is not there.
OFFLOADS = {"receive sums": 0x15, "send sums": 0x17, "TCP segments": 0x1F, "segments": 0x24}


def why_not():
    """What keeps this program from having namespaces of its own, or None."""
    tried = subprocess.run([*UNSHARE, "sh", "-c", "ip link add br0 type bridge && ip link add v0 type veth peer name v1"],
                           capture_output=True, text=True, check=False)
    return None if tried.returncode == 0 else f"no user and network namespaces here: {tried.stderr.strip() or 'unshare fails'}"


def enter():
    """Starts this program again in namespaces of its own; ends with 77 where that is not allowed."""
    if os.environ.get(INSIDE):
        postgres.lower_user = lambda: None
        postgres.as_lower = lower
        return
    lacking = why_not()
    if lacking is not None:
        print(f"skipped: {lacking}")
        sys.exit(77)
    # Not the first process: that one has to take the children whose parents have ended, and a shell does.
    os.execvpe("unshare", [*UNSHARE, "sh", "-c", '"$@"; exit $?', "sh", sys.executable, *sys.argv], {**os.environ, INSIDE: "1"})


def lower(command):
    """PostgreSQL refuses root, which we are in here: as the user it knows by name, where the machine has one."""
    users = [user.pw_uid for user in pwd.getpwall() if user.pw_name == "postgres"]
    return ["unshare", "--user", f"--map-user={(users or [1000])[0]}", "--", *command]


def ip(*words):
    subprocess.run(["ip", *map(str, words)], check=True)


class Machine:
    """A network namespace with one address; programs are started in it, and threads may go there."""

    def __init__(self, name, bridge, address):
        self.name = name
        self.address = address
        self.holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"], stdin=subprocess.DEVNULL)
        self.file = f"/proc/{self.holder.pid}/ns/net"
        postgres.wait_for(lambda: os.readlink(self.file) != os.readlink("/proc/self/ns/net"), "namespace", 10)
        ip("link", "add", f"m-{name}", "type", "veth", "peer", "name", "eth0", "netns", self.holder.pid)
        ip("link", "set", f"m-{name}", "master", bridge, "up")
        self.run("ip", "link", "set", "lo", "up")
        self.run("ip", "address", "add", f"{address}/24", "dev", "eth0")
        self.run("ip", "link", "set", "eth0", "up")
        self.inside(switch_off_offloads, "eth0")

    def prefix(self):
        return ["nsenter", f"--net={self.file}", "--"]

    def run(self, *command):
        return subprocess.run([*self.prefix(), *map(str, command)], check=True, capture_output=True, text=True).stdout

    def start(self, command, log, **more):
        """A program as somebody else than root."""
        with open(log, "ab") as out:
            return subprocess.Popen([*self.prefix(), *lower(list(map(str, command)))], stdout=out, stderr=subprocess.STDOUT,
                                    stdin=subprocess.DEVNULL, cwd="/", **more)

    def enter_thread(self):
        """The calling thread opens its connections here from now on."""
        with open(self.file, "rb") as file:
            move_thread(file)

    @contextlib.contextmanager
    def entered(self):
        """What the calling thread opens meanwhile, it opens here."""
        with open("/proc/thread-self/ns/net", "rb") as back:
            self.enter_thread()
            try:
                yield
            finally:
                move_thread(back)

    def cut(self):
        """Off from all others."""
        ip("link", "set", f"m-{self.name}", "down")

    def heal(self):
        ip("link", "set", f"m-{self.name}", "up")

    def inside(self, call, *arguments):
        """What the call gives when it is made here."""
        result = []

        def run():
            try:
                self.enter_thread()
                result.append((True, call(*arguments)))
            except BaseException as error:  # pylint: disable=broad-exception-caught
                result.append((False, error))
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        done, value = result[0]
        if not done:
            raise value
        return value

    def reaches(self, other, port):
        def connect():
            try:
                socket.create_connection((other.address, port), 1).close()
                return True
            except OSError:
                return False
        return self.inside(connect)


def move_thread(namespace):
    if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def switch_off_offloads(device):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for command in OFFLOADS.values():
            value = ctypes.create_string_buffer(struct.pack("II", command, 0))
            request = struct.pack("16sP", device.encode(), ctypes.addressof(value))
            try:
                fcntl.ioctl(sock, ETHTOOL, request)
            except OSError:
                pass  # This device never has it.


class Site:
    """A bridge, with a wire to the middle where all sites meet."""

    def __init__(self, name, middle, delay_ms):
        self.name = name
        self.bridge = f"s-{name}"
        ip("link", "add", self.bridge, "type", "bridge")
        ip("link", "set", self.bridge, "up")
        for end, bridge in (("i", self.bridge), ("o", middle)):
            ip("link", "add", f"{end}-{name}", "type", "veth", "peer", "name", f"{end}w-{name}")
            ip("link", "set", f"{end}-{name}", "master", bridge, "up")
            ip("link", "set", f"{end}w-{name}", "up")
        self.wire = subprocess.Popen([sys.executable, __file__, "wire", f"iw-{name}", f"ow-{name}", str(delay_ms)],
                                     stdin=subprocess.DEVNULL)

    def cut(self):
        ip("link", "set", f"i-{self.name}", "down")

    def heal(self):
        ip("link", "set", f"i-{self.name}", "up")


class Network:
    """Sites by name with their machines; use it as a context manager."""

    def __init__(self, delay_ms, sites):
        ip("link", "set", "lo", "up")
        ip("link", "add", "middle", "type", "bridge")
        ip("link", "set", "middle", "up")
        self.sites = {}
        self.machines = {}
        for number, (site, machines) in enumerate(sites.items(), 1):
            self.sites[site] = Site(site, "middle", delay_ms / 2)
            for place, machine in enumerate(machines, 1):
                self.machines[machine] = Machine(machine, f"s-{site}", f"10.77.0.{10 * number + place}")

    def close(self):
        for process in [machine.holder for machine in self.machines.values()] + [site.wire for site in self.sites.values()]:
            process.kill()
            process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()


def carry(one, other, delay):
    """Frames that come in at one end leave at the other so many seconds later."""
    ends = []
    for name in (one, other):
        end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        end.bind((name, 0))
        end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        ends.append(end)
    waiting = collections.deque()
    while True:
        now = time.monotonic()
        while waiting and waiting[0][0] <= now:
            _, end, frame = waiting.popleft()
            try:
                end.send(frame)
            except OSError:
                pass  # That end is cut.
        patience = max(0, waiting[0][0] - now) if waiting else 1
        for end in select.select(ends, [], [], patience)[0]:
            try:
                frame, where = end.recvfrom(1 << 16)
            except OSError:
                continue
            if where[2] != 4:  # What we have sent ourselves shows up, too.
                waiting.append((time.monotonic() + delay, ends[1] if end is ends[0] else ends[0], frame))


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    carry(sys.argv[2], sys.argv[3], float(sys.argv[4]) / 1000)
