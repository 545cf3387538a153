"""PostgreSQL for tests: servers in private directories on loopback, ready in seconds, ended by pid."""
import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest

USER = "holdfast"
DATABASE = "holdfast"


def binaries():
    """The newest PostgreSQL that is installed, or None."""
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/postgres"),
                   key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


def wait_for(condition, what, seconds=60):
    """Polls until the condition gives something; fails loudly when it never does."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"no {what} within {seconds} s")


def free_ports(count):
    """Ports that nobody has just now; all are held until all are known."""
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def lower_user():
    """PostgreSQL refuses root: as root its programs run under this user id, otherwise as we are."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    return None


def as_lower(command):
    user = lower_user()
    if user is None:
        return list(command)
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups",
            "--", *command]


def private_directory(prefix):
    directory = pathlib.Path(tempfile.mkdtemp(prefix=prefix))
    user = lower_user()
    if user is not None:
        os.chown(directory, user.pw_uid, user.pw_gid)
    return directory


def run(command, **more):
    done = subprocess.run(as_lower([str(part) for part in command]), stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, cwd="/", **more)
    if done.returncode != 0:
        raise AssertionError(f"{command[0]} failed:\n{done.stdout}")
    return done.stdout


def start(command, log, **more):
    with open(log, "ab") as out:
        return subprocess.Popen(as_lower([str(part) for part in command]), stdout=out,
                                stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, cwd="/", **more)


def stop(process, how=signal.SIGKILL):
    if process is not None and process.poll() is None:
        process.send_signal(how)
    if process is not None:
        process.wait()


def children(pid):
    """The processes that this one has started, and theirs."""
    found = []
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
        if parent == pid:
            found += [int(stat.parent.name), *children(int(stat.parent.name))]
    return found


def signal_all(pids, how):
    for pid in pids:
        try:
            os.kill(pid, how)
        except ProcessLookupError:
            pass


class Server:
    """One plain PostgreSQL; use it as a context manager."""

    def __init__(self, fsync=False, settings=(), copy_of=None, name="plain"):
        self.base = private_directory("holdfast-pg-")
        self.data = self.base / "data"
        self.log = self.base / "log"
        self.port = free_ports(1)[0]
        self.process = None
        self.name = name
        self.settings = {"fsync": "on" if fsync else "off", "shared_buffers": "16MB",
                         "max_connections": "60", "unix_socket_directories": "",
                         "listen_addresses": "127.0.0.1", "wal_sender_timeout": "5s",
                         "wal_receiver_status_interval": "1s", "wal_retrieve_retry_interval": "500ms",
                         "log_min_messages": "warning", **dict(settings)}
        if copy_of is None:
            run([binaries() / "initdb", "-D", self.data, "-U", USER, "-A", "trust", "--no-sync",
                 "-E", "UTF8", "--no-locale", "--data-checksums"])
        else:
            copy_of.copy_to(self)

    def copy_to(self, other):
        """Makes the other one a standby of this one."""
        conninfo = f"host=127.0.0.1 port={self.port} user={USER} application_name={other.name}"
        run([binaries() / "pg_basebackup", "-D", other.data, "-d", conninfo, "-c", "fast",
             "--no-sync", "-R", "-X", "stream"])

    def conninfo(self, database=DATABASE):
        return f"host=127.0.0.1 port={self.port} user={USER} dbname={database}"

    def start(self):
        options = [part for name, value in {**self.settings, "port": self.port}.items()
                   for part in ("-c", f"{name}={value}")]
        self.process = start([binaries() / "postgres", "-D", self.data, *options], self.log)
        wait_for(self.answers, f"answer of PostgreSQL ({self.log.read_text()})")
        return self

    def answers(self):
        if self.process.poll() is not None:
            raise AssertionError(f"PostgreSQL ended:\n{self.log.read_text()}")
        return subprocess.run([str(binaries() / "pg_isready"), "-q", "-h", "127.0.0.1", "-p",
                               str(self.port)], check=False).returncode == 0

    def sql(self, text, database=DATABASE):
        return run([binaries() / "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d",
                    self.conninfo(database), "-c", text]).strip()

    def make_database(self):
        self.sql(f"CREATE DATABASE {DATABASE}", "postgres")

    def pids(self):
        return [self.process.pid, *children(self.process.pid)]

    def kill(self):
        """The machine is gone: the server and all its children at once."""
        signal_all(self.pids(), signal.SIGKILL)
        self.process.wait()
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def freeze(self):
        signal_all(self.pids(), signal.SIGSTOP)

    def thaw(self):
        signal_all(self.pids(), signal.SIGCONT)

    def close(self):
        if self.process is not None and self.process.poll() is None:
            self.thaw()
            self.kill()
        shutil.rmtree(self.base, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()


class ServerCase(unittest.TestCase):
    """Test cases on one server of their own."""

    fsync = False

    @classmethod
    def setUpClass(cls):
        cls.server = Server(fsync=cls.fsync).start()
        cls.addClassCleanup(cls.server.close)


class DatabaseCase(ServerCase):
    """The same, and each of them begins with an empty database."""

    def setUp(self):
        self.server.make_database()
        self.addCleanup(self.server.sql, f"DROP DATABASE {DATABASE} WITH (FORCE)", "postgres")
