"""`masterkey template`: what a site fills in. It is read back without a map of the site's own."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from masterkey_etl.templates_out.form import Form

app = typer.Typer(no_args_is_help=True, help="Empty workbook, REDCap dictionary, Questionnaire, tables of the items.")


class Language(StrEnum):
    en = "en"
    ja = "ja"
    th = "th"
    vi = "vi"
    id = "id"
    ms = "ms"


class Extent(StrEnum):
    minimum = "minimum"
    full = "full"


Out = Annotated[Path, typer.Argument(help="The file to write.")]
In = Annotated[Language, typer.Option("--language", help="Language of headings and explanations.")]
Set = Annotated[Extent, typer.Option("--set", help="minimum: only what the registry can't do without.")]
Json = Annotated[bool, typer.Option("--json", help="For programs.")]


@app.command("workbook")
def workbook(out: Out, language: In = Language.en, set_: Set = Extent.full, json: Json = False) -> int:
    """An empty XLSX: a sheet per part, drop-downs, explanations, code lists.

    Example: `masterkey template workbook registry.xlsx --language ja`
    """
    from masterkey_etl.templates_out import workbook as templates

    templates.write(out, _form(), language, set_ == Extent.minimum)
    return _said(out, json, "fill it in, then `masterkey load` it: no map is needed")


@app.command("redcap")
def redcap(out: Out, language: In = Language.en, set_: Set = Extent.full, json: Json = False) -> int:
    """A REDCap data dictionary; what repeats is named, since a dictionary can't say it.

    Example: `masterkey template redcap dictionary.csv`
    """
    from masterkey_etl.templates_out import dictionary

    form = _form()
    _write(out, dictionary.as_csv(form, language, set_ == Extent.minimum))
    repeating = ", ".join(dictionary.repeating(form))
    return _said(out, json, f"upload it in REDCap, then set as repeating instruments: {repeating}")


@app.command("questionnaire")
def questionnaire(out: Out, language: In = Language.en, set_: Set = Extent.full, json: Json = False) -> int:
    """A FHIR R4 Questionnaire with its answers.

    Example: `masterkey template questionnaire registry.json --set minimum`
    """
    import json as text

    from masterkey_etl.templates_out import questionnaire as templates

    found = templates.build(_form(), language, set_ == Extent.minimum)
    _write(out, text.dumps(found, ensure_ascii=False, indent=1) + "\n")
    return _said(out, json, "answer it, then `masterkey load` the QuestionnaireResponse: no map is needed")


@app.command("tables")
def tables(out: Out, language: In = Language.en, set_: Set = Extent.full, json: Json = False) -> int:
    """The columns of every part and the code lists, as CSV (columns) or Markdown, by the file's ending.

    Example: `masterkey template tables items.md --language ja`
    """
    from masterkey_etl.templates_out import guide

    minimum = set_ == Extent.minimum
    if out.suffix.lower() == ".csv":
        _write(out, guide.as_csv(guide.COLUMNS, guide.rows(_form(), language, minimum)))
    else:
        _write(out, guide.as_markdown(_form(), language, minimum))
    return _said(out, json, "print it")


def _form() -> Form:
    from masterkey_etl.templates_out.form import form

    return form()


def _write(out: Path, text: str) -> None:
    from masterkey_etl.files import replacing

    with replacing(out) as file:
        file.write(text.encode())


def _said(out: Path, json: bool, then: str) -> int:
    from masterkey_api.cli.shown import as_json

    if json:
        as_json({"file": str(out), "next": then})
    else:
        print(f"{out} written: {then}")
    return 0
