"""The two programs called without a node: what they gave, as text."""
import pathlib
import subprocess

from node import DAEMON, PROGRAM

ROOT = pathlib.Path(__file__).resolve().parents[2]


def program(*words, stdin=None, **more):
    return subprocess.run([str(PROGRAM), *map(str, words)], input=stdin, capture_output=True, text=True, timeout=120,
                          **more)


def daemon(*words):
    return subprocess.run([str(DAEMON), *map(str, words)], capture_output=True, text=True, timeout=60,
                          stdin=subprocess.DEVNULL)


def complete(*words):
    """What bash offers after these words."""
    script = ('source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _holdfast\n'
              'printf "%s\\n" "${COMPREPLY[@]}"')
    done = subprocess.run(["bash", "--norc", "-c", script, "bash", str(ROOT / "completion/holdfast.bash"),
                           str(PROGRAM), *map(str, words)], capture_output=True, text=True, timeout=60)
    assert not done.stderr, done.stderr
    return done.stdout.splitlines()
