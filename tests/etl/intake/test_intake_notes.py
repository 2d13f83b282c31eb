"""What an Issue is about goes in as a keyed digest, never as it stands in the file."""

from __future__ import annotations

from masterkey_etl.keys import Key
from masterkey_etl.readers.notes import Notes
from masterkey_fhir.issue import Issue, Place, issue


def about(seal: Key, *values: str) -> str:
    told: list[Issue] = []
    Notes(Place("jp_ncch", "a.csv"), told.append, seal.digest).add_about(issue("etl.tree-empty", Place()), *values)
    return told[0].value


def test_a_value_is_told_by_a_keyed_digest_alone() -> None:
    one, other = Key(1, b"a" * 32), Key(1, b"b" * 32)
    said = about(one, "Yamada", "Taro")
    assert said == about(one, "Yamada", "Taro") and "Yamada" not in said
    assert len({said, about(one, "YamadaTaro", ""), about(one, "Yamada"), about(other, "Yamada", "Taro")}) == 4
