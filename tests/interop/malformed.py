"""
What the real Hadoop KMS answers to bodies that are no JSON, or not the JSON it wants, beside Holdfast. Holdfast says 400
where the real server says 500 (docs/interop.md); what must agree is that neither does what was asked.
"""
import http.client
import json
import re

from kms_bench import Client, RealKms
from kms import Kms

PARSE = "JsonParseException|JsonEOFException|JsonMappingException|MismatchedInputException"
TYPE = "ClassCastException|MismatchedInputException|NullPointerException|IOException"

# what, body for the key's name, status and class of the real server, status of Holdfast. Without a class: it is done.
OBJECTS = [
    ("an object that is cut", '{"name":"%s"', 500, PARSE, 400),
    ("no JSON", "nonsense", 500, PARSE, 400),
    ("nothing", "", 500, PARSE, 400),
    ("an array", '["name","%s"]', 500, PARSE, 400),
    ("an empty array", "[]", 500, PARSE, 400),
    ("a text", '"%s"', 500, PARSE, 400),
    ("null", "null", 500, TYPE, 400),
    ("a comma too many", '{"name":"%s",}', 500, PARSE, 400),
    ("single quotes", "{'name':'%s'}", 500, PARSE, 400),
    ("a control character", '{"name":"%s\n"}', 500, PARSE, 400),
]
CREATE = OBJECTS + [
    ("no name", "{}", 400, "IllegalArgumentException", 400),
    ("a name that is a number", '{"name":1}', 500, TYPE, 400),
    ("a length that is a text", '{"name":"%s","length":"128"}', 500, TYPE, 400),
    ("attributes that are a number", '{"name":"%s","attributes":1}', 500, TYPE, 400),
    # Holdfast takes nothing that could be read in two ways.
    ("something behind the object", '{"name":"%s"} x', 201, None, 400),
    ("a member twice", '{"name":"%s","name":"%s"}', 201, None, 400),
    # Both skip what they do not know.
    ("a member that is not known", '{"name":"%s","length":128,"other":1}', 201, None, 201),
]
DECRYPT = OBJECTS + [
    ("a name that is a number", '{"name":1,"iv":"AAAA","material":"AAAA"}', 500, TYPE, 400),
    ("no iv", '{"name":"%s"}', 400, "IllegalArgumentException", 400),
]
BATCH = [
    ("an object for an array", "{}", 500, PARSE, 400),
    ("an array that is cut", "[", 500, PARSE, 400),
    ("an entry without its parts", "[{}]", 400, "IllegalArgumentException", 400),
]


def ask(server, cookie, path, body):
    """Status and the exception's class, if the answer is one."""
    wire = server.connection()
    wire.request("POST", path, body, {"Cookie": f"hadoop.auth={cookie}", "Content-Type": "application/json"})
    answer = wire.getresponse()
    text = answer.read()
    wire.close()
    try:
        found = json.loads(text)
    except ValueError:
        return answer.status, None
    return answer.status, found["RemoteException"]["exception"] if "RemoteException" in found else None


def versions_of(client, key):
    return client.metadata(key)["versions"]


def check(node, jars, opens, version):
    """Both servers get each body; gives one line."""
    real = RealKms(jars, opens, node.base / f"kms-malformed-{version}")
    try:
        theirs, ours = Client(real), Kms(node)
        ours.cookie = ours.handshake()
        key = f"malformed-{version}"
        for client in (theirs, ours):
            client.create(key, length=128)
        count = 0
        for path, rows in (("keys", CREATE), (f"key/{key}", OBJECTS), (f"keyversion/{key}%400/_eek?eek_op=decrypt", DECRYPT),
                           (f"keyversion/{key}%400/_eek?eek_op=reencrypt", DECRYPT), (f"key/{key}/_reencryptbatch", BATCH)):
            for says, body, status, kind, own_status in rows:
                count += 1
                body = body.replace("%s", f"m{version}-{count}")
                got = ask(real, theirs.cookie, f"/kms/v1/{path}", body)
                got_kind = got[1] or ""
                assert got[0] == status and re.fullmatch(kind or "", got_kind), f"the real KMS to {says} at {path}: {got}"
                got = ask(node, ours.cookie, f"/kms/v1/{path}", body)
                assert got == (own_status, None if own_status < 300 else "IllegalArgumentException"), \
                    f"Holdfast to {says} at {path}: {got}"
        for client in (theirs, ours):
            assert versions_of(client, key) == 1, "a key was rolled by a body that is no JSON"
        return f"{count} malformed bodies answered as docs/interop.md says"
    finally:
        real.close()
