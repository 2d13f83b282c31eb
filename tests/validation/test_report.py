"""The report: what it says, that it escapes, that it asks nobody for anything, in a real browser where there
is one."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from masterkey_fhir.issue import Place, issue
from masterkey_validation import catalogue
from masterkey_validation.report import Delivery, ItemFill, ReportData, UnmappedCode, completeness, write
from masterkey_validation.report.page import moment, percent, texts
from masterkey_validation.results import Result

EVIL = "<script>alert(1)</script>"


def results() -> Iterator[Result]:
    for n, check in enumerate(catalogue.load()):
        for site in ("jp_ncch", "th_siriraj"):
            status = ("passed", "failed", "not_applicable", "error")[n % 4]
            judged = 0 if status in ("not_applicable", "error") else 200
            violated = 7 if status == "failed" else 0
            yield Result(check.id, site, judged, violated, status, severity=check.severity, query="SELECT 1 < 2")


@pytest.fixture(scope="module")
def data() -> ReportData:
    ledger = {"mapped": 100, "translated": 20, "absent": 60, "set_aside": 18, "unmapped": 1, "rejected": 1}
    item = ItemFill("sex", "identity", {"en": "Sex", "ja": "性別"}, "mandatory", 66, 0)
    unseen = ItemFill("race", "identity", {"en": "Race", "ja": "人種"}, "optional", 0, 0)
    place = Place(site="jp_ncch", file="a.csv", field="sex")
    found = [issue("validation.catalogue", place, check="X1", what=EVIL, count=2) for _ in range(2)]
    return ReportData(
        title="Quality report",
        generated="2026-11-25T13:40:00+00:00",
        role="registry",
        deliveries=[
            Delivery("jp_ncch", "a.csv", "2026-11-25T09:00:00+00:00", 5, 200, 40, ledger, {"masked": 18}),
            Delivery("jp_ncch", EVIL, "2026-11-25T09:00:00+00:00", 5, 10, 4, {"mapped": 9}, {}, False),
        ],
        resources={"Patient": 66, "Observation": 1204},
        unmapped=[UnmappedCode("concepts/drug", "9", EVIL, 14, 0.0004)],
        issues=found,
        results=list(results()),
        items=[item, unseen],
        patients=66,
        persons=66,
    )


@pytest.fixture(scope="module", params=["en", "ja"])
def page(request: pytest.FixtureRequest, data: ReportData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param)
    return write(data, folder / f"report.{request.param}.html", language=request.param)


class Reader(HTMLParser):
    """Tags and attributes of a page, whether every tag is closed, and its text."""

    VOID = frozenset({"meta", "rect", "circle", "path", "br"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, Any]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def read(page: Path) -> Reader:
    reader = Reader()
    reader.feed(page.read_text(encoding="utf-8"))
    assert reader.open == []
    return reader


def test_the_page_is_well_formed_and_has_no_hole(page: Path) -> None:
    text = read(page).text
    assert "built-in method" not in text
    for number in ("1,204", "1,270", "66", "200"):
        assert number in text


def test_numbers_of_the_cards(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert "<b>210</b>" in text, "values read"
    assert "209 " in text, "accounted for: one value is missing, and the balance says so"
    words = texts()["ja" if ".ja." in page.name else "en"]
    assert words["not_balanced"] in text
    assert "<b>9</b>" in text, "failed checks, sites taken together"
    assert "<b>4</b>" in text, "open issues: two that are equal, each seen twice"


def test_nothing_is_loaded_and_nothing_runs(page: Path) -> None:
    reader = read(page)
    tags = {tag for tag, _ in reader.seen}
    assert not tags & {"script", "link", "img", "iframe", "object", "embed", "form", "base", "video", "audio"}
    links = [a[k] for _, a in reader.seen for k in ("href", "src", "xlink:href", "action") if a.get(k)]
    assert links
    assert all(link.startswith("#") for link in links)
    assert not [a for _, a in reader.seen if any(name.startswith("on") or name == "style" for name in a)]
    style = re.search(r"<style>(.*?)</style>", page.read_text(encoding="utf-8"), re.S)
    assert style
    assert not re.search(r"@import|url\((?!#)", style[1])


def test_the_policy_allows_its_own_style_and_nothing_else(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    policy = html.unescape(re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1])  # type: ignore[index]
    style = re.search(r"<style>(.*?)</style>", text, re.S)[1]  # type: ignore[index]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def test_what_comes_from_outside_is_escaped(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert EVIL not in text
    assert text.count(html.escape(EVIL)) >= 3


def test_status_is_never_told_by_colour_alone(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    words = texts()["ja" if ".ja." in page.name else "en"]
    for status, sign in (("passed", "✓"), ("failed", "✕"), ("not_applicable", "–"), ("error", "!")):
        assert f"{sign} {words['statuses'][status]}" in text
    assert all(a.get("aria-label") for tag, a in read(page).seen if tag == "svg" and "bar" in (a.get("class") or ""))


def test_the_twin_says_the_same(page: Path) -> None:
    twin = json.loads(page.with_suffix(".json").read_text(encoding="utf-8"))
    assert [c["status"] for c in twin["checks"]].count("failed") == 9
    assert twin["issues"][0]["n"] == 4
    assert [i["never_seen"] for i in twin["items"]] == [False, True]
    assert [d["accounted"] for d in twin["deliveries"]] == [200, 9]
    assert len(twin["checks"][0]["sites"]) == 2


def test_an_empty_report_can_be_written(tmp_path: Path) -> None:
    page = write(ReportData("Nothing", "2026-01-01", "site"), tmp_path / "r.html")
    assert "Nothing was received yet." in read(page).text


def test_both_languages_have_every_word() -> None:
    def shape(value: Any) -> Any:
        return {k: shape(v) for k, v in value.items()} if isinstance(value, dict) else bool(value)

    assert shape(texts()["en"]) == shape(texts()["ja"])


def test_titles_and_pages_of_the_checks_are_in_both_languages() -> None:
    for check in catalogue.load():
        assert check.title["ja"]
        assert check.page_in("ja") != check.page, f"{check.name}.ja.md is missing"


@pytest.mark.parametrize(
    ("fraction", "words"),
    [(0, "0.0 %"), (1, "100.0 %"), (0.0001, "< 0.1 %"), (0.99999, "> 99.9 %"), (0.125, "12.5 %")],
)
def test_a_share_is_never_rounded_to_nothing_or_all(fraction: float, words: str) -> None:
    assert percent(fraction) == words


def test_a_moment_that_is_none_stays_as_it_is() -> None:
    assert moment("2026-11-25T13:40:00+00:00") == "2026-11-25 13:40"
    assert moment("unknown") == "unknown"


def test_an_item_that_no_delivery_carries_was_never_seen(tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_text("id,group,meaning_en,meaning_ja,obligation\na,g,A,あ,mandatory\nb,g,B,い,optional\n")
    found = completeness(path, {"a": (3, 1)})
    assert [(i.id, i.share, i.never_seen) for i in found] == [("a", 0.75, False), ("b", None, True)]
    with pytest.raises(KeyError, match=r"items\.csv: c"):
        completeness(path, {"c": (1, 1)})


BROWSER = next((p for n in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(n))), None)
# The mark of what a page's renderer asks for in Chromium's network log; the browser's own updates have others.
PAGE_REQUEST = re.compile(r'"traffic_annotation":101845102,"url":"((?:https?|wss?|ftp):[^"]*)"')


def opened(page: Path, folder: Path) -> tuple[set[str], str, Path]:
    """What a browser asked for when it opened the page, what it complained about, its picture."""
    if BROWSER is None:
        pytest.skip("no Chromium on this machine")
    folder.mkdir()
    log, shot = folder / "net.json", folder / "page.png"
    quiet = ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    command = [
        BROWSER, *quiet, f"--user-data-dir={folder}/profile", f"--log-net-log={log}", f"--screenshot={shot}",
        "--enable-logging=stderr", "--window-size=1280,2000", page.resolve().as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return set(PAGE_REQUEST.findall(log.read_text(errors="replace"))), done.stderr, shot


@pytest.mark.chromium
def test_a_browser_opens_it_without_a_request(page: Path, tmp_path: Path) -> None:
    asked, said, shot = opened(page, tmp_path / "report")
    assert shot.stat().st_size > 50_000, "something was drawn"
    assert "CONSOLE" not in said, "the policy refused something of the page's own"
    assert asked == set()


@pytest.mark.chromium
def test_a_request_would_be_seen(tmp_path: Path) -> None:
    control = tmp_path / "control.html"
    control.write_text('<img src="http://page.example/x.png">')
    assert opened(control, tmp_path / "control")[0] == {"http://page.example/x.png"}


@pytest.mark.chromium
def test_the_policy_would_stop_a_request(data: ReportData, tmp_path: Path) -> None:
    page = write(data, tmp_path / "report.html")
    changed = tmp_path / "changed.html"
    evil = '<main><img src="http://page.example/x.png">'
    changed.write_text(page.read_text(encoding="utf-8").replace("<main>", evil), encoding="utf-8")
    asked, said, _ = opened(changed, tmp_path / "changed")
    assert asked == set()
    assert "Content Security Policy" in said
