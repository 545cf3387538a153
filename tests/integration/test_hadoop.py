#!/usr/bin/env python3
"""The Hadoop door over TLS: every call and every error row of the protocol's description."""
import hashlib
import json
import os
import unittest

from kms import Kms, RemoteException, b64, unb64
from node import Node, wait_for

AUTHORIZATION = "org.apache.hadoop.security.authorize.AuthorizationException"
AUTHENTICATION = "org.apache.hadoop.security.authentication.client.AuthenticationException"
ILLEGAL = "java.lang.IllegalArgumentException"
IO = "java.io.IOException"
V1 = {"kek": "000102030405060708090a0b0c0d0e0f", "iv": "101112131415161718191a1b1c1d1e1f",
      "dek": "202122232425262728292a2b2c2d2e2f", "edek": "1bb233f33fdda7eb4355da74b404fd91",
      "kek2": "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff", "edek2": "5e7bc676214da099a4ff813a8cfd57ad"}


class Hadoop(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.node = Node().start()

    @classmethod
    def tearDownClass(cls):
        cls.node.close()

    def setUp(self):
        self.kms = Kms(self.node)
        self.addCleanup(self.kms.close)
        self.key = "k-" + hashlib.sha256(self.id().encode()).hexdigest()[:8]

    def refused(self, status, java_class, message, call, *arguments, reason=None):
        with self.assertRaises(RemoteException) as caught:
            call(*arguments)
        failure = caught.exception
        self.assertEqual((failure.status, failure.java_class), (status, java_class), str(failure))
        self.assertRegex(failure.message or "", message)
        self.assertEqual(failure.reason, reason or {400: "Bad Request", 403: "Forbidden",
                                                    500: "Internal Server Error"}[status])

    # --- authentication ---

    def test_the_handshake_is_as_the_client_expects(self):
        self.kms.handshake()
        self.assertEqual(self.kms.challenge.reason, "Authentication required")
        self.assertEqual(self.kms.challenge.getheader("WWW-Authenticate"), "PseudoAuth")
        self.assertRegex(self.kms.cookie, r'^"u=alice&p=alice&t=simple-dt&e=\d+&s=[A-Za-z0-9+/]+="$')

    def test_a_cookie_counts_without_its_quotes_too(self):
        self.kms.cookie = self.kms.handshake().strip('"')
        self.assertIsInstance(self.kms.names(), list)

    def test_a_forged_cookie_is_refused_with_the_words_clients_look_for(self):
        self.kms.cookie = self.kms.handshake().replace("u=alice", "u=admin")
        answer, _ = self.kms.raw("GET", "/kms/v1/keys/names", headers={"Cookie": f"hadoop.auth={self.kms.cookie}"})
        self.assertEqual(answer.status, 401)
        self.assertIn("Invalid signature", answer.reason)

    def test_without_credentials_nothing_is_told(self):
        for method, path in (("GET", "keys/names"), ("POST", "keys"), ("GET", "key/x/_metadata"), ("DELETE", "key/x")):
            answer, body = self.kms.raw(method, "/kms/v1/" + path)
            self.assertEqual((answer.status, answer.reason), (401, "Authentication required"))
            self.assertNotIn(b"RemoteException", body)

    def test_user_name_on_every_request_works_without_a_cookie(self):
        answer, body = self.kms.raw("GET", "/kms/v1/keys/names?user.name=alice")
        self.assertEqual(answer.status, 200)
        self.assertIsInstance(json.loads(body), list)
        self.assertIn("hadoop.auth=", answer.getheader("Set-Cookie"), "and gives one")

    def test_nobody_passes_as_another(self):
        self.refused(403, AUTHORIZATION, "^User: alice is not allowed to impersonate bob$",
                     self.kms.call, "GET", "keys/names?doAs=bob")

    def test_a_foreign_delegation_token_is_refused(self):
        answer, body = self.kms.raw("GET", "/kms/v1/keys/names", headers={"X-Hadoop-Delegation-Token": "AAAA"})
        self.assertEqual((answer.status, answer.reason), (403, "Forbidden"))
        self.assertIn(AUTHENTICATION, body.decode())

    # --- keys ---

    def test_create_answers_201_with_location_and_no_material(self):
        made = self.kms.create(self.key)
        self.assertEqual(made, {"name": self.key, "versionName": self.key + "@0", "material": None})
        self.assertEqual(self.kms.answer.getheader("Location"),
                         f"https://127.0.0.1:{self.node.port}/kms/v1/key/{self.key}")
        self.assertTrue(self.kms.answer.getheader("Content-Type").startswith("application/json"))

    def test_metadata_is_what_was_asked_for(self):
        self.kms.create(self.key, length=256, description="for sales", attributes={"team": "sales"})
        metadata = self.kms.metadata(self.key)
        created = metadata.pop("created")
        self.assertGreater(created, 2**31)
        self.assertEqual(metadata, {"name": self.key, "cipher": "AES/CTR/NoPadding", "length": 256, "versions": 1,
                                    "description": "for sales",
                                    "attributes": {"team": "sales", "key.acl.name": self.key}})

    def test_a_description_that_is_not_given_is_null(self):
        self.kms.create(self.key)
        self.assertIsNone(self.kms.metadata(self.key)["description"])

    def test_metadata_of_many_keeps_order_and_length(self):
        self.kms.create(self.key)
        got = self.kms.call("GET", f"keys/metadata?key=nobody&key={self.key}&key=nobody2")
        self.assertEqual([entry.get("name") for entry in got], [None, self.key, None])
        self.assertEqual(self.kms.call("GET", "keys/metadata"), [])

    def test_what_is_missing_is_empty_and_not_404(self):
        self.assertEqual(self.kms.metadata("nobody"), {})
        self.assertEqual(self.kms.call("GET", "key/nobody"), {})
        self.assertEqual(self.kms.call("GET", "key/nobody/_currentversion"), {})
        self.assertEqual(self.kms.call("GET", "key/nobody/_versions"), [])
        self.assertEqual(self.kms.call("GET", "keyversion/nobody%400"), {})
        self.assertEqual(self.kms.call("GET", "keyversion/strange"), {})
        self.assertEqual(self.kms.call("GET", f"key/{self.key}/_nosuch"), {})

    def test_strange_names_come_back_unchanged(self):
        for name in ("a b", "a\nb", "a/b", "a+b", "%^[]{}|\"<>\\", "snow ☃", "UPPER", "a@1"):
            name = f"{self.key} {name}"
            self.assertEqual(self.kms.create(name)["versionName"], name + "@0")
            self.assertIn(name, self.kms.names())
            self.assertEqual(self.kms.metadata(name)["name"], name)
            edek = self.kms.generate(name)[0]
            self.assertEqual(len(self.kms.decrypt(edek)), 16)
            self.kms.delete(name)

    def test_roll_makes_the_next_version_in_force_at_once(self):
        self.kms.create(self.key)
        old = self.kms.generate(self.key)[0]
        self.assertEqual(self.kms.roll(self.key)["versionName"], self.key + "@1")
        self.kms.invalidate(self.key)
        self.assertEqual(self.kms.generate(self.key)[0]["versionName"], self.key + "@1")
        self.assertEqual(self.kms.metadata(self.key)["versions"], 2)
        self.assertEqual(self.kms.decrypt(old), self.kms.decrypt(self.kms.reencrypt(old)))

    def test_the_published_vectors(self):
        self.kms.create(self.key, material=b64(bytes.fromhex(V1["kek"])))
        edek = {"versionName": self.key + "@0", "iv": b64(bytes.fromhex(V1["iv"])), "encryptedKeyVersion": {
            "name": self.key, "versionName": "EEK", "material": b64(bytes.fromhex(V1["edek"]))}}
        self.assertEqual(self.kms.decrypt(edek).hex(), V1["dek"])
        self.kms.roll(self.key, bytes.fromhex(V1["kek2"]))
        [moved] = self.kms.batch(self.key, [edek])
        self.assertEqual(moved["versionName"], self.key + "@1")
        self.assertEqual(unb64(moved["iv"]).hex(), V1["iv"])
        self.assertEqual(unb64(moved["encryptedKeyVersion"]["material"]).hex(), V1["edek2"])

    def test_data_keys_are_as_long_as_the_key_and_all_different(self):
        for length in (128, 192, 256):
            name = f"{self.key}-{length}"
            self.kms.create(name, length=length)
            made = self.kms.generate(name, 150)
            self.assertEqual(len(made), 150)
            self.assertEqual(len({edek["iv"] for edek in made}), 150)
            deks = {self.kms.decrypt(edek) for edek in made[:20]}
            self.assertEqual({len(dek) for dek in deks}, {length // 8})
            self.assertEqual(len(deks), 20)

    def test_only_keys_that_this_door_serves_are_listed(self):
        self.kms.create(self.key)
        self.node.run("key", "create", f"hadoop/{self.key}-rsa", "--algorithm", "rsa-2048")
        names = self.kms.names()
        self.assertIn(self.key, names)
        self.assertNotIn(self.key + "-rsa", names)
        self.assertNotIn({}, self.kms.call("GET", "keys/metadata?" + "&".join("key=" + self.kms.quote(n) for n in names)))

    def test_sizes_are_judged_before_anything_is_made(self):
        PARAMETER = "java.security.InvalidParameterException"
        for length in (1, 64, 512):
            self.refused(400, PARAMETER, "^Wrong keysize: must be equal to 128, 192 or 256$", self.kms.create, self.key, length)
        self.refused(500, IO, "^Wrong key length. Required 256, but got 128$",
                     lambda: self.kms.create(self.key, 256, material=b64(bytes(16))))
        self.assertNotIn(self.key, self.kms.names())

    def test_many_data_keys_at_once_are_made_and_moved_on_a_worker(self):
        self.kms.create(self.key)
        edeks = self.kms.generate(self.key, 2500)
        self.assertEqual(len({edek["iv"] for edek in edeks}), 2500)
        self.assertGreater(len(json.dumps(edeks)), 256 * 1024)
        plain = self.kms.decrypt(edeks[2499])
        self.kms.roll(self.key)
        moved = self.kms.batch(self.key, edeks)
        self.assertEqual({edek["versionName"] for edek in moved}, {f"{self.key}@1"})
        self.assertEqual(self.kms.decrypt(moved[2499]), plain)

    def test_a_batch_of_mixed_versions_ends_at_the_newest(self):
        self.kms.create(self.key)
        edeks = self.kms.generate(self.key, 3)
        self.kms.roll(self.key)
        edeks += self.kms.generate(self.key, 3)
        self.kms.roll(self.key)
        edeks += [edeks[0], *self.kms.generate(self.key)]
        moved = self.kms.batch(self.key, edeks)
        self.assertEqual({edek["versionName"] for edek in moved}, {self.key + "@2"})
        self.assertEqual([edek["iv"] for edek in moved], [edek["iv"] for edek in edeks])
        self.assertEqual([self.kms.decrypt(e) for e in moved], [self.kms.decrypt(e) for e in edeks])
        self.assertEqual(moved[-1], edeks[-1], "an entry that is there already stays as it is")
        self.assertEqual(self.kms.batch(self.key, []), [])

    def test_a_deleted_key_can_be_taken_back(self):
        self.kms.create(self.key)
        edek = self.kms.generate(self.key)[0]
        dek = self.kms.decrypt(edek)
        self.kms.delete(self.key)
        self.assertNotIn(self.key, self.kms.names())
        self.assertEqual(self.kms.metadata(self.key), {})
        self.refused(400, ILLEGAL, f"^'{self.key}@0' not found$", self.kms.decrypt, edek)
        self.kms.invalidate(self.key)
        self.refused(500, IO, "already exists", self.kms.create, self.key)
        self.kms.call("POST", f"trustee/key/{self.key}?trusteeOp=undelete")
        self.assertEqual(self.kms.decrypt(edek), dek)
        self.kms.delete(self.key)
        self.refused(500, IO, "wait", self.kms.call, "POST", f"trustee/key/{self.key}?trusteeOp=purge")
        self.kms.call("POST", f"trustee/key/{self.key}", "trusteeOp=undelete")
        self.assertEqual(self.kms.decrypt(edek), dek)

    def test_material_does_not_leave_through_this_door(self):
        self.kms.create(self.key)
        for path, operation in ((f"key/{self.key}/_currentversion", "GET_CURRENT_KEY"),
                                (f"key/{self.key}/_versions", "GET_KEY_VERSIONS")):
            self.refused(403, AUTHORIZATION, f"^User:alice not allowed to do '{operation}' on '{self.key}'$",
                         self.kms.call, "GET", path)
        self.refused(403, AUTHORIZATION, "^User:alice not allowed to do 'GET_KEY_VERSION'$",
                     self.kms.call, "GET", f"keyversion/{self.key}%400")

    # --- errors ---

    def test_every_operation_is_refused_to_a_stranger(self):
        self.kms.create(self.key)
        edek = self.kms.generate(self.key)[0]
        bob = Kms(self.node, "bob")
        self.addCleanup(bob.close)
        on = f" on '{self.key}'$"
        for message, call, *arguments in (
                (f"'CREATE_KEY' on '{self.key}-b'$", bob.create, self.key + "-b"),
                ("'ROLL_NEW_VERSION'" + on, bob.roll, self.key),
                ("'DELETE_KEY'" + on, bob.delete, self.key),
                ("'INVALIDATE_CACHE'" + on, bob.invalidate, self.key),
                ("'GET_KEYS'$", bob.names),
                ("'GET_METADATA'" + on, bob.metadata, self.key),
                ("'GET_KEYS_METADATA'$", bob.call, "GET", f"keys/metadata?key={self.key}"),
                ("'GENERATE_EEK'" + on, bob.generate, self.key),
                ("'DECRYPT_EEK'" + on, bob.decrypt, edek),
                ("'REENCRYPT_EEK'" + on, bob.reencrypt, edek),
                ("'REENCRYPT_EEK_BATCH'" + on, bob.batch, self.key, [edek])):
            with self.subTest(message):
                self.refused(403, AUTHORIZATION, "^User:bob not allowed to do " + message, call, *arguments)

    def test_each_mistake_has_its_answer(self):
        self.kms.create(self.key)
        self.kms.create(self.key + "2")
        edek = self.kms.generate(self.key)[0]
        other = {**edek, "encryptedKeyVersion": {**edek["encryptedKeyVersion"], "name": self.key + "2"}}
        missing = {**edek, "versionName": self.key + "@7"}
        call = self.kms.call
        eek = f"keyversion/{self.key}%400/_eek?eek_op=decrypt"
        body = {"name": self.key, "iv": b64(bytes(16)), "material": b64(bytes(16))}
        for status, java_class, message, *rest in (
                (500, IO, f"^Key {self.key} already exists in holdfast://hadoop$", self.kms.create, self.key),
                (500, IO, "^Key nobody does not exist in holdfast://hadoop$", self.kms.delete, "nobody"),
                (500, IO, "^Key nobody not found$", self.kms.roll, "nobody"),
                (500, IO, "nobody", self.kms.generate, "nobody"),
                (500, IO, "^Wrong key length. Required 128, but got 64", self.kms.roll, self.key, bytes(8)),
                (400, "java.security.InvalidParameterException", "Wrong keysize", self.kms.create, "odd", 100),
                (400, ILLEGAL, "^Parameter 'name' cannot be null$", call, "POST", "keys", {}),
                (400, ILLEGAL, "^Parameter 'name' cannot be empty$", call, "POST", "keys", {"name": ""}),
                (400, ILLEGAL, "^Parameter 'name' cannot be empty$", call, "GET", "key//_eek?eek_op=generate"),
                (400, ILLEGAL, "^Parameter 'eek_op' cannot be null$", call, "GET", f"key/{self.key}/_eek"),
                (400, ILLEGAL, "eek_op", call, "GET", f"key/{self.key}/_eek?eek_op=steal"),
                (400, ILLEGAL, "eek_op", call, "POST", f"keyversion/{self.key}%400/_eek?eek_op=steal", body),
                (400, ILLEGAL, "num_keys", call, "GET", f"key/{self.key}/_eek?eek_op=generate&num_keys=0"),
                (400, ILLEGAL, "^Parameter 'iv' cannot be null$", call, "POST", eek, {**body, "iv": None}),
                (400, ILLEGAL, "^Parameter 'material' cannot be null$", call, "POST", eek,
                 {"name": self.key, "iv": b64(bytes(16))}),
                (400, ILLEGAL, "'iv' has 8 bytes", call, "POST", eek, {**body, "iv": b64(bytes(8))}),
                (400, ILLEGAL, f"^'{self.key}@7' not found$", self.kms.decrypt, missing),
                (400, ILLEGAL, f"^'{self.key}@7' not found$", self.kms.reencrypt, missing),
                (400, ILLEGAL, "does not belong to the key", self.kms.decrypt, other),
                (400, ILLEGAL, "does not belong to the key", self.kms.batch, self.key + "2", [edek]),
                (400, ILLEGAL, "'EEK'", self.kms.batch, self.key,
                 [{**edek, "encryptedKeyVersion": {**edek["encryptedKeyVersion"], "versionName": "EK"}}]),
                (400, "java.lang.UnsupportedOperationException", "token", call, "GET", "?op=GETDELEGATIONTOKEN"),
                (500, IO, "no such operation", call, "PUT", "keys/names")):
            with self.subTest(message):
                self.refused(status, java_class, message, *rest)

    def test_broken_bodies_are_told_and_change_nothing(self):
        before = self.kms.names()
        for body in (b"", b"{", b"[]", b'{"name":1}', b'{"name":"a","name":"b"}', b'{"name":"\xff"}', b'"x"',
                     b'{"name":"x","attributes":{"a":1}}', b"[" * 5000):
            with self.subTest(body[:40]):
                self.refused(400, ILLEGAL, ".", self.kms.call, "POST", "keys", body)
        self.refused(400, ILLEGAL, "line 1.*column", self.kms.call, "POST", "keys", b'{"name":')
        self.assertEqual(self.kms.names(), before)

    def test_a_body_that_is_no_object_rolls_nothing(self):
        self.kms.create(self.key)
        for body in (b"", b"{", b"[]", b"[1]", b'"x"', b'{"material":1}', b"{} {}"):
            with self.subTest(body):
                self.refused(400, ILLEGAL, ".", self.kms.call, "POST", f"key/{self.key}", body)
        self.assertEqual(self.kms.metadata(self.key)["versions"], 1)

    def test_members_that_are_not_known_are_skipped(self):
        self.assertEqual(self.kms.create(self.key, flavour="sweet", nested={"a": [1]})["name"], self.key)

    def test_what_is_not_supported_and_what_is_too_much(self):
        self.kms.create(self.key)
        many = f"key/{self.key}/_eek?eek_op=generate&num_keys=10001"
        unsupported = "java.lang.UnsupportedOperationException"
        for status, java_class, message, reason, *rest in (
                (400, ILLEGAL, "num_keys", None, self.kms.call, "GET", many),
                (400, unsupported, "DESede", None, self.kms.create, self.key + "-des", 128, "DESede/CTR/NoPadding"),
                (413, IO, "larger than", "Content Too Large", self.kms.call, "POST", "keys", b" " * 300000)):
            with self.subTest(message):
                self.refused(status, java_class, message, *rest, reason=reason)

    def test_a_path_that_is_no_operation_is_the_name_of_a_key(self):
        self.kms.create(self.key)
        self.assertEqual(self.kms.call("GET", f"key/{self.key}/_nosuch"), {})
        self.kms.create(self.key + "/_nosuch")
        self.assertEqual(self.kms.call("GET", f"key/{self.key}/_nosuch")["name"], self.key + "/_nosuch")

    def test_a_suspended_version_is_an_error_of_the_server_and_says_so(self):
        self.kms.create(self.key)
        edek = self.kms.generate(self.key)[0]
        self.node.run("key", "state", f"hadoop/{self.key}", "suspend", "--version", "0", "--reason", "INC-1")
        self.refused(500, IO, f"^version 0 of the key hadoop/{self.key} is suspended", self.kms.decrypt, edek)
        self.node.run("key", "state", f"hadoop/{self.key}", "resume", "--version", "0")
        self.assertEqual(len(self.kms.decrypt(edek)), 16)

    def test_a_bodiless_post_needs_no_length(self):
        self.kms.create(self.key)
        self.kms.handshake()
        self.kms.wire.putrequest("POST", f"/kms/v1/key/{self.key}/_invalidatecache")
        self.kms.wire.putheader("Cookie", f"hadoop.auth={self.kms.cookie}")
        self.kms.wire.endheaders()
        answer = self.kms.wire.getresponse()
        answer.read()
        self.assertEqual((answer.status, answer.getheader("Content-Length")), (200, "0"))

    def test_the_status_page_has_the_beans(self):
        self.kms.handshake()
        answer, body = self.kms.raw("GET", "/kms/jmx", headers={"Cookie": f"hadoop.auth={self.kms.cookie}"})
        names = [bean["name"] for bean in json.loads(body)["beans"]]
        self.assertEqual(answer.status, 200)
        self.assertIn("java.lang:type=Memory", names)
        self.assertTrue(any("JvmMetrics" in name for name in names))

    def test_java_keeps_its_connection(self):
        self.kms.handshake()
        self.kms.names()
        self.assertEqual(self.kms.answer.getheader("Connection"), "keep-alive")
        self.assertIn("timeout=60", self.kms.answer.getheader("Keep-Alive"))


class Expiry(unittest.TestCase):
    def test_an_expired_cookie_is_told_as_such(self):
        with Node() as node:
            node.configure('node = "node-1"', 'node = "node-1"\ncookie_validity = 1')
            node.start()
            alice = Kms(node)
            cookie = alice.handshake()

            def answer():
                return alice.raw("GET", "/kms/v1/keys/names", headers={"Cookie": f"hadoop.auth={cookie}"})[0]
            expired = wait_for(lambda: (got := answer()).status == 401 and got, "expiry of the cookie")
            self.assertEqual(expired.reason, "AuthenticationToken expired")


class Sessions(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.node = Node().start()
        cls.node.run("policy", "grant", "--who", "pseudo:bob", "--role", "key-user")

    @classmethod
    def tearDownClass(cls):
        cls.node.close()

    def setUp(self):
        self.alice, self.bob = Kms(self.node), Kms(self.node, "bob")
        self.addCleanup(self.alice.close)
        self.addCleanup(self.bob.close)

    def refused(self, kms, reason):
        with self.assertRaises(RemoteException) as caught:
            kms.names()
        self.assertEqual(caught.exception.status, 401)
        self.assertIn(reason, caught.exception.reason)

    def test_a_cookie_that_was_taken_back_is_refused_and_that_of_another_user_is_not(self):
        self.alice.names()
        self.bob.names()
        self.node.run("session", "end", "alice")
        self.refused(self.alice, "AuthenticationToken expired")
        self.bob.names()
        # She comes back at once, also after a restart, where the list is there again.
        old = self.alice.cookie
        self.alice.handshake()
        self.alice.names()
        self.node.stop()
        self.node.start()
        for kms in (self.alice, self.bob):
            kms.wire.close()
            kms.wire = self.node.connection()
            kms.names()
        self.alice.cookie = old
        self.refused(self.alice, "AuthenticationToken expired")

    def test_all_cookies_can_be_taken_back(self):
        self.alice.names()
        self.bob.names()
        self.node.run("session", "end", "--all")
        for kms in (self.alice, self.bob):
            self.refused(kms, "Invalid signature")
            kms.handshake()
            kms.names()

    def test_the_door_wants_to_be_told_whose_and_the_trail_tells_it(self):
        for body in ({}, {"all": False}, {"user": "alice", "all": True}, {"user": 1}, {"user": ""}, {"user": "a=b"},
                     {"user": "a" * 256}, {"who": "alice"}):
            status, answer = self.node.admin("POST", "/api/v1/sessions/end", body)
            self.assertEqual((status, answer["error"]["code"]), (400, "invalid"), (body, answer))
        self.assertEqual(self.node.admin("POST", "/api/v1/sessions/end", {"user": "carol"}), (200, {}))
        self.node.run("session", "end", code=2)
        self.node.run("session", "end", "alice", "--all", code=2)

        def told():
            return any(line["operation"] == "session.end" and "'carol'" in line.get("detail", "")
                       for line in map(json.loads, (self.node.dir / "audit" / "audit.log").read_text().splitlines()))
        wait_for(told, "line of the trail")


class Export(unittest.TestCase):
    def test_with_hadoop_export_acl_material_is_given_to_whom_policy_lets(self):
        with Node() as node:
            node.configure('hadoop_keyring = "hadoop"', 'hadoop_keyring = "hadoop"\n    hadoop_export = "acl"')
            node.start()
            alice = Kms(node)
            material = os.urandom(16)
            made = alice.create("open", material=b64(material))
            self.assertEqual(unb64(made["material"]), material)
            self.assertEqual(unb64(alice.call("GET", "key/open/_currentversion")["material"]), material)
            rolled = alice.roll("open")
            versions = alice.call("GET", "key/open/_versions")
            self.assertEqual([v["versionName"] for v in versions], ["open@0", "open@1"])
            self.assertEqual(versions[1]["material"], rolled["material"])
            node.run("policy", "grant", "--who", "pseudo:carol", "--role", "key-user", "--role", "key-admin")
            carol = Kms(node, "carol")
            self.assertIsNone(carol.roll("open")["material"])
            with self.assertRaises(RemoteException) as caught:
                carol.call("GET", "key/open/_currentversion")
            self.assertEqual(caught.exception.status, 403)
            trail = (node.dir / "audit/audit.log").read_text()
            exports = [line for line in trail.splitlines() if '"key.export"' in line and '"ok"' in line]
            self.assertGreaterEqual(len(exports), 5)


if __name__ == "__main__":
    unittest.main()
