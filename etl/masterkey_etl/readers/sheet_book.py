"""Which files are workbooks, by their first bytes, and opening one."""

from __future__ import annotations

import re
from typing import BinaryIO

from masterkey_etl.readers.delimited import Readable
from masterkey_etl.readers.sheet_scratch import seekable
from masterkey_etl.readers.sheet_tape import Book
from masterkey_etl.readers.sheet_zip import ContainerError
from masterkey_fhir.issue import Place, issue

ZIP = b"PK\x03\x04"  # APPNOTE.TXT 4.3.7
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"  # [MS-CFB] 2.2
_HTML = re.compile(
    rb"\s*(?:<!--.*?-->\s*|<\?xml[^>]*>\s*)*<(?:!doctype\s+html|html|head|body|meta|style|table)\b",
    re.IGNORECASE | re.DOTALL,
)
_XLSX_PARTS = (b"[Content_Types].xml", b"xl/", b"_rels/.rels", b"docProps/")
_HEAD = 4096


def book_form(head: bytes) -> str:
    """xlsx, xls or html by the first bytes of a file; "" for anything else.

    A zip counts as a workbook when its first members are those of one; `is_workbook` looks into the others.
    """
    if head.startswith(ZIP):
        name = head[30 : 30 + int.from_bytes(head[26:28], "little")]
        return "xlsx" if name.startswith(_XLSX_PARTS) else ""
    if head.startswith(OLE):
        return "xls"
    text = head.removeprefix(b"\xef\xbb\xbf")
    for mark, encoding in ((b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be")):
        if head.startswith(mark):
            text = head[2:].decode(encoding, "ignore").encode()
    return "html" if _HTML.match(text) else ""


def part_of(source: Readable) -> str:
    """Which tables of a workbook a delivery is about, by its name (`book.xlsx!ccat_case`); "" when about all."""
    return str(getattr(source, "submission_name", "")).rpartition("!")[2]


def head_of(source: Readable) -> bytes:
    with source.open() as stream:
        return stream.read(_HEAD)


def open_book(source: Readable, place: Place, rows: int = 0) -> Book:
    """The workbook in a delivery, of each sheet the first `rows` (0: all); close it.

    Raises ContainerError: etl.workbook-damaged, -encrypted, -other (no workbook), -large, etl.container-bomb.
    """
    form = book_form(head_of(source))
    with source.open() as stream:
        if form == "xlsx":
            return _xlsx(stream, place, source, rows)
        if form == "xls":
            from masterkey_etl.readers.sheet_xls import parse_xls

            return parse_xls(stream, place, source.scratch)
        if form == "html":
            from masterkey_etl.readers.sheet_html import parse_html

            return parse_html(stream, place, source.scratch)
    raise ContainerError(issue("etl.workbook-other", place, what="no workbook"))


def _xlsx(stream: BinaryIO, place: Place, source: Readable, rows: int) -> Book:
    from masterkey_etl.readers.sheet_xlsx import parse_xlsx

    copy = seekable(stream, source.scratch)
    try:
        return parse_xlsx(copy, place, source.scratch, rows)
    finally:
        copy.close()
