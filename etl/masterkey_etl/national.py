"""National person numbers: what their digits say. Facts as in site-formats 4.3 and python-stdnum 2.2.

A check gives the problems it finds, as words; it never gives the number. "Valid" means little for numbers
without a check digit (NIK, MyKad), so embedded facts are compared with the Patient instead.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

Check = Callable[[str, Mapping[str, Any]], Iterator[str]]


def thai_cid(value: str, patient: Mapping[str, Any]) -> Iterator[str]:
    """13 digits, the first not 0 or 9; check = (11 - sum mod 11) mod 10 with weights 13..2."""
    if not re.fullmatch(r"[1-8][0-9]{12}", value):
        yield "format"
    elif (11 - _weighted(value[:12], range(13, 1, -1)) % 11) % 10 != int(value[12]):
        yield "check digit"


def mykad(value: str, patient: Mapping[str, Any]) -> Iterator[str]:
    """12 digits YYMMDDPBxxxG: birth date; the last digit is odd for men."""
    digits = value.replace("-", "")
    if not re.fullmatch(r"[0-9]{12}", digits):
        yield "format"
        return
    yield from _against(patient, digits[:6], "male" if int(digits[-1]) % 2 else "female")


def nik(value: str, patient: Mapping[str, Any]) -> Iterator[str]:
    """16 digits PPRRSSDDMMYYxxxx; 40 is added to the day for women."""
    if not re.fullmatch(r"[0-9]{16}", value):
        yield "format"
        return
    day = int(value[6:8])
    woman = day > 40
    embedded = f"{value[10:12]}{value[8:10]}{day - 40 if woman else day:02d}"
    yield from _against(patient, embedded, "female" if woman else "male")


def philhealth(value: str, patient: Mapping[str, Any]) -> Iterator[str]:
    if not re.fullmatch(r"[0-9]{2}-?[0-9]{9}-?[0-9]", value):
        yield "format"


def philsys(value: str, patient: Mapping[str, Any]) -> Iterator[str]:
    if not re.fullmatch(r"[0-9]{4}-?[0-9]{4}-?[0-9]{4}-?[0-9]{4}", value):
        yield "format"


def cccd(value: str, patient: Mapping[str, Any]) -> Iterator[str]:
    """12 digits; their inner structure is not verified, so it is not used."""
    if not re.fullmatch(r"[0-9]{12}", value):
        yield "format"


def is_my_number(value: str) -> bool:
    """Japan: 12 digits, check = (-sum mod 11) mod 10 with weights 6 5 4 3 2 7 6 5 4 3 2."""
    digits = re.sub(r"[\s-]", "", value)
    if not re.fullmatch(r"[0-9]{12}", digits):
        return False
    return (-_weighted(digits[:11], (6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2)) % 11) % 10 == int(digits[11])


CHECKS: Mapping[str, Check] = {
    f.__name__: f for f in (thai_cid, mykad, nik, philhealth, philsys, cccd)
}  # fmt: skip


def _weighted(digits: str, weights: Any) -> int:
    return sum(int(d) * w for d, w in zip(digits, weights, strict=True))


def _against(patient: Mapping[str, Any], yymmdd: str, gender: str) -> Iterator[str]:
    """The embedded birth date and sex beside the Patient's own; the century is never guessed."""
    born = str(patient.get("birthDate", ""))
    if len(born) == 10 and born[2:4] + born[5:7] + born[8:10] != yymmdd:
        yield "birth date"
    if patient.get("gender") in ("male", "female") and patient["gender"] != gender:
        yield "sex"
