"""The key map: stable, set-wise, durable, 32-bit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from masterkey_omop.keys import LIMIT, Key, KeyError_, KeyMap

A, B, C = (Key("person", "Patient", i) for i in "abc")


def test_each_table_counts_on_its_own_in_sorted_order() -> None:
    keys = KeyMap()
    assert keys.allocate("jp_x", [B, A, Key("measurement", "Observation", "o", "gene")]) == {
        A: 1,
        B: 2,
        Key("measurement", "Observation", "o", "gene"): 1,
    }


def test_a_key_keeps_its_integer_and_sites_do_not_share() -> None:
    keys = KeyMap()
    first = keys.allocate("jp_x", [B])
    assert keys.allocate("jp_x", [A, B, C]) == {A: 2, B: first[B], C: 3}
    assert keys.allocate("my_y", [B]) == {B: 4}
    assert keys.find("person", 4) == ("my_y", B)
    assert keys.find("person", 5) is None
    assert keys.allocate("jp_x", []) == {}


def test_keys_are_durable_after_commit(tmp_path: Path) -> None:
    with KeyMap(tmp_path / "keys.duckdb") as keys:
        keys.allocate("s", [A, B])
        keys.commit()
        keys.allocate("s", [C])  # not committed: forgotten
    with KeyMap(tmp_path / "keys.duckdb") as keys:
        assert keys.find("person", 3) is None
        assert keys.allocate("s", [Key("person", "Patient", "0"), B]) == {
            Key("person", "Patient", "0"): 3,
            B: 2,
        }


def test_full_and_damaged_maps_say_so(tmp_path: Path) -> None:
    keys = KeyMap()
    keys.allocate("s", [A])
    keys._db.execute("UPDATE key SET id = ?", [LIMIT])
    with pytest.raises(KeyError_, match="32-bit"):
        keys.allocate("s", [B])
    (tmp_path / "keys.duckdb").write_bytes(b"damaged" * 2000)
    with pytest.raises(KeyError_, match="can't be opened"):
        KeyMap(tmp_path / "keys.duckdb")


READER = """
import duckdb, sys, time
connection = duckdb.connect(sys.argv[1], read_only=True)
print("open", flush=True)
time.sleep(float(sys.argv[2]))
"""


@pytest.mark.parametrize(("held", "wait"), [("1.5", 20.0), ("30", 0.2)])
def test_a_map_that_is_being_read_is_waited_for(tmp_path: Path, held: str, wait: float) -> None:
    with KeyMap(tmp_path / "keys.duckdb") as keys:
        keys.allocate("s", [A])
        keys.commit()
    reader = subprocess.Popen(
        [sys.executable, "-c", READER, tmp_path / "keys.duckdb", held], stdout=subprocess.PIPE, text=True
    )
    assert reader.stdout is not None
    assert reader.stdout.readline() == "open\n"
    if wait > 1:
        with KeyMap(tmp_path / "keys.duckdb", wait=wait) as keys:
            assert keys.find("person", 1) == ("s", A)
    else:
        with pytest.raises(KeyError_, match="can't be opened"):
            KeyMap(tmp_path / "keys.duckdb", wait=wait)
    reader.kill()
    reader.communicate()


names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=5)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.builds(Key, st.sampled_from(["person", "note"]), names, names, names), max_size=8)))
def test_any_history_is_a_bijection(batches: list[list[Key]]) -> None:
    keys, seen = KeyMap(), dict[Key, int]()
    for batch in batches:
        got = keys.allocate("s", batch)
        assert all(seen.setdefault(key, number) == number for key, number in got.items())
    for table in ("person", "note"):
        numbers = sorted(n for k, n in seen.items() if k.table == table)
        assert numbers == list(range(1, len(numbers) + 1))
