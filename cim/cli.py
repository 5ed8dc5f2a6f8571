"""`cim`: the command line. Commands that need HTTP or file formats come from the other packages by entry point."""

from __future__ import annotations

import errno
import gc
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path

import typer

from cim.commands import _files, codes, database, keys, log, objects, proposal, rules, scenario
from cim.errors import CimError, InvalidData
from cim.frames import leave_pandas_out
from cim.memory import uncollected
from cim.output import error_line

COMMANDS = "cim.commands"
# Commands that hand pyarrow no frames of pandas.
_WITHOUT_FRAMES = frozenset({"ingest"})


@cache
def build() -> typer.Typer:
    """Return the application with every command, those of installed packages included."""
    app = _ours()
    for entry_point in sorted(entry_points(group=COMMANDS), key=lambda e: e.name):
        entry_point.load()(app)
    return app


def _ours() -> typer.Typer:
    app = typer.Typer(
        name="cim",
        help="City Information Model: coded city objects, a verifiable change log, renewal scenarios.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        add_completion=False,
    )
    for module in (database, objects, codes, log, scenario, proposal, rules, keys):
        module.register(app)
    return app


def _needed(arguments: list[str]) -> typer.Typer:
    """Return the application; the other packages, slow to load, only where the command is not one of ours."""
    app = _ours()
    found = typer.main.get_group(app).commands
    return app if arguments and arguments[0] in found else build()


@contextmanager
def _one_line_per_error() -> Iterator[None]:
    try:
        try:
            yield
        finally:
            sys.stdout.flush()  # here, where what goes wrong is told as an error of ours
    except CimError as error:
        error_line(str(error))
        sys.exit(error.exit_code)
    except BrokenPipeError:  # the reader of our output went away: not an error
        _let_output_go()
        sys.exit(0)
    except KeyboardInterrupt:  # as the command line library does, before it has begun
        sys.exit(130)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            error_line(f"no space is left on the device{f' for {error.filename}' if error.filename else ''}; free some")
            _let_output_go()
        elif error.filename is not None:  # as a name that is too long, or a folder that is closed to us
            error_line(f"{error.filename!s:.200}: {error.strerror}")
        else:
            raise
        sys.exit(CimError.exit_code)


def _let_output_go() -> None:
    """Let what was not written lead nowhere, or Python would try again at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _prepare_streams() -> None:
    """Let nothing that we print stop us: a stream that was closed leads nowhere, other encodings get escapes."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - until the end
        elif isinstance(stream := getattr(sys, name), io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _check_arguments(arguments: list[str]) -> None:
    """Refuse bytes that are no text, unless they are a file's name."""
    for argument in arguments:
        if any("\ud800" <= character <= "\udfff" for character in argument) and not _files.is_file(argument):
            raise InvalidData(f"the argument {argument!r} is not UTF-8 text")


def main() -> None:
    """Run the command line: one line and a distinct exit code for what we foresee, a traceback for our defects."""
    _prepare_streams()
    with _one_line_per_error():
        _check_arguments(sys.argv[1:])
        with uncollected():
            if _WITHOUT_FRAMES.intersection(sys.argv[1:2]):
                leave_pandas_out()
            command = _needed(sys.argv[1:])
        gc.freeze()  # what is loaded stays: it is no place to look for garbage, time and again and at the very end
        command()
