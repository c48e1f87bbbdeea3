"""What Schemathesis needs to know of this API besides its document: a token that is fresh, and what there is to ask for.

The ids that it invents become ones that exist in every second call, so that half of them meet something.
"""
import json
import os
import re
import urllib.request
import zlib

import schemathesis

KNOWN = json.loads(os.environ["HOLDFAST_FUZZ_KNOWN"])
IDS = KNOWN["ids"]
CUSTOMER = re.compile(KNOWN.get("customerPattern", ""))
UUID = re.compile("^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")


def bucket_of(value):
    """The same for the same value, in every process."""
    return zlib.crc32(json.dumps(value, sort_keys=True, default=str).encode())


def kind_of(name, beside):
    """Of what an id is that has this name, beside these others."""
    if name == "subjectId":
        return f"{beside.get('kind')}Id"
    return name[:-1] if name.endswith("Ids") else name


def replaced(value, index_of, kind=""):
    if isinstance(value, dict):
        return {key: replaced(item, index_of, kind_of(key, value)) for key, item in value.items()}
    if isinstance(value, list):
        items = [replaced(item, index_of, kind) for item in value]
        # What was different stays different.
        return items if len({str(item) for item in items}) == len({str(item) for item in value}) else value
    if not isinstance(value, str) or not UUID.match(value):
        return value
    there = IDS.get(kind)
    return there[index_of(value) % len(there)] if there else value


def met(value, index_of):
    """Every second call meets something in all that it names, and the others in nothing."""
    return replaced(value, index_of) if bucket_of(value) % 2 == 0 else value


@schemathesis.hook
def map_path_parameters(context, path_parameters):
    # One place in all lists: a picture is asked for at its own product.
    index = bucket_of(path_parameters) // 2
    return met(path_parameters, lambda _: index)


@schemathesis.hook
def map_query(context, query):
    return met(query, bucket_of)


@schemathesis.hook
def map_body(context, body):
    return met(body, bucket_of)


@schemathesis.hook
def map_headers(context, headers):
    """A program acts for the customer who has what there is, in every second call that names a customer."""
    name = next((one for one in headers or {} if one.lower() == "holdfast-customer"), None)
    if "customer" not in KNOWN or name is None or not CUSTOMER.fullmatch(str(headers[name])):
        return headers
    return {**headers, name: KNOWN["customer"]} if bucket_of(headers[name]) % 2 == 0 else headers


@schemathesis.auth(refresh_interval=240)
class SignedIn:
    def get(self, case, context):
        if "key" in KNOWN:
            return KNOWN["key"]
        asked = urllib.request.Request(
            KNOWN["url"] + "/auth/login",
            data=json.dumps(KNOWN["account"]).encode(),
            headers={"content-type": "application/json"},
        )
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return json.load(answer)["accessToken"]

    def set(self, case, data, context):
        case.headers = {**(case.headers or {}), "Authorization": f"Bearer {data}"}
