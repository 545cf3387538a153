"""Looks for plaintext keys where they must not be: what a node leaves in files, in memory and in its environment."""
import base64
import os
import pathlib

from kms import b64, unb64


def forms(secret):
    """Raw, hex in both cases, and base64 in both alphabets at the three alignments."""
    found = [secret, secret.hex().encode(), secret.hex().upper().encode()]
    for shift in range(3):
        text = base64.b64encode(bytes(shift) + secret)
        # Only what depends on the secret alone: the edges mix with what stands beside it.
        core = text[(4 if shift else 0):(len(text) - 4)]
        found += [core, core.replace(b"+", b"-").replace(b"/", b"_")]
    return found


def where(secret, places):
    return [f"{name}" for name, content in places.items() for form in forms(secret) if form in content]


def read_tree(directory, leave_out=()):
    return {str(path): path.read_bytes() for path in pathlib.Path(directory).rglob("*")
            if path.is_file() and not any(part in path.parts for part in leave_out)}


def core_of(node):
    """
    All memory of the process that root can read through a debugger's door, whatever the process says about dumps. Secret
    memory refuses (memfd_secret), and is counted.
    """
    pid = node.process.pid
    content, refused = [], 0
    with open(f"/proc/{pid}/maps", encoding="ascii") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in maps:
            span, rights = line.split()[:2]
            start, end = (int(part, 16) for part in span.split("-"))
            if not rights.startswith("rw"):
                continue  # code and constants of files: nothing is ever written there
            try:
                memory.seek(start)
                piece = memory.read(end - start)
                # Most of a stack is zeroes that were never touched: searching them takes all the time.
                pages = (piece[at:at + 4096] for at in range(0, len(piece), 4096))
                content += [page for page in pages if page.count(0) != len(page)]
            except (OSError, ValueError):
                refused += "secretmem" in line
    return b"".join(content), refused


def make_keys(node, kms):
    """Keys of every origin and data keys, all of which the caller sees: name -> plaintext. Material must be exportable."""
    secrets = {}
    for i in range(6):
        name = f"key-{i}"
        given = os.urandom(32)
        secrets[f"{name} imported"] = given
        kms.create(name, length=256, material=b64(given))
        secrets[f"{name} made"] = unb64(kms.roll(name)["material"])
        for edek in kms.generate(name, 3):
            secrets[f"data key of {name}"] = kms.decrypt(edek)
        kms.batch(name, kms.generate(name, 5))
    # A node on a shared store opens by the key pair that it joins by.
    for file in (node.dir / "secrets").glob("node*.key"):
        secrets[file.name] = bytes.fromhex(file.read_text().split()[-1])
    assert any(name.startswith("node") for name in secrets), "the node opens by itself"
    secrets["offline passphrase"] = (node.dir / "offline/passphrase").read_bytes().strip()
    return secrets


def places_of(node):
    """
    What a node has in memory while it serves, and in its files once it is stopped: name -> content. Keys of the hierarchy
    that lie in D/secrets and D/offline are looked for everywhere but in their own place.
    """
    core, refused = core_of(node)
    places = {"core": core,
              "environment": pathlib.Path(f"/proc/{node.process.pid}/environ").read_bytes(),
              "command line": pathlib.Path(f"/proc/{node.process.pid}/cmdline").read_bytes()}
    assert b"hadoop" in core, "the core is readable"
    memory = [item["text"] for item in node.run_json("status")["items"] if item["item"] == "memory"]
    assert "hidden from the kernel" not in memory[0] or refused > 0, "secret memory can be read"
    assert node.stop() == 0
    places.update(read_tree(node.dir, leave_out=("secrets", "offline")))
    places["log"] = node.log_text().encode()
    return places


def export_by_policy(node):
    """Has the Hadoop door give material out, so that a test can look for it. Before start()."""
    node.configure('hadoop_keyring = "hadoop"', 'hadoop_keyring = "hadoop"\n    hadoop_export = "acl"')
