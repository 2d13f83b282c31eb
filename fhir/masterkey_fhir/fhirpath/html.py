"""The narrative rules txt-1 and txt-2 (http://hl7.org/fhir/R4/narrative-definitions.html, Narrative.div).

Only the elements of HTML 4.0 chapters 7 to 11 (without 9.4) and 15, `a` with name or href, images and style;
no head, body, external style sheets, scripts, forms, base, link, frames, objects; and some content.
"""

from __future__ import annotations

import re
from functools import lru_cache
from xml.parsers import expat

XHTML = "http://www.w3.org/1999/xhtml"
_ELEMENTS = frozenset(
    re.findall(
        r"\w+",
        "a abbr acronym address b bdo big blockquote br caption cite code col colgroup dd dfn div dl dt em "
        "h1 h2 h3 h4 h5 h6 hr i img kbd li ol p pre q samp small span strong style sub sup table tbody td "
        "tfoot th thead tr tt ul var",
    )
)
_ATTRIBUTES = frozenset(
    re.findall(
        r"[\w:]+",
        "abbr accesskey align alt axis bgcolor border cellhalign cellpadding cellspacing cellvalign char "
        "charoff cite class colspan compact dir frame headers height href hreflang id lang longdesc name "
        "nowrap rel rev rowspan rules scope span src start style summary tabindex title type valign value "
        "width xml:lang",
    )
)
_SCRIPT = re.compile(r"\s*(?:javascript|vbscript):", re.IGNORECASE)
# XHTML's character entities are allowed (http://hl7.org/fhir/R4/narrative.html); expat knows five of them.
_ENTITY = re.compile(r"&(?!(?:amp|lt|gt|quot|apos);)[A-Za-z][A-Za-z0-9]*;")


@lru_cache(maxsize=256)
def html_problem(text: str) -> str | None:
    """What is wrong with a `div`; None when it obeys both rules."""
    if not isinstance(text, str):
        return "no text"
    return _Reader().read(_ENTITY.sub("\u00a0", text))


class _Reader:
    def __init__(self) -> None:
        self.problem: str | None = None
        self.has_content = False
        self.depth = 0

    def read(self, text: str) -> str | None:
        parser = expat.ParserCreate(namespace_separator=" ")
        parser.StartElementHandler = self.start
        parser.CharacterDataHandler = self.characters
        parser.StartDoctypeDeclHandler = self.doctype
        try:
            parser.Parse(text.encode("utf-8", "replace"), True)
        except expat.ExpatError:
            return "no well-formed XML"
        return self.problem or (None if self.has_content else "no content")

    def start(self, name: str, attributes: dict[str, str]) -> None:
        namespace, _, local = name.rpartition(" ")
        self.depth += 1
        if namespace != XHTML or (self.depth == 1 and local != "div"):
            self.problem = "the outermost element is not a div of XHTML"
        elif local not in _ELEMENTS:
            self.problem = f"the element {local}"
        for attribute, value in attributes.items():
            self.attribute(attribute.replace("http://www.w3.org/XML/1998/namespace ", "xml:"), value)
        self.has_content = self.has_content or local == "img"

    def attribute(self, name: str, value: str) -> None:
        if name not in _ATTRIBUTES:
            self.problem = f"the attribute {name}"
        elif name in ("href", "src") and _SCRIPT.match(value):
            self.problem = "a script"

    def characters(self, text: str) -> None:
        self.has_content = self.has_content or bool(text.strip())

    def doctype(self, *_: object) -> None:
        self.problem = "a document type declaration"
