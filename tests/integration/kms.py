"""A client of the Hadoop door, written from the protocol's description."""
import base64
import json
import urllib.parse


def b64(data):
    return base64.b64encode(data).decode()


def unb64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class RemoteException(Exception):
    def __init__(self, status, reason, body):
        self.status = status
        self.reason = reason
        try:
            inner = json.loads(body)["RemoteException"]
            self.java_class = inner["javaClassName"]
            self.message = inner["message"]
        except (ValueError, KeyError):
            self.java_class = None
            self.message = body.decode(errors="replace")
        super().__init__(f"{status} {reason} {self.java_class}: {self.message}")


class Kms:
    """Does the handshake as Hadoop's KMSClientProvider does, then sends the cookie only."""

    def __init__(self, node, user="alice"):
        self.node = node
        self.user = user
        self.cookie = None
        self.wire = node.connection()

    def close(self):
        self.wire.close()

    def raw(self, method, path, body=None, headers=None):
        headers = dict(headers or {})
        self.wire.request(method, path, body, headers)
        answer = self.wire.getresponse()
        return answer, answer.read()

    def handshake(self, path="/kms/v1/keys/names"):
        answer, _ = self.raw("OPTIONS", path)
        assert answer.status == 401, answer.status
        self.challenge = answer
        join = "&" if "?" in path else "?"
        answer, _ = self.raw("OPTIONS", f"{path}{join}user.name={urllib.parse.quote(self.user)}")
        assert answer.status == 200, (answer.status, answer.reason)
        self.cookie = answer.getheader("Set-Cookie").split(";")[0].split("=", 1)[1]
        return self.cookie

    def call(self, method, path, body=None, expect=200, headers=None):
        if self.cookie is None:
            self.handshake()
        headers = {"Cookie": f"hadoop.auth={self.cookie}", "Content-Type": "application/json", **(headers or {})}
        data = body if body is None or isinstance(body, (bytes, str)) else json.dumps(body)
        answer, text = self.raw(method, "/kms/v1/" + path, data, headers)
        self.answer = answer
        if answer.status != expect:
            raise RemoteException(answer.status, answer.reason, text)
        return json.loads(text) if text else None

    @staticmethod
    def quote(name):
        """As Java's URLEncoder does."""
        return urllib.parse.quote_plus(name)

    def create(self, name, length=128, cipher="AES/CTR/NoPadding", **more):
        return self.call("POST", "keys", {"name": name, "cipher": cipher, "length": length, **more}, expect=201)

    def roll(self, name, material=None):
        body = {} if material is None else {"material": b64(material)}
        return self.call("POST", f"key/{self.quote(name)}", body)

    def delete(self, name):
        return self.call("DELETE", f"key/{self.quote(name)}")

    def invalidate(self, name):
        return self.call("POST", f"key/{self.quote(name)}/_invalidatecache")

    def names(self):
        return self.call("GET", "keys/names")

    def metadata(self, name):
        return self.call("GET", f"key/{self.quote(name)}/_metadata")

    def generate(self, name, count=1):
        return self.call("GET", f"key/{self.quote(name)}/_eek?eek_op=generate&num_keys={count}")

    def _eek(self, operation, edek):
        return self.call("POST", f"keyversion/{self.quote(edek['versionName'])}/_eek?eek_op={operation}", {
            "name": edek["encryptedKeyVersion"]["name"],
            "iv": b64(unb64(edek["iv"])),
            "material": b64(unb64(edek["encryptedKeyVersion"]["material"]))})

    def decrypt(self, edek):
        return unb64(self._eek("decrypt", edek)["material"])

    def reencrypt(self, edek):
        return self._eek("reencrypt", edek)

    def batch(self, name, edeks):
        return self.call("POST", f"key/{self.quote(name)}/_reencryptbatch", edeks)
