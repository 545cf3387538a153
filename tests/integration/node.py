"""One Holdfast node in a private directory, as the integration tests drive it."""
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time

BUILD = pathlib.Path(os.environ.get("HOLDFAST_BUILD", pathlib.Path(__file__).resolve().parents[2] / "build-release"))
DAEMON = BUILD / "src/daemon/holdfastd"
PROGRAM = BUILD / "src/cli/holdfast"


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout=30):
        super().__init__("holdfast", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


def wait_for(condition, what, seconds=30):
    """Polls until the condition gives something; fails loudly when it never does."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"no {what} within {seconds} s")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Node:
    """
    Node() makes a directory with holdfast init; start() serves it; use it as a context manager.
    """

    def __init__(self, *init_options, grants=True, prefix=()):
        self.base = pathlib.Path(tempfile.mkdtemp(prefix="holdfast-test-"))
        self.dir = self.base / "node"
        self.port = free_port()
        self.process = None
        self.prefix = list(prefix)
        self.grants = grants
        self.made = self.run("init", "--listen-hadoop", f"127.0.0.1:{self.port}", "--hadoop-pseudo",
                             "--main-key-bits", "2048", *init_options)
        self.log = open(self.base / "log", "ab")
        self.tls = ssl.create_default_context(cafile=str(self.dir / "ca.crt"))

    # --- a second person ---

    def add_second(self, port):
        """
        A second administrator, cert:second, who is another person than the one who ran init: his certificate comes from
        an authority of its own. Before start(); then second_joins().
        """
        self.second_dir = self.base / "second"
        secrets = self.second_dir / "secrets"
        secrets.mkdir(parents=True, mode=0o700)
        self.second_server = f"https://127.0.0.1:{port}"

        def openssl(*words):
            subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)
        curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
        openssl("req", "-x509", *curve, "-subj", "/CN=second authority", "-days", 30, "-keyout", self.second_dir / "ca.key",
                "-out", self.second_dir / "own-ca.crt")
        openssl("req", *curve, "-subj", "/CN=second", "-keyout", secrets / "admin.key", "-out", self.second_dir / "csr")
        openssl("x509", "-req", "-in", self.second_dir / "csr", "-CA", self.second_dir / "own-ca.crt",
                "-CAkey", self.second_dir / "ca.key", "-CAcreateserial", "-days", 30, "-out", secrets / "admin.crt")
        shutil.copy(self.dir / "ca.crt", self.second_dir / "ca.crt")
        with open(self.dir / "ca.crt", "a") as trusted:
            trusted.write((self.second_dir / "own-ca.crt").read_text())

    def second_joins(self):
        self.run("policy", "grant", "--who", "cert:second", "--role", "operator", "--role", "key-admin")

    def second(self, *words, **more):
        """The holdfast program as the second person uses it."""
        return self.run("--dir", self.second_dir, "--server", self.second_server, *words, **more)

    # --- life ---

    def configure(self, old, new):
        """Replaces text in holdfast.conf; the text must be there."""
        path = self.dir / "holdfast.conf"
        text = path.read_text()
        assert old in text, f"{old!r} is not in {path}"
        path.write_text(text.replace(old, new))

    def spawn(self, *words):
        self.process = subprocess.Popen([*self.prefix, str(DAEMON), "--dir", str(self.dir), *words], stdin=subprocess.DEVNULL,
                                        stdout=self.log, stderr=self.log)

    def start(self, ready=True):
        self.spawn()
        self.wait_until("ready" if ready else "live")
        if self.grants and ready:
            self.grants = False
            self.run("policy", "grant", "--who", "pseudo:alice", "--role", "key-user", "--role", "key-admin",
                     "--action", "key.export")
        return self

    def wait_until(self, state, seconds=60):
        def healthy():
            if self.process.poll() is not None:
                raise AssertionError(f"holdfastd ended with {self.process.returncode}:\n{self.log_text()[-3000:]}")
            return self.admin("GET", f"/health/{state}", quiet=True)[0] == 200
        wait_for(healthy, f"node that is {state}", seconds)

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(60)
        code = self.process.returncode if self.process else 0
        self.process = None
        return code

    def kill(self):
        self.process.kill()
        self.process.wait(60)
        self.process = None

    def close(self):
        """Ends it as an operator would, so that the way out is tried (and counted) in every test too."""
        if self.process:
            try:
                self.stop()
            except subprocess.TimeoutExpired:
                self.kill()
        self.log.close()
        shutil.rmtree(self.base, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def log_text(self):
        self.log.flush()
        return (self.base / "log").read_text(errors="replace")

    def first_drill(self):
        """A new node drills by itself at once; one that is asked for meanwhile would be refused."""
        wait_for(lambda: "nodes answered" in self.log_text(), "end of the first drill")

    # --- talking to it ---

    def run(self, *words, code=0, stdin=None):
        """The holdfast program; gives its standard output."""
        done = subprocess.run([str(PROGRAM), "--dir", str(self.dir), *map(str, words)], input=stdin,
                              capture_output=True, timeout=120)
        if done.returncode != code:
            raise AssertionError(f"holdfast {' '.join(map(str, words))}: exit {done.returncode}, wanted {code}\n"
                                 f"{done.stdout.decode()}{done.stderr.decode()}")
        self.error = done.stderr.decode()
        return done.stdout.decode()

    def run_json(self, *words):
        return json.loads(self.run(*words, "--json"))

    def admin(self, method, path, body=None, headers=None, quiet=False):
        """One call over the unix socket: status and parsed body (or text)."""
        connection = UnixConnection(self.dir / "admin.sock")
        try:
            kind = {} if body is None else {"Content-Type": "application/json"}
            connection.request(method, path, None if body is None else json.dumps(body), {**kind, **(headers or {})})
            answer = connection.getresponse()
            text = answer.read()
            try:
                return answer.status, json.loads(text)
            except ValueError:
                return answer.status, text.decode(errors="replace")
        except OSError:
            if quiet:
                return 0, None
            raise
        finally:
            connection.close()

    def connection(self, timeout=30):
        return http.client.HTTPSConnection("127.0.0.1", self.port, context=self.tls, timeout=timeout)
