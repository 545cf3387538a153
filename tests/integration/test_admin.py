#!/usr/bin/env python3
"""The REST door over the unix socket and over mutual TLS, every answer held against docs/openapi.yaml."""
import base64
import hashlib
import http.client
import json
import os
import pwd
import ssl
import subprocess
import unittest
import urllib.parse
import uuid

import openapi
from node import Node, UnixConnection, free_port, wait_for

DOCUMENT = openapi.Document()
ANSWERED = set()  # operations that have given their good answer
# They need databases in two sites: tests/cluster/test_promote.py compares their answers with the document. And a node that
# has a store of its own needs no lease, and is cut off from nobody: tests/cluster/test_cluster.py and test_revocation.py.
ELSEWHERE = {("POST", "/api/v1/sites/{site}/promote"), ("POST", "/api/v1/store/accept-history"), ("POST", "/api/v1/serve-stale"),
             ("POST", "/api/v1/revocations"), ("GET", "/api/v1/keyrings/{keyring}/keys/{key}/revocation")}
ME = "unix:" + pwd.getpwuid(os.getuid()).pw_name
NODE = None
TLS_PORT = None


def setUpModule():
    global NODE, TLS_PORT
    TLS_PORT = free_port()
    NODE = Node("--listen-admin", f"127.0.0.1:{TLS_PORT}", grants=False)
    unittest.addModuleCleanup(NODE.close)
    NODE.add_second(TLS_PORT)
    NODE.start()
    NODE.second_joins()
    # Nobody gives himself the use of keys, under whatever identity: the second person does.
    use = ("--role", "key-user", "--role", "auditor", "--action", "key.export")
    NODE.second("policy", "grant", "--who", "cert:admin", *use)
    NODE.second("policy", "grant", "--who", ME, *use)


def tearDownModule():
    missing = sorted(set(DOCUMENT.operations) - ANSWERED - ELSEWHERE)
    assert not missing, f"no test got the good answer of {missing}"


def b64(data):
    return base64.b64encode(data).decode()


def tls_context(certificate="secrets/admin"):
    context = ssl.create_default_context(cafile=str(NODE.dir / "ca.crt"))
    if certificate:
        context.load_cert_chain(NODE.dir / f"{certificate}.crt", NODE.dir / f"{certificate}.key")
    return context


class Calls(unittest.TestCase):
    """Calls of one caller; what comes back must be what the document says."""

    def connect(self):
        return UnixConnection(NODE.dir / "admin.sock")

    caller = ME

    def setUp(self):
        self.wire = self.connect()
        self.addCleanup(self.wire.close)
        # A name of its own for every test of every class.
        self.name = "k" + hashlib.sha256(self.id().encode()).hexdigest()[:10]
        self.key = f"/api/v1/keyrings/hadoop/keys/{self.name}"

    def send(self, method, path, body=None, headers=None):
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        kind = {} if data is None else {"Content-Type": "application/json"}
        self.wire.request(method, path, data, {**kind, **(headers or {})})
        answer = self.wire.getresponse()
        text = answer.read()
        self.assertEqual(answer.getheader("Content-Type"), "application/json", text)
        return answer.status, json.loads(text)

    def call(self, method, path, body=None, expect=None, headers=None):
        name, operation = DOCUMENT.find(method, path)
        self.assertIsNotNone(operation, f"{method} {path} is not in the document")
        good = min(int(status) for status in operation["responses"] if status != "default")
        status, value = self.send(method, path, body, headers)
        self.assertEqual(status, expect or good, value)
        self.assertEqual(list(DOCUMENT.problems(value, DOCUMENT.answer_schema(operation, status))), [], value)
        if status == good:
            if isinstance(body, dict):
                self.assertEqual(list(DOCUMENT.problems(body, DOCUMENT.request_schema(operation), "request")), [])
            ANSWERED.add(name)
        return value

    def post(self, tail, body=None, **more):
        return self.call("POST", self.key + tail, body, **more)

    def create(self, name=None, **plan):
        return self.call("POST", "/api/v1/keyrings/hadoop/keys", {"name": name or self.name, **plan})

    def refused(self, status, code, message, method, path, body=None, **more):
        error = self.call(method, path, body, expect=status, **more)["error"]
        self.assertEqual(error["code"], code)
        self.assertRegex(error["message"], message)
        return error


class BothDoors:
    """What must hold over either transport."""

    def test_what_is_encrypted_is_decrypted_with_its_aad_only(self):
        self.create()
        for aad in ({}, {"aad": b64(b"invoice 7")}):
            for plain in (b"", b"x", os.urandom(1000), os.urandom(100_000)):
                sealed = self.post("/encrypt", {"plaintext": b64(plain), **aad})["ciphertext"]
                self.assertEqual(self.post("/decrypt", {"ciphertext": sealed, **aad}),
                                 {"plaintext": b64(plain)})
                status, answer = self.send("POST", self.key + "/decrypt", {"ciphertext": sealed, "aad": b64(b"no")})
                self.assertEqual((status, answer["error"]["code"]), (400, "invalid"))
                self.assertEqual(answer["error"]["cause"], "altered")
                self.assertIn("the ciphertext does not open", answer["error"]["message"])

    def test_a_changed_ciphertext_does_not_open(self):
        self.create()
        sealed = bytearray(base64.b64decode(self.post("/encrypt", {"plaintext": b64(b"secret")})["ciphertext"]))
        for at in (0, len(sealed) // 2, len(sealed) - 1):
            wrong = bytes(sealed[:at]) + bytes([sealed[at] ^ 1]) + bytes(sealed[at + 1:])
            status, value = self.send("POST", self.key + "/decrypt", {"ciphertext": b64(wrong)})
            self.assertGreaterEqual(status, 400, value)
            self.assertNotIn("plaintext", value)

    def test_reencrypt_moves_to_the_primary_version(self):
        self.create()
        aad = b64(b"row 1")
        sealed = self.post("/encrypt", {"plaintext": b64(b"data"), "aad": aad})["ciphertext"]
        self.assertEqual(self.post("/reencrypt", {"ciphertext": sealed, "aad": aad}),
                         {"ciphertext": sealed, "version": 1}, "what is there already stays")
        self.assertEqual(self.post("/rotate"), {"version": 2})
        moved = self.post("/reencrypt", {"ciphertext": sealed, "aad": aad})
        self.assertEqual(moved["version"], 2)
        self.assertNotEqual(moved["ciphertext"], sealed)
        for each in (sealed, moved["ciphertext"]):
            self.assertEqual(self.post("/decrypt", {"ciphertext": each, "aad": aad}), {"plaintext": b64(b"data")})

    def test_a_version_can_be_named(self):
        self.create()
        self.post("/rotate")
        sealed = self.post("/encrypt", {"plaintext": b64(b"x"), "version": 1})["ciphertext"]
        self.assertEqual(self.post("/reencrypt", {"ciphertext": sealed})["version"], 2)
        self.refused(404, "not_found", "no version 9", "POST", self.key + "/encrypt",
                     {"plaintext": b64(b"x"), "version": 9})

    def test_data_keys_open_to_what_was_given(self):
        self.create()
        seen = set()
        for length in (16, 24, 32, 64):
            made = self.post("/data-key", {"bytes": length, "aad": b64(b"disk 3")})
            self.assertEqual(len(base64.b64decode(made["plaintext"])), length)
            self.assertEqual(self.post("/decrypt", {"ciphertext": made["wrapped"], "aad": b64(b"disk 3")}),
                             {"plaintext": made["plaintext"]})
            seen.add(made["plaintext"])
        self.assertEqual(len(base64.b64decode(self.post("/data-key")["plaintext"])), 32)
        self.assertEqual(len(seen), 4)
        for length in (0, 15, 65):
            self.refused(400, "invalid", "16 to 64", "POST", self.key + "/data-key", {"bytes": length})

    def test_macs(self):
        self.create(algorithm="hmac", bytes=48)
        lengths = {"sha256": 32, "sha384": 48, "sha512": 64}
        for name, length in lengths.items():
            body = {"message": b64(b"message"), "hash": name}
            made = self.post("/mac", body)
            self.assertEqual((len(base64.b64decode(made["mac"])), made["version"]), (length, 1))
            self.assertEqual(self.post("/mac", body), made)
            for message, valid in ((b"message", True), (b"massage", False)):
                self.assertEqual(self.post("/mac-verify", {"message": b64(message), "mac": made["mac"], "hash": name}),
                                 {"valid": valid})
            self.assertEqual(self.post("/mac-verify", {**body, "mac": made["mac"][:-8]}), {"valid": False})
        self.post("/rotate")
        old = self.post("/mac", {"message": b64(b"m"), "version": 1})
        self.assertEqual(old["version"], 1)
        self.assertEqual(self.post("/mac-verify", {"message": b64(b"m"), "mac": old["mac"]}), {"valid": False})
        self.assertEqual(self.post("/mac-verify", {"message": b64(b"m"), "mac": old["mac"], "version": 1}),
                         {"valid": True})

    def test_random_bytes(self):
        seen = {self.call("POST", "/api/v1/random", {"bytes": 4096})["random"] for _ in range(3)}
        self.assertEqual({len(base64.b64decode(text)) for text in seen}, {4096})
        self.assertEqual(len(seen), 3)
        self.assertEqual(len(base64.b64decode(self.call("POST", "/api/v1/random")["random"])), 32)
        for count in (0, 4097):
            self.refused(400, "invalid", "1 to 4096", "POST", "/api/v1/random", {"bytes": count})

    def test_usage_is_counted_by_version_and_caller(self):
        self.create()
        sealed = [self.post("/encrypt", {"plaintext": b64(b"x")})["ciphertext"] for _ in range(5)]
        self.post("/rotate")
        for each in sealed[:3]:
            self.post("/decrypt", {"ciphertext": each})
        self.post("/data-key")
        usage = {number: self.call("GET", f"{self.key}/versions/{number}/usage") for number in (1, 2)}
        self.assertEqual([(u["wraps"], u["unwraps"]) for u in usage.values()], [(5, 3), (1, 0)])
        self.assertEqual([(c["caller"], c["count"]) for c in usage[1]["callers"]], [(self.caller, 8)])
        self.assertLessEqual(usage[1]["first_use"], usage[1]["last_use"])
        self.assertLessEqual(usage[1]["last_use"], usage[2]["last_use"])

    def test_the_audit_trail_knows_the_caller(self):
        self.create()
        self.post("/encrypt", {"plaintext": b64(b"x")})
        lines = [json.loads(line) for line in (NODE.dir / "audit/audit.log").read_text().splitlines()]
        [line] = [line for line in lines if line.get("key") == self.name and line["operation"] == "key.encrypt"]
        self.assertEqual((line["caller"], line["door"], line["outcome"], line["version"]),
                         (self.caller, "admin", "ok", 1))

    def test_the_same_request_id_gives_the_first_result(self):
        def header():
            return {"Idempotency-Key": uuid.uuid4().hex}

        first, second = header(), header()
        path, plan = "/api/v1/keyrings/hadoop/keys", {"name": self.name}
        for _ in range(3):
            self.assertEqual(self.call("POST", path, plan, headers=first), {"version": 1})
            self.assertEqual(self.post("/rotate", headers=second), {"version": 2})
        self.refused(409, "conflict", "request id", "POST", path, {"name": self.name + "x"}, headers=first)
        self.assertEqual(len(self.call("GET", self.key)["versions"]), 2)
        self.refused(409, "exists", "already", "POST", path, plan, headers=header())
        for wrong in ("x", "00", "0" * 31, "0" * 33, "g" * 32):
            self.refused(400, "invalid", "Idempotency-Key must be 32 hex digits", "POST", path, plan,
                         headers={"Idempotency-Key": wrong})


class OverTheUnixSocket(BothDoors, Calls):
    # --- keys ---

    def test_every_key_pair_signs_as_openssl_expects(self):
        message = b"the quick brown fox"
        for algorithm, scheme in (("rsa-2048", "rsa-pkcs1"), ("rsa-2048", "rsa-pss"), ("rsa-3072", "rsa-pss"),
                                  ("rsa-4096", "rsa-pkcs1"),
                                  ("ec-p256", "ecdsa"), ("ec-p384", "ecdsa"), ("ec-p521", "ecdsa"),
                                  ("ed25519", "ed25519")):
            for name in ("sha256", "sha512") if scheme != "ed25519" else ("sha256",):
                with self.subTest(f"{algorithm} {scheme} {name}"):
                    self.name = f"s-{algorithm}-{scheme}"
                    self.key = f"/api/v1/keyrings/hadoop/keys/{self.name}"
                    if name == "sha256":
                        self.create(algorithm=algorithm, exportable=True)
                    self.sign_and_verify(message, scheme, name)

    def sign_and_verify(self, message, scheme, name):
        body = {"message": b64(message), "scheme": scheme, "hash": name}
        made = self.post("/sign", body)
        self.assertEqual(made["version"], 1)
        signature = base64.b64decode(made["signature"])
        self.assertEqual(self.post("/verify", {**body, "signature": made["signature"]}), {"valid": True})
        for wrong in ({"message": b64(message + b".")}, {"signature": b64(signature[:-1] + bytes([signature[-1] ^ 1]))},
                      {"signature": b64(b"")}):
            self.assertEqual(self.post("/verify", {**body, "signature": made["signature"], **wrong}), {"valid": False})
        private = base64.b64decode(self.post("/export")["material"])
        self.assertEqual(self.openssl_says(private, message, signature, scheme, name), 0)
        self.assertNotEqual(self.openssl_says(private, message + b".", signature, scheme, name), 0)

    def openssl_says(self, private, message, signature, scheme, name):
        files = {what: NODE.base / what for what in ("public.pem", "message", "signature")}
        public = subprocess.run(["openssl", "pkey", "-inform", "DER", "-pubout"], input=private,
                                capture_output=True, check=True).stdout
        for what, content in (("public.pem", public), ("message", message), ("signature", signature)):
            files[what].write_bytes(content)
        if scheme == "ed25519":
            command = ["openssl", "pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", files["public.pem"],
                       "-in", files["message"], "-sigfile", files["signature"]]
        else:
            pss = ["-sigopt", "rsa_padding_mode:pss"] if scheme == "rsa-pss" else []
            command = ["openssl", "dgst", f"-{name}", *pss, "-verify", files["public.pem"],
                       "-signature", files["signature"], files["message"]]
        return subprocess.run(command, capture_output=True).returncode

    def test_a_key_does_only_what_its_kind_does(self):
        for algorithm in ("aes-256", "ec-p256", "hmac", "opaque"):
            self.create(f"{self.name}-{algorithm}", algorithm=algorithm)
        uses = {"encrypt": {"plaintext": b64(b"x")}, "sign": {"message": b64(b"x"), "scheme": "ecdsa"},
                "mac": {"message": b64(b"x")}, "data-key": {}}
        fits = {("aes-256", "encrypt"), ("aes-256", "data-key"), ("aes-256", "mac"), ("ec-p256", "sign"), ("hmac", "mac")}
        for algorithm in ("aes-256", "ec-p256", "hmac", "opaque"):
            for use, body in uses.items():
                status, answer = self.send("POST", f"{self.key}-{algorithm}/{use}", body)
                with self.subTest(f"{use} with {algorithm}"):
                    if (algorithm, use) in fits:
                        self.assertEqual(status, 200, answer)
                    else:
                        self.assertIn(answer["error"]["code"], ("invalid", "unsupported"), answer)

    def test_a_key_is_shown_as_it_was_made(self):
        self.create(algorithm="aes-192", description="for sales", attributes={"team": "sales"}, pre_active=True,
                    first_version=0)
        key = self.call("GET", self.key)
        self.assertEqual([key[m] for m in ("keyring", "name", "algorithm", "exportable", "deleted", "primary",
                                           "description", "attributes")],
                         ["hadoop", self.name, "aes-192", False, False, None, "for sales", {"team": "sales"}])
        [version] = key["versions"]
        self.assertEqual((version["version"], version["state"], version["primary"], version["imported"]),
                         (0, "pre-active", False, False))
        self.call("POST", self.key + "/state", {"version": 0, "event": "activate"})
        self.post("/primary", {"version": 0})
        self.assertEqual(self.call("GET", self.key)["primary"], 0)

    def test_the_life_of_versions(self):
        self.create()
        self.post("/rotate")
        sealed = self.post("/encrypt", {"plaintext": b64(b"x"), "version": 1})["ciphertext"]
        self.post("/state", {"version": 1, "event": "suspend", "reason": "INC-1"})
        version = self.call("GET", self.key)["versions"][0]
        self.assertEqual((version["state"], version["reason"]), ("suspended", "INC-1"))
        self.refused(409, "wrong_state", "suspended", "POST", self.key + "/decrypt", {"ciphertext": sealed})
        self.post("/state", {"version": 1, "event": "resume"})
        self.post("/state", {"version": 1, "event": "deactivate"})
        self.assertEqual(self.post("/decrypt", {"ciphertext": sealed}), {"plaintext": b64(b"x")})
        self.refused(409, "wrong_state", "deactivated", "POST", self.key + "/encrypt",
                     {"plaintext": b64(b"x"), "version": 1})
        self.refused(409, "wrong_state", "only an active one can be primary", "POST", self.key + "/primary",
                     {"version": 1})
        self.post("/state", {"version": 1, "event": "compromise", "reason": "leaked"})
        self.refused(409, "wrong_state", "compromised", "POST", self.key + "/state", {"version": 1, "event": "activate"})

    def test_a_change_of_one_version_must_name_it(self):
        self.create()
        for tail, body in (("/state", {"event": "suspend"}), ("/primary", {}),
                           ("/state", {"event": "suspend", "version": None})):
            self.refused(400, "invalid", '"version" is missing', "POST", self.key + tail, body)
        self.refused(400, "invalid", "too large", "POST", self.key + "/primary", {"version": 2**32 - 1})

    def test_destruction_waits_and_can_be_taken_back(self):
        self.create()
        self.post("/rotate")
        self.post("/state", {"version": 1, "event": "deactivate"})
        self.post("/destroy", {"version": 1, "reason": "old"})
        due = self.call("GET", self.key)["versions"][0]["destroy_at"]
        self.refused(409, "wrong_state", f"due at {due}", "POST", self.key + "/destroy", {"version": 1})
        self.post("/recover", {"version": 1})
        self.assertNotIn("destroy_at", self.call("GET", self.key)["versions"][0])
        self.refused(409, "wrong_state", "does not wait", "POST", self.key + "/recover", {"version": 1})
        self.call("DELETE", self.key + "?reason=project%20ended")
        self.refused(404, "not_found", "is deleted; it can be recovered", "GET", self.key)
        self.refused(409, "wrong_state", "due at", "POST", self.key + "/destroy")
        self.post("/recover")
        self.assertFalse(self.call("GET", self.key)["deleted"])

    def test_where_nothing_waits_a_key_is_destroyed_and_its_tombstone_stays(self):
        ring = "/api/v1/keyrings/brief"
        self.call("POST", "/api/v1/keyrings", {"name": "brief", "destroy_wait_ms": 0})
        path = f"{ring}/keys/{self.name}"
        self.call("POST", ring + "/keys", {"name": self.name})
        self.call("POST", path + "/rotate")
        self.call("POST", path + "/state", {"version": 1, "event": "deactivate"})
        self.call("POST", path + "/destroy", {"version": 1})
        gone = self.call("GET", path)["versions"][0]
        self.assertEqual((gone["state"], gone["keyring_key_version"]), ("destroyed", 0))
        error = self.refused(404, "not_found", "is destroyed", "POST", path + "/encrypt",
                             {"plaintext": b64(b"x"), "version": 1})
        self.assertEqual(error["cause"], "version_destroyed")
        self.call("DELETE", path)
        self.call("POST", path + "/destroy", {"reason": "retention ended"})
        self.refused(404, "not_found", "no key|destroyed", "POST", path + "/rotate")
        # Its numbers are never used again.
        self.assertEqual(self.call("POST", ring + "/keys", {"name": self.name}), {"version": 3})

    def test_names_come_in_pages(self):
        ring = "/api/v1/keyrings/pages"
        self.call("POST", "/api/v1/keyrings", {"name": "pages"})
        names = sorted(["a", "b c", "d/e", "ä", "+", "%41", "\u2603", "x\ny"], key=lambda name: name.encode())
        for name in names:
            self.call("POST", ring + "/keys", {"name": name})
        got, after = [], ""
        while True:
            page = self.call("GET", f"{ring}/keys?limit=3{after}")
            self.assertLessEqual(len(page["keys"]), 3)
            got += page["keys"]
            if "next" not in page:
                break
            after = "&after=" + urllib.parse.quote(page["next"], safe="")
        self.assertEqual(got, names)
        for name in names:
            path = f"{ring}/keys/{urllib.parse.quote(name, safe='')}"
            self.assertEqual(self.call("GET", path)["name"], name)
        self.call("DELETE", ring + "/keys/a")
        self.assertEqual(self.call("GET", ring + "/keys?deleted=true"), {"keys": ["a"], "destroy_at": {"a": self.call("GET", ring + "/keys/a?deleted=true")["destroy_at"]}})
        self.refused(404, "not_found", "deleted", "GET", ring + "/keys/a")
        self.assertEqual(self.call("GET", ring + "/keys")["keys"], names[:2] + names[3:])
        for limit in ("0", "10001", "-1", "x", ""):
            self.refused(400, "invalid", "limit|number|more than", "GET", f"{ring}/keys?limit={limit}")

    def test_material_comes_in_and_goes_out_only_as_allowed(self):
        material = os.urandom(32)
        self.create(material=b64(material), exportable=True)
        self.assertEqual(self.post("/export"), {"version": 1, "material": b64(material)})
        self.assertTrue(self.call("GET", self.key)["versions"][0]["imported"])
        second = os.urandom(32)
        self.assertEqual(self.post("/rotate", {"material": b64(second)}), {"version": 2})
        self.assertEqual(self.post("/export", {"version": 2})["material"], b64(second))
        self.assertEqual(self.post("/export", {"version": 1})["material"], b64(material))
        self.refused(400, "invalid", "Required 256, but got 64", "POST", self.key + "/rotate",
                     {"material": b64(bytes(8))})
        self.create(self.name + "-kept")
        self.refused(403, "denied", "made not to be exported", "POST", self.key + "-kept/export")

    # --- keyrings ---

    def test_keyrings(self):
        made = self.call("POST", "/api/v1/keyrings", {"name": "rings", "approve_export": True,
                                                      "destroy_wait_ms": 86400000})
        self.assertEqual((made["name"], made["approve_export"], made["approve_destroy"], made["destroy_wait_ms"],
                          made["keys"], made["main_key"]), ("rings", True, False, 86400000, 0, "main"))
        self.assertEqual(self.call("GET", "/api/v1/keyrings/rings"), made)
        self.assertIn(made, self.call("GET", "/api/v1/keyrings")["keyrings"])
        changed = self.call("PATCH", "/api/v1/keyrings/rings", {"approve_destroy": True})
        self.assertEqual(changed, {**made, "approve_destroy": True})
        self.call("POST", "/api/v1/keyrings/rings/keys", {"name": "x"})
        self.assertEqual(self.call("POST", "/api/v1/keyrings/rings/rotate"), {"keyring_key_version": 2})
        self.assertEqual(self.call("POST", "/api/v1/keyrings/rings/keys/x/rewrap"), {"moved": 1})
        self.assertEqual(self.call("POST", "/api/v1/keyrings/rings/keys/x/rewrap"), {"moved": 0})
        version = self.call("GET", "/api/v1/keyrings/rings/keys/x")["versions"][0]
        self.assertEqual(version["keyring_key_version"], 2)

    # --- policy ---

    def test_policies(self):
        document = {"description": "for the nightly job", "rules": [
            {"effect": "allow", "who": ["cert:etl-*"], "roles": ["key-user"], "keyrings": ["hadoop"]},
            {"effect": "deny", "who": ["cert:etl-7"], "actions": ["key.*"], "keys": ["sales-*"]}]}
        self.call("PUT", "/api/v1/policies/etl", document)
        self.assertEqual(self.call("GET", "/api/v1/policies/etl"), document)
        self.assertIn("etl", self.call("GET", "/api/v1/policies")["policies"])

        def explain(who, key):
            return self.call("POST", "/api/v1/explain", {"who": who, "action": "key.unwrap", "keyring": "hadoop",
                                                         "key": key})["explanation"]

        self.assertIn("so 'key.unwrap' is allowed", explain("cert:etl-6", "sales-eu"))
        self.assertIn("a rule that denies wins", explain("cert:etl-7", "sales-eu"))
        self.assertIn("so 'key.unwrap' is allowed", explain("cert:etl-7", "other"))
        self.assertIn("no rule speaks of it", explain("pseudo:etl-6", "sales-eu"))
        self.call("DELETE", "/api/v1/policies/etl")
        self.refused(404, "not_found", "etl", "GET", "/api/v1/policies/etl")
        self.assertIn("no rule speaks of it", explain("cert:etl-6", "sales-eu"))

    def test_a_bad_document_is_refused_by_rule_and_member(self):
        good = {"effect": "allow", "who": ["cert:x"], "roles": ["key-user"]}
        for message, rules in (
                ('rule 2, "effect"', [good, {**good, "effect": "maybe"}]),
                ('rule 1, "who".*must begin with cert:', [{**good, "who": ["*"]}]),
                ('rule 1, "who".*missing', [{"effect": "allow", "roles": ["key-user"]}]),
                ("rule 3.*'king' is no role", [good, good, {**good, "roles": ["king"]}]),
                ('rule 1, "actions"', [{"effect": "allow", "who": ["cert:x"]}]),
                ('rule 1.*"keyring"', [{**good, "keyring": ["hadoop"]}])):
            with self.subTest(message):
                self.refused(400, "invalid", message, "PUT", "/api/v1/policies/bad", {"rules": rules})
        self.assertNotIn("bad", self.call("GET", "/api/v1/policies")["policies"])

    def test_a_second_person_lets_a_change_through_once(self):
        same, other = OverMutualTls("connect"), OfTheSecond("connect")
        for caller in (same, other):
            caller.setUp()
            self.addCleanup(caller.doCleanups)
        ring = "/api/v1/keyrings/twofold"
        self.call("POST", "/api/v1/keyrings", {"name": "twofold", "approve_destroy": True, "destroy_wait_ms": 0})
        self.call("POST", ring + "/keys", {"name": "k"})
        self.call("DELETE", ring + "/keys/k")
        for _ in range(2):
            error = self.refused(409, "wrong_state", "approval [0-9a-f]{32} waits", "POST", ring + "/keys/k/destroy")
        mine = [a for a in self.call("GET", "/api/v1/approvals")["approvals"] if a["keyring"] == "twofold"]
        self.assertEqual([(a["operation"], a["key"], a["requester"], a.get("approver")) for a in mine],
                         [("key.destroy", "k", ME, None)], "asking twice is one request")
        self.assertIn(mine[0]["id"], error["message"])
        approve = f"/api/v1/approvals/{mine[0]['id']}/approve"
        self.refused(403, "denied", "a second person approves it", "POST", approve)
        same.refused(403, "denied", "the same person as cert:admin", "POST", approve)
        other.call("POST", approve)
        self.call("POST", ring + "/keys/k/destroy")
        other.refused(409, "wrong_state", "used up", "POST", approve)
        other.refused(404, "not_found", "there is no approval 0{32}", "POST", "/api/v1/approvals/" + "0" * 32 + "/approve")
        other.refused(400, "invalid", "32 hex digits", "POST", "/api/v1/approvals/7/approve")

    # --- the node ---

    def test_a_store_without_hosts_has_no_sites(self):
        self.refused(501, "unsupported", "no database hosts", "POST", "/api/v1/sites/b/promote", {"dry_run": True})
        self.refused(501, "unsupported", "no copy of a shared store", "POST", "/api/v1/store/accept-history", {})
        self.refused(400, "invalid", "lose", "POST", "/api/v1/sites/b/promote", {"lose": "all"})

    def test_a_drill_and_what_follows_from_it(self):
        self.create()
        NODE.first_drill()
        self.refused(404, "not_found", "there is no keyring", "POST", "/api/v1/drill", {"keyring": "nowhere"})
        self.refused(400, "invalid", "a second at least", "POST", "/api/v1/drill", {"wait_ms": 1})
        self.refused(404, "not_found", "there is no drill", "GET", "/api/v1/drill/0123456789abcdef")
        for asked in {"keyring": "hadoop"}, {}:
            drill = self.call("POST", "/api/v1/drill", asked)["id"]
            wait_for(lambda: self.call("GET", f"/api/v1/drill/{drill}")["state"] == "ended", "the end of the drill")
            receipt = self.call("GET", f"/api/v1/drill/{drill}/receipt")
            self.assertEqual(receipt["drill"]["failed"], [])
        self.assertEqual(receipt["drill"]["light"], "green")
        self.assertEqual(self.call("GET", "/api/v1/drill/last")["nodes"][0]["state"], "done")
        self.assertEqual(self.call("GET", "/api/v1/drill")["drills"][0]["id"], drill)
        jobs = {job["name"]: job for job in self.call("GET", "/api/v1/jobs")["jobs"]}
        self.assertEqual(jobs["drill"]["node"], "node-1")
        self.assertEqual(self.call("POST", "/api/v1/what-if", {"lose": ["slot:offline"]})["unreadable"], 0)
        cut = self.call("POST", "/api/v1/min-cut", {"what": f"hadoop/{self.name}@1"})
        self.assertEqual(cut["ends"], ["node:node-1"])

    def test_cookies_are_taken_back(self):
        self.call("POST", "/api/v1/sessions/end", {"user": "carol"})

    def test_a_node_alone_on_its_store_needs_no_lease(self):
        self.refused(400, "invalid", "for_ms", "POST", "/api/v1/serve-stale", {})
        self.refused(409, "wrong_state", "no lease", "POST", "/api/v1/serve-stale", {"for_ms": 1000})

    def test_and_takes_and_makes_no_revocations(self):
        self.create()
        self.refused(409, "wrong_state", "alone", "GET", f"/api/v1/keyrings/hadoop/keys/{self.name}/revocation")
        self.refused(400, "invalid", "no revocation", "POST", "/api/v1/revocations", {})
        told = {"revocation": 1, "store": "00" * 16, "keyring": "hadoop", "key": self.name, "version": None,
                "state": "deleted", "commit": 1, "node": "node-2", "mac": "00" * 32}
        self.refused(409, "wrong_state", "alone", "POST", "/api/v1/revocations", told)

    def test_nodes_are_approved_drained_and_removed(self):
        machine = NODE.base / self.name
        asked = json.loads(NODE.run("--dir", machine, "node", "join", "--name", self.name, "--json"))
        body = {"request": asked["request"], "fingerprint": asked["fingerprint"]}
        self.refused(400, "invalid", "do not approve it", "POST", "/api/v1/nodes", {**body, "fingerprint": "0000"})
        self.refused(400, "invalid", "cut or was edited", "POST", "/api/v1/nodes", {"request": asked["request"][:-1]})
        self.refused(501, "unsupported", "the same Holdfast", "POST", "/api/v1/nodes", {"request": "holdfast-join-3:AAAA"})
        made = self.call("POST", "/api/v1/nodes", body)
        self.assertEqual((made["name"], made["state"], made["certified_for"], made["approved_by"], made["proven"]),
                         (self.name, "approved", asked["certified_for"], ME, None))
        self.assertEqual(self.call("POST", "/api/v1/nodes", body)["slot"], made["slot"])
        path = f"/api/v1/nodes/{self.name}"
        shown = self.call("GET", path)
        self.assertEqual({**made, **shown}, {**made, "changed": shown["changed"]})
        self.assertEqual([node for node in self.call("GET", "/api/v1/nodes")["nodes"] if node["name"] == self.name], [shown])
        self.assertEqual(self.call("POST", path + "/drain")["state"], "draining")
        self.assertEqual(self.call("POST", path + "/drain", {"draining": False})["state"], "approved")
        self.refused(409, "wrong_state", "is that of node", "DELETE", f"/api/v1/slots/{made['slot']}")
        self.refused(400, "invalid", "keep_root", "DELETE", path + "?keep_root=maybe")
        gone = self.call("DELETE", path + "?keep_root=true")
        self.assertTrue(gone["root_kept"])
        self.assertIn("rotate the root to end that", gone["remains"])
        self.assertEqual(self.call("GET", path)["state"], "removed")
        self.refused(409, "wrong_state", "was removed", "DELETE", path)
        self.refused(409, "wrong_state", "never comes back", "POST", "/api/v1/nodes", body)
        for method, more in (("GET", ""), ("DELETE", ""), ("POST", "/drain")):
            self.refused(404, "not_found", "no node", method, "/api/v1/nodes/nobody" + more)

    def test_status_slots_and_why(self):
        status = self.call("GET", "/api/v1/status")
        lights = {item["item"]: item["light"] for item in status["items"]}
        self.assertEqual((lights["seal"], lights["offline"], status["light"]), ("green", "amber", "amber"))
        # What is told no more is counted no more.
        light = 'holdfast_status{item="offline"} 1'
        self.assertIn(light, NODE.admin("GET", "/health/metrics")[1].splitlines())
        (NODE.dir / "offline").rename(NODE.dir / "elsewhere")
        self.assertNotIn('item="offline"', NODE.admin("GET", "/health/metrics")[1])
        (NODE.dir / "elsewhere").rename(NODE.dir / "offline")
        slots = sorted(self.call("GET", "/api/v1/slots")["slots"], key=lambda slot: slot["name"])
        self.assertEqual([(s["name"], s["protector"], s["offline"], s["needs_human"], s["verified"]) for s in slots],
                         [("node-1", "keyfile", False, False, True), ("offline", "passphrase", True, True, True)])
        self.create()
        chain = self.call("POST", "/api/v1/why", {"what": f"hadoop/{self.name}@1"})["chain"]
        self.assertEqual([link["level"] for link in chain],
                         ["key version", "keyring key", "main key", "root key", "slot", "slot"])
        health = {link["name"]: link["health"] for link in chain}
        self.assertEqual(health.pop("offline (passphrase)"), "closed")
        self.assertEqual(set(health.values()), {"open"})

    def test_slots_and_the_root_are_changed(self):
        passphrase = {"passphrase": "a passphrase of the test"}
        self.refused(400, "invalid", '"name"', "POST", "/api/v1/slots", passphrase)
        self.refused(400, "invalid", "passphrase", "POST", "/api/v1/slots", {"name": self.name})
        slot = self.call("POST", "/api/v1/slots", {"name": self.name, **passphrase})
        self.assertEqual((slot["name"], slot["verified"], slot["proven_generation"]), (self.name, True, slot["root_generation"]))
        self.refused(409, "exists", "already", "POST", "/api/v1/slots", {"name": self.name, **passphrase})
        path = f"/api/v1/slots/{self.name}"
        self.assertEqual(self.call("POST", f"/api/v1/slots/{slot['id']}/test", passphrase)["id"], slot["id"])
        self.refused(403, "denied", "passphrase", "POST", path + "/test", {"passphrase": "wrong"})
        self.refused(400, "invalid", "opens with a passphrase", "POST", path + "/test",
                     {"protector": "keyfile", "file": str(NODE.dir / "secrets/node.key")})
        before = self.settled()["generation"]
        self.assertEqual(self.call("POST", "/api/v1/root/rotate"), {"generation": before + 1})
        root = self.settled()
        self.assertEqual((root["generation"], root["stuck"]), (before + 1, 0))
        self.assertTrue(root["begun"] <= root["ended"])
        self.refused(400, "invalid", "keep_root", "DELETE", path + "?keep_root=maybe")
        gone = self.call("DELETE", path)
        self.assertEqual((gone["root_generation"], gone["root_kept"]), (before + 2, False))
        self.settled()
        self.refused(404, "not_found", "no slot", "DELETE", path)
        self.refused(404, "not_found", "no slot", "POST", path + "/test", passphrase)

    def settled(self):
        """The root once no record is being moved, and the node's own slot is proven for it."""
        def look():
            root = self.call("GET", "/api/v1/root")
            slots = {slot["name"]: slot for slot in self.call("GET", "/api/v1/slots")["slots"]}
            return not root["moving"] and slots["node-1"]["proven_generation"] == root["generation"] and root
        return wait_for(look, "end of the rotation")

    def test_a_locked_node_answers_little_and_opens_again(self):
        self.create()
        self.call("POST", "/api/v1/lock")
        error = self.refused(409, "wrong_state", "locked", "POST", self.key + "/encrypt", {"plaintext": b64(b"x")})
        self.assertEqual(error["cause"], "protector_unavailable")
        self.refused(409, "wrong_state", "locked", "GET", "/api/v1/keyrings")
        self.assertEqual(self.call("GET", "/api/v1/status")["light"], "red")
        self.assertEqual({s["verified"] for s in self.call("GET", "/api/v1/slots")["slots"]}, {False})
        self.refused(403, "denied", "passphrase", "POST", "/api/v1/unlock", {"passphrase": "wrong"})
        self.refused(400, "invalid", "passphrase", "POST", "/api/v1/unlock", {})
        other = OverMutualTls("connect")
        other.setUp()
        self.addCleanup(other.doCleanups)
        passphrase = (NODE.dir / "offline/passphrase").read_text().strip()
        other.refused(403, "denied", "owner over the unix socket only", "POST", "/api/v1/unlock",
                      {"passphrase": passphrase})
        self.assertEqual(self.call("POST", "/api/v1/unlock", {"passphrase": passphrase}), {"slot": "offline"})
        self.assertEqual(self.post("/encrypt", {"plaintext": b64(b"x")}).keys(), {"ciphertext"})

    # --- errors ---

    def test_each_mistake_has_its_answer(self):
        self.create()
        keys = "/api/v1/keyrings/hadoop/keys"
        for status, code, message, method, path, body in (
                (400, "invalid", '"name"', "POST", keys, {}),
                (400, "invalid", '"name"', "POST", keys, {"name": 7}),
                (400, "invalid", "empty|1 to", "POST", keys, {"name": ""}),
                (400, "invalid", "use one of aes-128, ", "POST", keys, {"name": "x", "algorithm": "des"}),
                (400, "invalid", "first_version", "POST", keys, {"name": "x", "first_version": 2}),
                (400, "invalid", '"attributes"', "POST", keys, {"name": "x", "attributes": {"a": 1}}),
                (400, "invalid", "exportable", "POST", keys, {"name": "x", "exportable": "yes"}),
                (400, "invalid", "Required 16 to 64", "POST", keys, {"name": "x", "algorithm": "hmac", "bytes": 8}),
                (409, "exists", "already", "POST", keys, {"name": self.name}),
                (404, "not_found", "no keyring nope", "GET", "/api/v1/keyrings/nope", None),
                (404, "not_found", "no keyring nope", "POST", "/api/v1/keyrings/nope/keys", {"name": "x"}),
                (404, "not_found", "no key hadoop/nope", "POST", keys + "/nope/rotate", None),
                (404, "not_found", "no key hadoop/nope", "POST", keys + "/nope/encrypt", {"plaintext": ""}),
                (400, "invalid", "a keyring's name has", "POST", "/api/v1/keyrings", {"name": "A b"}),
                (409, "exists", "already", "POST", "/api/v1/keyrings", {"name": "hadoop"}),
                (400, "invalid", "dark window", "PATCH", "/api/v1/keyrings/hadoop", {"dark_window_ms": 1}),
                (400, "invalid", "names of nodes", "PATCH", "/api/v1/keyrings/hadoop", {"serve_on": [1]}),
                (400, "invalid", "serve_on", "PATCH", "/api/v1/keyrings/hadoop", {"serve_on": "node-1"}),
                (400, "invalid", "twice", "PATCH", "/api/v1/keyrings/hadoop", {"serve_on": ["a", "a"]}),
                (400, "invalid", "1000 ways", "PATCH", "/api/v1/keyrings/hadoop", {"min_ways": 1001}),
                (400, "invalid", "min_ways", "PATCH", "/api/v1/keyrings/hadoop", {"min_ways": -1}),
                (400, "invalid", "stranger is no member", "PATCH", "/api/v1/keyrings/hadoop", {"serve_on": ["stranger"]}),
                (400, "invalid", '"plaintext"', "POST", self.key + "/encrypt", {}),
                (400, "invalid", "base64", "POST", self.key + "/encrypt", {"plaintext": "?"}),
                (400, "invalid", '"scheme"', "POST", self.key + "/sign", {"message": ""}),
                (400, "invalid", '"md5" is not known', "POST", self.key + "/mac", {"message": "", "hash": "md5"}),
                (400, "invalid", "unknown step", "POST", self.key + "/state", {"version": 1, "event": "fly"}),
                (400, "invalid", "'key.fly' is no action", "POST", "/api/v1/explain",
                 {"who": "cert:x", "action": "key.fly"}),
                (400, "invalid", "name the keyring", "POST", "/api/v1/why", {"what": "sales"})):
            with self.subTest(f"{method} {path} {body}"):
                self.refused(status, code, message, method, path, body)

    def test_a_body_that_is_no_object_is_refused(self):
        for body in (b"{", b"[]", b'"x"', b"7", b"nul", b'{"name":"a","name":"b"}', b'{"name":"\xff"}',
                     b'{"name":"a"}{}', b"[" * 100_000):
            status, answer = self.send("POST", "/api/v1/keyrings/hadoop/keys", body)
            self.assertEqual((status, answer["error"]["code"]), (400, "invalid"), body[:20])

    def test_members_that_a_call_does_not_know_are_refused(self):
        self.create()
        handlers = openapi.handler_members()
        routes = openapi.door_routes()
        tried = 0
        for (method, template), handler in routes.items():
            if handler not in handlers and handler not in ("keyring_create", "keyring_change"):
                continue
            path = template.replace("{keyring}", "hadoop").replace("{key}", self.name)
            with self.subTest(f"{method} {path}"):
                self.refused(400, "invalid", 'the member "nonsense" is not known here', method, path, {"nonsense": 1})
                tried += 1
        self.assertGreater(tried, 15)

    def test_paths_and_methods_that_are_not_there(self):
        for method, path, status, code in (("GET", "/api/v1/nope", 404, "not_found"),
                                           ("GET", "/api/v1/", 404, "not_found"),
                                           ("GET", "/api/v1/status/", 404, "not_found"),
                                           ("PUT", "/api/v1/status", 405, "unsupported"),
                                           ("DELETE", "/api/v1/keyrings/hadoop", 405, "unsupported")):
            got, answer = self.send(method, path)
            self.assertEqual((got, answer["error"]["code"]), (status, code), path)

    def test_a_wrong_method_is_told_which_there_are(self):
        for path, allowed in (("/api/v1/status", "GET, HEAD"), ("/api/v1/keyrings/hadoop", "GET, HEAD, PATCH"),
                              ("/api/v1/keyrings", "GET, HEAD, POST")):
            self.wire.request("DELETE", path)
            answer = self.wire.getresponse()
            answer.read()
            self.assertEqual((answer.status, answer.getheader("Allow")), (405, allowed), path)

    def test_what_a_page_in_a_browser_could_send_is_refused(self):
        path = "/api/v1/keyrings/hadoop/keys"
        plan = json.dumps({"name": self.name}).encode()
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/jsonp"):
            for body in (plan, b""):
                status, answer = self.send("POST", path, body, {"Content-Type": kind})
                self.assertEqual((status, answer["error"]["code"]), (415, "invalid"), kind)
        self.wire.putrequest("POST", path)
        self.wire.putheader("Content-Length", str(len(plan)))
        self.wire.endheaders(plan)
        answer = self.wire.getresponse()
        self.assertEqual((answer.status, answer.read() and 1), (415, 1))
        self.refused(404, "not_found", "there is no key", "GET", self.key)
        self.send("POST", path, plan, {"Content-Type": "Application/JSON; charset=utf-8"})
        self.call("GET", self.key)

    def test_the_usage_of_a_version_that_is_not_there_is_not_zero(self):
        self.create()
        self.assertEqual(self.call("GET", self.key + "/versions/1/usage")["wraps"], 0)
        self.refused(404, "not_found", "has no version 7", "GET", self.key + "/versions/7/usage")

    def test_the_public_half_verifies_what_the_key_signs(self):
        self.create(algorithm="ec-p256")
        self.post("/rotate")
        first = self.call("GET", self.key + "/public?version=1")
        self.assertEqual((first["version"], self.call("GET", self.key + "/public")["version"]), (1, 2))
        pem = NODE.run("key", "public", f"hadoop/{self.name}", "--version", "1")
        self.assertEqual(base64.b64decode("".join(pem.splitlines()[1:-1])), base64.b64decode(first["public"]))
        signature = base64.b64decode(self.post("/sign", {"message": b64(b"x"), "scheme": "ecdsa", "version": 1})["signature"])
        files = {"pem": pem.encode(), "signature": signature, "message": b"x"}
        for name, data in files.items():
            (NODE.base / name).write_bytes(data)
        subprocess.run(["openssl", "dgst", "-sha256", "-verify", NODE.base / "pem", "-signature", NODE.base / "signature",
                        NODE.base / "message"], check=True, capture_output=True)
        self.create(name=self.name + "-aes")
        self.refused(400, "invalid", "no such use", "GET", self.key + "-aes/public")

    def test_who_may_not_read_keyrings_gets_the_answer_for_the_one_he_makes(self):
        plan = {"description": "t", "rules": [{"effect": "deny", "who": ["cert:second"], "actions": ["keyring.read"]}]}
        self.call("PUT", "/api/v1/policies/blind", plan)
        self.addCleanup(self.call, "DELETE", "/api/v1/policies/blind")
        blind = OfTheSecond("connect")
        blind.setUp()
        self.addCleanup(blind.doCleanups)
        blind.refused(403, "denied", ".", "GET", "/api/v1/keyrings/hadoop")
        self.assertEqual(blind.call("POST", "/api/v1/keyrings", {"name": self.name})["destroy_wait_ms"], 2592000000)

    def test_a_large_body_is_refused_by_its_length(self):
        status, answer = self.send("POST", "/api/v1/keyrings", b" " * 20_000)
        self.assertEqual((status, answer["error"]["code"]), (413, "too_large"))


class OfTheSecond(Calls):
    """The second person; has no tests of its own."""
    caller = "cert:second"

    def connect(self):
        context = ssl.create_default_context(cafile=str(NODE.dir / "ca.crt"))
        context.load_cert_chain(NODE.second_dir / "secrets/admin.crt", NODE.second_dir / "secrets/admin.key")
        return http.client.HTTPSConnection("127.0.0.1", TLS_PORT, context=context, timeout=30)


class OverMutualTls(BothDoors, Calls):
    caller = "cert:admin"

    def connect(self):
        return http.client.HTTPSConnection("127.0.0.1", TLS_PORT, context=tls_context(), timeout=30)

    def test_an_id_of_another_caller_is_not_his(self):
        mine = OverTheUnixSocket("connect")
        mine.setUp()
        self.addCleanup(mine.doCleanups)
        header = {"Idempotency-Key": uuid.uuid4().hex}
        path, plan = "/api/v1/keyrings/hadoop/keys", {"name": self.name}
        mine.call("POST", path, plan, headers=header)
        self.refused(409, "conflict|exists", "", "POST", path, plan, headers=header)

    def refused(self, status, code, message, *rest, **more):
        codes = code.split("|")
        if len(codes) == 1:
            return super().refused(status, code, message, *rest, **more)
        error = self.call(*rest, expect=status, **more)["error"]
        self.assertIn(error["code"], codes)
        return error


class Certificates(unittest.TestCase):
    def make(self, name, issuer=None, usage="clientAuth"):
        base = NODE.base / name
        extension = NODE.base / f"{name}.ext"
        extension.write_text(f"extendedKeyUsage={usage}\n" if issuer else "basicConstraints=critical,CA:TRUE\n")
        subprocess.run(["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-keyout", f"{base}.key", "-out", f"{base}.csr", "-subj", "/CN=admin"],
                       check=True, capture_output=True)
        sign = ["-CA", NODE.base / f"{issuer}.crt", "-CAkey", NODE.base / f"{issuer}.key", "-CAcreateserial"] \
            if issuer else ["-signkey", f"{base}.key"]
        subprocess.run(["openssl", "x509", "-req", "-in", f"{base}.csr", "-days", "2", "-extfile", extension,
                        "-out", f"{base}.crt", *sign], check=True, capture_output=True)
        return base

    def answer(self, context):
        wire = http.client.HTTPSConnection("127.0.0.1", TLS_PORT, context=context, timeout=30)
        try:
            wire.request("GET", "/api/v1/status")
            return wire.getresponse().status
        except (ssl.SSLError, OSError, http.client.HTTPException):
            return None
        finally:
            wire.close()

    def test_only_certificates_of_the_nodes_authority_come_in(self):
        self.assertEqual(self.answer(tls_context()), 200)
        self.assertIsNone(self.answer(tls_context(certificate=None)), "no certificate")
        self.make("evil-ca")
        foreign = self.make("evil", issuer="evil-ca")
        alone = self.make("alone")
        for base in (foreign, alone):
            context = tls_context(certificate=None)
            context.load_cert_chain(f"{base}.crt", f"{base}.key")
            self.assertIsNone(self.answer(context), base.name)

    def test_the_servers_certificate_is_no_clients(self):
        self.assertIsNone(self.answer(tls_context("secrets/server")))

    def test_old_versions_of_tls_are_refused(self):
        done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{TLS_PORT}", "-tls1_1", "-cipher",
                               "ALL:@SECLEVEL=0", "-cert", NODE.dir / "secrets/admin.crt",
                               "-key", NODE.dir / "secrets/admin.key"], input=b"", capture_output=True)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(b"alert protocol version", done.stderr)
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = tls_context()
            context.minimum_version = context.maximum_version = version
            self.assertEqual(self.answer(context), 200)


class TheDocument(unittest.TestCase):
    def test_the_table_and_the_document_name_the_same_routes(self):
        self.assertEqual(set(openapi.door_routes()), set(DOCUMENT.operations))

    def test_the_handlers_and_the_document_name_the_same_members(self):
        handlers = openapi.handler_members()
        self.assertGreater(len(handlers), 15)
        for name, handler in openapi.door_routes().items():
            schema = DOCUMENT.request_schema(DOCUMENT.operations[name])
            if handler in handlers:
                with self.subTest(handler):
                    self.assertEqual(handlers[handler], set(schema["properties"]))

    def test_every_right_is_an_action_of_policy(self):
        header = (openapi.ROOT / "src/policy/policy.h").read_text()
        for name, operation in DOCUMENT.operations.items():
            self.assertIn(f'"{operation["x-right"]}"', header, name)

    def test_every_reference_leads_somewhere(self):
        def walk(node):
            if isinstance(node, dict):
                if "$ref" in node:
                    DOCUMENT.follow(node)
                for value in node.values():
                    walk(value)
            elif isinstance(node, list):
                for value in node:
                    walk(value)

        walk(DOCUMENT.tree)


if __name__ == "__main__":
    unittest.main()
