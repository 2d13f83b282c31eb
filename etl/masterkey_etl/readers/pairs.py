"""Code columns with a label column beside them, which contradict each other in practice.

The source model names the winner; the loser of a disagreement is refused, each one is an Issue.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from masterkey_etl.ledger import Ledger
from masterkey_etl.readers.notes import Notes
from masterkey_etl.source_model import Pair, SourceModel
from masterkey_etl.values import nfkc
from masterkey_fhir.issue import issue

if TYPE_CHECKING:
    from masterkey_etl.readers.cells import Batch

_MEMO = 20_000
# Of NCI Thesaurus, or short: a letter with more digits may be the number of a patient.
_CODE_LIKE = re.compile(r"C[0-9]{4,6}|[A-Z]{1,3}[0-9]{1,4}|[0-9]{1,3}|[A-Za-z]{1,2}")
UNDECLARED = "the code is not in the code list; its label is taken"
REASON = {"code": "the label disagrees with the code", "label": "the code disagrees with the label"}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a (code, label) pair: the texts that go on, and what there is to tell.

    `problem`: "" | disagree | code-missing | label-missing | undeclared. `filled`: the code was null and its
    position gets a text from the label.
    """

    code: str
    label: str
    problem: str = ""
    filled: bool = False


def judge(pair: Pair, code: str, label: str) -> Verdict:
    """Compare as the model says; labels in NFKC, codes as they are. "" is null."""
    clean = nfkc(label)
    by_code = pair.winner == "code"
    if code and label:
        if code not in pair.codes and pair.codes:
            return Verdict(code if by_code else clean, label, "undeclared")
        if pair.codes and nfkc(pair.codes[code]) != clean:
            return Verdict(code, "", "disagree") if by_code else Verdict(clean, label, "disagree")
        return Verdict(code if by_code else clean, label)
    if label:
        return _label_alone(pair, label, clean)
    return _code_alone(pair, code) if code else Verdict("", "")


def _label_alone(pair: Pair, label: str, clean: str) -> Verdict:
    if pair.winner == "label":
        return Verdict(clean, label, "code-missing", filled=True)
    found = next((c for c, text in pair.codes.items() if nfkc(text) == clean), "")
    return Verdict(found, label if found else "", "code-missing", filled=bool(found))


def _code_alone(pair: Pair, code: str) -> Verdict:
    known = code in pair.codes or not pair.codes
    if pair.winner == "code":
        return Verdict(code, "", "" if known else "undeclared")
    return Verdict(nfkc(pair.codes.get(code, code)), "", "label-missing" if known else "undeclared")


def _is_odd(pair: Pair, cell: tuple[str, str], verdict: Verdict) -> bool:
    """Something is to be told of this pair, or its texts are not just those of the winning column."""
    winner = cell[0] if pair.winner == "code" else cell[1]
    return bool(verdict.problem) or verdict.code != winner or verdict.label != cell[1]


@dataclass(slots=True)
class _Tally:
    """Findings told once per column: how many, and where first."""

    n: int = 0
    row: int = 0


@dataclass(slots=True)
class PairColumns:
    """Cleans the code/label pairs of a batch."""

    model: SourceModel
    ledger: Ledger
    notes: Notes
    _memo: list[dict[tuple[str, str], Verdict]] = field(default_factory=list)
    _tallies: dict[tuple[int, str, str], _Tally] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._memo = [{} for _ in self.model.pairs]

    def clean(self, batch: Batch) -> None:
        for n, pair in enumerate(self.model.pairs):
            cells = list(zip(batch.columns[pair.code], batch.columns[pair.label], strict=True))
            distinct = set(cells)
            verdicts = self._judged(n, pair, distinct)
            if pair.winner == "label":
                batch.columns[pair.code] = batch.columns[pair.label]  # what differs is put right below
            if odd := {cell for cell in distinct if _is_odd(pair, cell, verdicts[cell])}:
                self._apply(pair, cells, odd, verdicts, batch)

    def finish(self) -> None:
        """Tell what was counted: codes nobody declared, codes or labels that stand alone."""
        for (column, problem, code), tally in self._tallies.items():
            place = self.notes.at(tally.row, self.model.columns[column].id)
            self.notes.add(issue(f"etl.{problem}", place, count=tally.n, n=tally.n, code=code))

    def _judged(self, n: int, pair: Pair, distinct: set[tuple[str, str]]) -> Mapping[tuple[str, str], Verdict]:
        memo = self._memo[n]
        if len(memo) > _MEMO:
            memo.clear()
        for cell in distinct - memo.keys():
            memo[cell] = judge(pair, *cell)
        return memo

    def _apply(
        self,
        pair: Pair,
        cells: Sequence[tuple[str, str]],
        odd: set[tuple[str, str]],
        verdicts: Mapping[tuple[str, str], Verdict],
        batch: Batch,
    ) -> None:
        """Put the verdicts into the rows that hold one of these pairs."""
        codes, labels = list(batch.columns[pair.code]), list(batch.columns[pair.label])
        for row, cell in enumerate(cells):
            if cell in odd:
                verdict = verdicts[cell]
                codes[row], labels[row] = verdict.code, verdict.label
                if verdict.problem:
                    self._note(pair, cell, verdict, batch, row)
        batch.columns[pair.code], batch.columns[pair.label] = codes, labels

    def _note(self, pair: Pair, cell: tuple[str, str], verdict: Verdict, batch: Batch, row: int) -> None:
        if verdict.problem == "disagree":
            self._disagree(pair, cell, batch, row)
            return
        if verdict.filled:
            batch.filled.setdefault(row, []).append(pair.code)
        elif verdict.problem == "code-missing":
            reason = "the code is missing and the label is not declared"
            self.ledger.exceptions(pair.label, "rejected", reason, row=batch.numbers[row], value=cell[1])
        elif verdict.problem == "undeclared" and cell[1] and pair.winner == "label":  # the label goes on, not the code
            shown = code_for_message(cell[0])
            self.ledger.exceptions(pair.code, "unmapped", UNDECLARED, row=batch.numbers[row], value=shown)
            batch.filled.setdefault(row, []).append(pair.code)
        rule = {"undeclared": "code-undeclared"}.get(verdict.problem, verdict.problem)
        key = (pair.code, rule, code_for_message(cell[0]) if rule == "code-undeclared" else "")
        tally = self._tallies.setdefault(key, _Tally(0, batch.numbers[row]))
        tally.n += 1

    def _disagree(self, pair: Pair, cell: tuple[str, str], batch: Batch, row: int) -> None:
        loser = pair.label if pair.winner == "code" else pair.code
        value = cell[1] if pair.winner == "code" else cell[0]
        self.ledger.exceptions(loser, "rejected", REASON[pair.winner], row=batch.numbers[row], value=value)
        if pair.winner == "label":
            batch.filled.setdefault(row, []).append(pair.code)
        column = self.model.columns[pair.code]
        declared = {nfkc(text) for text in pair.codes.values()}
        found = issue(
            "etl.code-label-disagree",
            self.notes.at(batch.numbers[row], column.id),
            record=batch.record(row),
            code=cell[0],
            means=pair.codes[cell[0]],
            label=nfkc(cell[1]) if nfkc(cell[1]) in declared else "a text that is not declared",
            winner=pair.winner,
        )
        self.notes.add_about(found, *cell)


def code_for_message(code: str) -> str:
    """An undeclared code is named only when it looks like a code: a name may stand there by mistake."""
    return code if _CODE_LIKE.fullmatch(code) else f"a text of {len(code)} characters"
