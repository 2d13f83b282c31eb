"""Names and digests under a key against the standard library's hmac (RFC 2104) as oracle."""

from __future__ import annotations

import hmac

from hypothesis import given
from hypothesis import strategies as st

from masterkey_etl.keyed import LENGTH, keyed
from masterkey_etl.keys import Key

SECRET = st.binary(min_size=1, max_size=200)


@given(secret=SECRET, text=st.text())
def test_a_name_is_the_digest_in_letters(secret: bytes, text: str) -> None:
    digest = hmac.digest(secret, text.encode(), "sha256")
    alphabet = "abcdefghijklmnopqrstuvwxyz234567"  # RFC 4648 section 6, in lower case
    assert keyed(secret)(text) == "".join(alphabet[b & 31] for b in digest[:LENGTH])


@given(secret=SECRET, parts=st.lists(st.text(), max_size=4))
def test_a_digest_frames_its_parts_by_length(secret: bytes, parts: list[str]) -> None:
    message = b"".join(len(p.encode()).to_bytes(4, "big") + p.encode() for p in parts)
    assert Key(1, secret).digest(*parts) == hmac.digest(secret, message, "sha256").hex()[:32]


def test_a_key_shows_nothing_of_its_secret() -> None:
    assert repr(Key(3, b"secret")) == "Key(version=3)" and Key(1, b"a") == Key(1, b"a") != Key(1, b"b")
