"""Splicing: only what must change changes."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from masterkey_fhir.json import loads
from masterkey_fhir.store.text import (
    packed,
    same_content,
    unpacked,
    with_id,
    with_meta,
    without_version,
)

KEYS = st.sampled_from(["a", "name", "é", "ключ", 'quote"', "back\\slash", "contained", "text"])
VALUES = st.recursive(
    st.one_of(st.text(max_size=8), st.integers(-9, 9), st.booleans(), st.none(), st.just(Decimal("1.10"))),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)
META = st.none() | st.fixed_dictionaries(
    {}, optional={"versionId": st.just("9"), "lastUpdated": st.just("2001"), "source": st.just("#x")}
)


@st.composite
def texts(draw: st.DrawFn) -> tuple[bytes, dict[str, Any]]:
    """A resource with id and meta anywhere, in some layout."""
    members = list(draw(st.dictionaries(KEYS, VALUES, max_size=4)).items())
    members.insert(draw(st.integers(0, len(members))), ("resourceType", "Basic"))
    if draw(st.booleans()):
        members.insert(draw(st.integers(0, len(members))), ("id", "old"))
    meta = draw(META)
    if meta is not None:
        members.insert(draw(st.integers(0, len(members))), ("meta", meta))
    resource = dict(members)
    text = json.dumps(
        resource,
        ensure_ascii=draw(st.booleans()),
        indent=draw(st.sampled_from([None, 2])),
        default=lambda d: json.loads("1.5"),
    )
    return text.encode("utf-8", "surrogatepass"), json.loads(text)


def parsed(text: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text)
    return found


@given(texts())
@settings(max_examples=200, deadline=None)
def test_with_id(given: tuple[bytes, dict[str, Any]]) -> None:
    text, resource = given
    out = with_id(text, "new")
    assert parsed(out) == {**resource, "id": "new"}
    assert list(parsed(with_id(out, "old"))) == list(parsed(out))


@given(texts())
@settings(max_examples=200, deadline=None)
def test_with_meta(given: tuple[bytes, dict[str, Any]]) -> None:
    text, resource = given
    out = parsed(with_meta(text, 3, "2026-01-01T00:00:00.000Z"))
    ours = {"versionId": "3", "lastUpdated": "2026-01-01T00:00:00.000Z"}
    assert out["meta"] == {**resource.get("meta", {}), **ours}
    assert {k: v for k, v in out.items() if k != "meta"} == {k: v for k, v in resource.items() if k != "meta"}


@given(texts())
@settings(max_examples=200, deadline=None)
def test_served_and_sent_again_is_the_same_text(given: tuple[bytes, dict[str, Any]]) -> None:
    """What a client reads and puts back is unchanged: our own meta comes off without a trace."""
    text, resource = given
    kept = without_version(text, resource)
    served = with_meta(kept, 1, "2026-01-01T00:00:00.000Z")
    back = without_version(served, parsed(served))
    assert parsed(back) == parsed(kept) or parsed(back) == {k: v for k, v in parsed(kept).items() if k != "meta"}


def test_every_other_byte_stays() -> None:
    text = b'{ "resourceType" :"Observation",\n\t"id": "a" , "v": 1.10e2, "t":"\\u00e9\\/", "n":[ null ,{} ] }'
    assert with_id(text, "b") == text.replace(b'"a"', b'"b"')
    assert with_meta(text, 1, "T") == text.replace(b'"a"', b'"a","meta":{"versionId":"1","lastUpdated":"T"}')


def test_meta_of_an_older_version_does_not_stay() -> None:
    text = b'{"resourceType":"Basic","id":"a","meta":{"versionId":"9","source":"#x","lastUpdated":"2001"}}'
    served = with_meta(text, 2, "T")
    assert served == b'{"resourceType":"Basic","id":"a","meta":{"versionId":"2","lastUpdated":"T","source":"#x"}}'
    assert without_version(served, parsed(served)) == b'{"resourceType":"Basic","id":"a","meta":{"source":"#x"}}'
    assert without_version(with_meta(text[:32] + b"}", 1, "T"), {"meta": {"versionId": "1"}}) == text[:32] + b"}"


def test_digits_count_as_content_spelling_does_not() -> None:
    assert same_content(b'{"a":1.0,"b":"x"}', b'{ "b":"\\u0078", "a":1.0}')
    assert not same_content(b'{"a":1.0}', b'{"a":1.00}')
    assert not same_content(b'{"a":1.0}', b'{"a":"1.0"}')


@given(st.binary(max_size=50), st.integers(0, 4000))
def test_packing_is_lossless(extra: bytes, size: int) -> None:
    text = b'{"a":"' + extra.hex().encode() * (size // 10 + 1) + b'"}'
    assert unpacked(packed(text)) == text
    assert loads(unpacked(packed(text)))
