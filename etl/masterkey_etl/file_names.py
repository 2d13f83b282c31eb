"""The name of a delivery at a registry: known words stay, the rest becomes ▢ and a keyed tag.

    YAMADA_Taro_panel_19550312.xml  ->  ▢_▢_panel_▢~k3r7q2mz.xml

A hospital names files as it likes, after patients too. The same name gives the same tag, so a file is known again;
a name that was cleaned is not changed by a second cleaning. A site node keeps names as they are.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from pathlib import Path, PurePosixPath

from masterkey_etl.data import folder
from masterkey_etl.free_text import MASK, NUMBERS, word_list
from masterkey_etl.workspace import Workspace

_TAG = r"~[0-9a-f]{8}(?![0-9A-Za-z])"
_ACCENTED = r"\u00c0-\u024f\u0300-\u036f\u1e00-\u1eff"
_WORD = rf"[A-Za-z]*[{_ACCENTED}][A-Za-z{_ACCENTED}]*|[A-Z]?[a-z]+|[A-Z]+(?![a-z])"  # ccatCase is two


def kept_name(workspace: Workspace, site: str, name: str) -> str:
    """`name` as it may be stored, shown and logged by this workspace."""
    if workspace.role == "site":
        return name
    clean = _cleaned(name, workspace.overlay, frozenset(re.findall("[a-z]+", " ".join(workspace.sites))))
    if clean == name:
        return name
    suffix = PurePosixPath(clean).suffix
    stem, ending = (clean, "") if MASK in suffix else (clean.removesuffix(suffix), suffix)
    return f"{stem}~{workspace.keys(site).digest('record', 'file name', name)[:8]}{ending}"


@lru_cache(10_000)
def _cleaned(name: str, overlay: Path, sites: frozenset[str]) -> str:
    token, words = _known(overlay)
    shown = (_shown(found, words | sites) for found in token.finditer(name))
    return re.sub(f"{MASK}+", MASK, "".join(shown))


def _shown(found: re.Match[str], words: frozenset[str]) -> str:
    text = found[0]
    if found.lastgroup == "known" or text == MASK:
        return text
    if found.lastgroup == "latin" and len(text) > 1:
        return text if text.lower() in words else MASK
    return text if found.lastgroup != "number" and text.isascii() and text.isprintable() else MASK


@cache
def _known(overlay: Path) -> tuple[re.Pattern[str], frozenset[str]]:
    """What a name is taken apart by, and the Latin words that may stand; terms of other scripts are in the pattern."""
    listed = {w for root in (folder("mappings"), overlay) for w in word_list(root / "registry" / "file_words.txt")}
    terms = sorted((re.escape(w) for w in listed if not w.isascii()), key=len, reverse=True)
    known = "|".join((_TAG, *terms))
    token = rf"(?P<known>{known})|(?P<number>{NUMBERS.pattern})|(?P<latin>{_WORD})|."
    return re.compile(token, re.DOTALL), frozenset(w for w in listed if w.isascii())
