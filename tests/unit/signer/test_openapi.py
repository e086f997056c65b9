"""The signer's OpenAPI document says what the code does."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
import yaml
from openapi_spec_validator import validate

from notary_common import wire
from notary_signer import encoding, policy
from notary_signer.http.routes import TABLE
from notary_signer.operations import MAX_DESCRIBED

DOCUMENT = Path(__file__).parents[3] / "docs" / "reference" / "signer-openapi.yaml"
STRUCTS = [
    value for value in vars(wire).values() if isinstance(value, type) and issubclass(value, msgspec.Struct)
]


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(DOCUMENT.read_text())
    return loaded


def test_it_is_openapi(document: dict[str, Any]) -> None:
    """The document follows the specification."""
    validate(document)


@pytest.mark.parametrize("struct", [kind for kind in STRUCTS if kind is not msgspec.Struct])
def test_bodies_have_the_wires_members(document: dict[str, Any], struct: type[msgspec.Struct]) -> None:
    """Every body of the wire is described, with all its members and no other."""
    schema = document["components"]["schemas"][struct.__name__]
    assert set(schema["properties"]) == set(schema["required"]) == set(struct.__struct_fields__)
    assert schema["additionalProperties"] is False


@pytest.mark.parametrize("name", ["Algorithm", "OnlineRole", "KeyState", "ErrorCode"])
def test_words_are_the_wires(document: dict[str, Any], name: str) -> None:
    """Every closed list of words is the same in both."""
    assert document["components"]["schemas"][name]["enum"] == list(get_args(getattr(wire, name)))


def test_addresses_are_the_route_table(document: dict[str, Any]) -> None:
    """Every route is described, and no other."""
    routes = {(method.lower(), path) for path, methods in TABLE.items() for method in methods}
    described = {
        (method, path)
        for path, item in document["paths"].items()
        for method in item
        if method in {"get", "post", "put", "delete", "patch"}
    }
    assert routes == described


def test_bounds_are_the_codes(document: dict[str, Any]) -> None:
    """The numbers in the document are the constants."""
    schemas = document["components"]["schemas"]
    text = document["paths"]["/v1/keys/{key_id}/sign"]["post"]["description"]
    assert schemas["DescribeRequest"]["properties"]["key_ids"]["maxItems"] == MAX_DESCRIBED
    assert schemas["Gun"]["maxLength"] == policy.MAX_GUN_LENGTH
    assert set(schemas["SignResponse"]["properties"]["method"]["enum"]) == set(encoding.METHODS.values())
    assert f"{policy.MAX_PAYLOAD_BYTES >> 20} MiB" in text
    assert str(policy.MAX_VERSION) in text
    for lifetime in policy.MAX_LIFETIME.values():
        assert f"{lifetime.days} days" in text
