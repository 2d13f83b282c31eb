"""`masterkey`: one executable, grouped by what a person wants to do.

Commands are plain functions, registered below in one place. Heavy packages are imported inside them, so
that `masterkey --help` answers at once.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Sequence

import typer

from masterkey_api.cli import (
    inspect,
    issues,
    maps,
    quality,
    research,
    road,
    server,
    submissions,
    synth,
    templates,
    watching,
)
from masterkey_api.cli.shown import choose_data
from masterkey_fhir.issue import MasterkeyError

STOPPED = 130  # as shells say it of Ctrl-C; typer returns it, raising nothing

app = typer.Typer(
    name="masterkey",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="From a hospital's export to FHIR R4 and OMOP CDM 5.4, with an account of every value.\n\n"
    "Begin with: `masterkey synth OUT --patients 100`, then `masterkey load OUT`, "
    "then `masterkey quality report`.",
)


@app.callback()
def workspace(
    data: str = typer.Option(
        "./masterkey-data",
        "--data",
        envvar="MASTERKEY_DATA",
        metavar="DIR",
        help="The workspace; may stand before or after the command.",
    ),
) -> None:
    """Global options."""
    if not data.strip() or data.startswith("-"):
        raise typer.BadParameter("--data needs a folder after it")
    choose_data(data)


def _register() -> None:
    commands: dict[str, Callable[..., int | None]] = {
        "init": road.init,
        "synth": synth.synth,
        "load": road.load,
        "watch": watching.watch,
        "inspect": inspect.inspect,
        "explain": road.explain,
        "validate": road.validate,
        "view": research.view,
        "project": research.project,
        "serve": server.serve,
    }
    for name, command in commands.items():
        app.command(name)(command)
    for name, group in {
        "map": maps.app,
        "submissions": submissions.app,
        "issues": issues.app,
        "vocabulary": research.vocabulary,
        "sql": research.sql,
        "quality": quality.app,
        "template": templates.app,
    }.items():
        app.add_typer(group, name=name)


_register()


def data_first(arguments: Sequence[str]) -> list[str]:
    """`--data DIR` moved to the front, wherever it stood before a bare `--`.

    >>> data_first(["load", "x", "--data", "d"])
    ['--data', 'd', 'load', 'x']
    """
    head: list[str] = []
    rest: list[str] = []
    words = iter(arguments)
    for word in words:
        if word == "--":
            rest += [word, *words]
        elif word == "--data":
            head += [word, *([value] if (value := next(words, None)) is not None else [])]
        elif word.startswith("--data="):
            head.append(word)
        else:
            rest.append(word)
    return head + rest


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code: 0 done, 1 errors stay open, 2 not trustworthy or not possible."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    words = data_first(given)
    try:
        if given[-1:] == ["--data"]:
            raise typer.BadParameter("--data needs a folder after it")
        code = int(app(words, standalone_mode=False) or 0)
        return _stopped() if code == STOPPED else code
    except MasterkeyError as error:
        for found in error.issues:
            print(f"masterkey: {found}", file=sys.stderr)
        return 2
    except typer.Exit as stop:
        return stop.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return _stopped()
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except Exception as error:  # noqa: BLE001 - the last door: no traceback reaches a user, and no value either
        return _usage_or_unexpected(error)


def _stopped() -> int:
    print("masterkey: stopped; nothing half-loaded was left, run the same command again", file=sys.stderr)
    return STOPPED


def _usage_or_unexpected(error: Exception) -> int:
    if hasattr(error, "format_message") and hasattr(error, "exit_code"):  # what click says about usage
        print(f"masterkey: {error.format_message()}\nTry `masterkey --help`.", file=sys.stderr)
        return 2
    if isinstance(error, RecursionError):
        print("masterkey: the input is nested too deeply to be read. Nest it less, or split it.", file=sys.stderr)
        return 2
    if isinstance(error, OSError):
        place, what = error.filename or "the file system", error.strerror or type(error).__name__
        print(f"masterkey: {place}: {what}. Check the path, its rights and the free space.", file=sys.stderr)
        return 2
    if os.environ.get("MASTERKEY_DEBUG"):
        traceback.print_exception(error)
    last = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{os.path.basename(last.filename)}:{last.lineno}"  # noqa: PTH119 - a name, not a path
    print(
        f"masterkey: unexpected {type(error).__name__} at {where}; the workspace is intact. "
        "Please report this line; MASTERKEY_DEBUG=1 shows more on a machine where that is allowed.",
        file=sys.stderr,
    )
    return 2


def script() -> None:
    sys.exit(main())
