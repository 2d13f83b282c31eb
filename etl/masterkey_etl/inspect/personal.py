"""What in a column looks like a person: by words of its header and by the shapes of its values. Never the values.

Shapes of numbers: site-formats 4.3 (check digits: masterkey_etl.national); of names: 4.4.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from masterkey_etl import national
from masterkey_etl.inspect.words import meaning

_KINDS: dict[str, str] = {"name": "names", "clinician": "names", "phone": "telephone numbers", "email": "e-mail"}
_KINDS |= {"address": "addresses", "postcode": "postcodes", "national_number": "national numbers"}
_KINDS |= {"patient_id": "patient numbers", "birth_date": "birth dates", "remark": "free text"}


@dataclass(frozen=True, slots=True)
class Suspicion:
    """`kind` of personal data; `column` flag for a source model: identifier, free_text or none (dates)."""

    kind: str
    flag: str
    confidence: float
    evidence: str


def by_header(header: str) -> Suspicion | None:
    found = meaning(header)
    if found is None or found[0].id not in _KINDS:
        return None
    said, word = found
    return Suspicion(_KINDS[said.id], said.personal or "none", 0.9, f"the header has the word {word}")


def by_shape(counts: Counter[str], n: int) -> Iterator[Suspicion]:
    """`counts`: values per kind of `kinds`; `n` values that are not null."""
    for kind, k in counts.items():
        share = k / n
        if share >= _ENOUGH.get(kind, 0.5):
            flag = "free_text" if kind == "addresses" else "identifier"
            yield Suspicion(kind, flag, min(0.95, share * _TRUST.get(kind, 0.8)), f"{k} of {n} values have that shape")


_ENOUGH = {"e-mail": 0.02, "names": 0.4, "addresses": 0.2, "telephone numbers": 0.3}
_TRUST = {"e-mail": 0.95, "names": 0.6, "national numbers": 0.9}


@lru_cache(maxsize=65536)
def kinds(text: str) -> tuple[str, ...]:
    """The kinds of personal data this text has the shape of."""
    return tuple(kind for kind, test in _TESTS.items() if test(text))


_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[A-Za-z]{2,}")
_PHONE = re.compile(r"(?:\+[0-9]{1,3}[ -]?|0)[0-9]{1,4}[ )-][0-9]{2,4}[ -]?[0-9]{3,4}|0[0-9]{9,10}|\+[0-9]{10,12}")
_DASHED = re.compile(
    r"[0-9]{6}-[0-9]{2}-[0-9]{4}|[0-9]{2}-[0-9]{9}-[0-9]|[0-9]-[0-9]{4}-[0-9]{5}-[0-9]{2}-[0-9]|[0-9]{6}-[1-8][0-9]{6}"
    r"|[0-9]{4}-[0-9]{4}-[0-9]{4}-[0-9]{4}"
)
_POSTCODE = re.compile(r"〒?[0-9]{3}-[0-9]{4}")
_ADDRESS = re.compile(
    r"(?:東京都|北海道|(?:京都|大阪)府|.{2,3}県).{0,8}[市区町村郡]|[0-9]+丁目|ถนน|ตำบล|อำเภอ|\b(?:Jalan|Jln|Jl|Kampung|Lorong)\b"
    r"|\b(?:phường|quận|huyện)\b|\b(?:street|road|avenue|barangay)\b",
    re.IGNORECASE,
)
_KANJI_NAME = re.compile(r"[一-\u9fff々]{1,4}[ 　][一-\u9fff々ぁ-ゟ゠-ヿ]{1,5}")
_KANA_NAME = re.compile(r"[ァ-ヿｦ-ﾟ]{2,8}[ 　][ァ-ヿｦ-ﾟ]{1,8}|[ぁ-ゟ]{2,8}[ 　][ぁ-ゟ]{1,8}")
_THAI_NAME = re.compile(r"(?:นาย|นางสาว|นาง|น\.ส\.|ด\.ช\.|ด\.ญ\.)\s*[ก-๛].*")
_MALAY_NAME = re.compile(r".+\b(?:bin|binti|a/l|a/p)\b.+", re.IGNORECASE)
_VIETNAM_NAME = re.compile(
    r"(?:Nguyễn|Trần|Lê|Phạm|Hoàng|Huỳnh|Phan|Vũ|Võ|Đặng|Bùi|Đỗ|Hồ|Ngô|Dương|Lý)(?: \w+){1,3}", re.I
)
_LATIN_NAME = re.compile(r"[A-Z][a-z'’-]+,? [A-Z][a-z'’-]+(?: [A-Z][a-z'’.-]*)?|[A-Z'-]{2,},? [A-Z][A-Za-z'-]+")
_NAMES = (_KANJI_NAME, _KANA_NAME, _THAI_NAME, _MALAY_NAME, _VIETNAM_NAME, _LATIN_NAME)


def _national(text: str) -> bool:
    if _DASHED.fullmatch(text):
        return True
    digits = re.sub(r"[\s-]", "", text)
    if not digits.isascii() or not digits.isdigit():
        return False
    if len(digits) == 13:
        return not list(national.thai_cid(digits, {}))
    return national.is_my_number(digits) or (len(digits) in (12, 16) and _embedded_date(digits))


def _embedded_date(digits: str) -> bool:
    """MyKad YYMMDD…; NIK ……DDMMYY…, 40 added to the day for women."""
    if len(digits) == 12:
        return 1 <= int(digits[2:4]) <= 12 and 1 <= int(digits[4:6]) <= 31
    return 1 <= int(digits[6:8]) % 40 <= 31 and 1 <= int(digits[8:10]) <= 12


_TESTS: dict[str, Callable[[str], bool]] = {
    "e-mail": lambda t: bool(_EMAIL.search(t)),
    "national numbers": _national,
    "telephone numbers": lambda t: bool(_PHONE.fullmatch(t)) and not _DASHED.fullmatch(t),
    "postcodes": lambda t: bool(_POSTCODE.fullmatch(t)),
    "addresses": lambda t: bool(_ADDRESS.search(t)),
    "names": lambda t: len(t) < 60 and any(p.fullmatch(t) for p in _NAMES),
}
