"""What commands print: JSON for programs, tables for people, errors on one line."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

AsJson = Annotated[bool, typer.Option("--json", help="Print the result as one JSON document.")]


def print_json(value: Any) -> None:
    """Print a value as JSON, indented, keys in the order given."""
    options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS
    sys.stdout.write(orjson.dumps(value, option=options, default=str).decode())


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print rows as a table; numbers to the right, None as a dash."""
    table = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*("–" if value is None else str(value) for value in row))
    console().print(table)


def console() -> Console:
    """Return the console of standard output; in a file or a pipe a row stays on its line, however long it is."""
    return Console(width=None if sys.stdout.isatty() else 1000, highlight=False)


def print_pairs(pairs: dict[str, Any]) -> None:
    """Print names and values, one pair a line."""
    width = max((len(name) for name in pairs), default=0)
    for name, value in pairs.items():
        typer.echo(f"{name:<{width}}  {'–' if value is None else value}")


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar on standard error, where a person is watching; yields what to call with (done, in all)."""
    # Not by what rich takes for a terminal: with FORCE_COLOR set that is a file, too.
    disable = not sys.stderr.isatty()
    with Progress(*Progress.get_default_columns(), console=Console(stderr=True), disable=disable) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def error_line(message: str) -> None:
    """Print an error on one line of standard error."""
    typer.echo(f"cim: {' '.join(message.split())}", err=True)
