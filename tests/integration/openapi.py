"""docs/openapi.yaml, and whether a request or an answer is as it says."""
import pathlib
import re

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
METHODS = ("get", "post", "put", "patch", "delete")
TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int}


class Document:
    def __init__(self):
        self.tree = yaml.safe_load((ROOT / "docs/openapi.yaml").read_text())
        self.operations = {(method.upper(), path): operation
                           for path, item in self.tree["paths"].items()
                           for method, operation in item.items() if method in METHODS}

    def follow(self, node):
        while "$ref" in node:
            place = self.tree
            for step in node["$ref"].removeprefix("#/").split("/"):
                place = place[step]
            node = place
        return node

    def find(self, method, path):
        """The operation that a call is, and its name: (method, path with {parameters})."""
        path = path.split("?")[0]
        for (known, template), operation in self.operations.items():
            if known == method and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path):
                return (known, template), operation
        return None, None

    def request_schema(self, operation):
        body = operation.get("requestBody")
        return self.follow(body["content"]["application/json"]["schema"]) if body else None

    def answer_schema(self, operation, status):
        responses = operation["responses"]
        answer = self.follow(responses.get(str(status), responses["default"]))
        return self.follow(answer["content"]["application/json"]["schema"])

    def problems(self, value, schema, where="answer"):
        """What is not as the schema says, one line each."""
        schema = self.follow(schema)
        if value is None and schema.get("nullable"):
            return
        for part in schema.get("allOf", ()):
            yield from self.problems(value, part, where)
        kind = TYPES.get(schema.get("type"))
        if kind and (not isinstance(value, kind) or (kind is int and isinstance(value, bool))):
            yield f"{where}: {value!r} is no {schema['type']}"
            return
        if "enum" in schema and value not in schema["enum"]:
            yield f"{where}: {value!r} is none of {schema['enum']}"
        if "pattern" in schema and not re.search(schema["pattern"], value):
            yield f"{where}: {value!r} does not match {schema['pattern']}"
        if kind is int and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
            yield f"{where}: {value!r} is out of bounds"
        if kind is dict:
            yield from self.object_problems(value, schema, where)
        elif kind is list:
            for i, item in enumerate(value):
                yield from self.problems(item, schema["items"], f"{where}[{i}]")

    def object_problems(self, value, schema, where):
        known = schema.get("properties", {})
        for name in schema.get("required", ()):
            if name not in value:
                yield f"{where}: {name} is missing"
        for name, member in value.items():
            other = schema.get("additionalProperties", True)
            if name in known:
                yield from self.problems(member, known[name], f"{where}.{name}")
            elif isinstance(other, dict):
                yield from self.problems(member, other, f"{where}.{name}")
            elif other is False:
                yield f"{where}: {name} is not in the schema"


def door_routes():
    """(method, path) of the table in src/admin/door.c, and the handler of each."""
    text = (ROOT / "src/admin/door.c").read_text()
    words = {name: value for name, value in re.findall(r"#define (\w+)\s+(.*)", text)}

    def path_of(expression):
        parts = (token.strip('"') if token.startswith('"') else path_of(words[token])
                 for token in re.findall(r'"[^"]*"|\w+', expression))
        return "".join(parts)

    table = text[text.index("hf_route routes[]"):]
    table = table[:table.index("{ 0 }")]
    rows = re.findall(r"\{\s*HF_(\w+),\s*([^,]+),[^,]+,\s*HF_\w+,\s*hf_admin_(\w+)\s*\}", table)
    return {(method, re.sub(r":(\w+)", r"{\1}", path_of(path))): handler for method, path, handler in rows}


def handler_members():
    """The members that each handler of src/admin takes, by its name; handlers without a body are not here."""
    found = {}
    for path in sorted((ROOT / "src/admin").glob("*.c")):
        for handler, body in re.findall(r"^HANDLER\((\w+)\)\n\{(.*?)^\}", path.read_text(), re.S | re.M):
            members = re.search(r"members\[\]\s*=\s*\{(.*?)\}", body, re.S)
            if members:
                found[handler] = set(re.findall(r'"(\w+)"', members.group(1)))
    return found
