"""`cim`: the command line. Commands that need HTTP or file formats come from the other packages by entry point."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import entry_points

import typer

from cim.commands import codes, database, keys, log, objects, proposal, rules, scenario
from cim.errors import CimError
from cim.frames import leave_pandas_out
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
        yield
    except CimError as error:
        error_line(str(error))
        sys.exit(error.exit_code)
    except BrokenPipeError:  # the reader of our output went away: not an error
        sys.stderr.close()
        sys.exit(0)


def main() -> None:
    """Run the command line: one line and a distinct exit code for what we foresee, a traceback for our defects."""
    with _one_line_per_error():
        if _WITHOUT_FRAMES.intersection(sys.argv[1:2]):
            leave_pandas_out()
        _needed(sys.argv[1:])()
