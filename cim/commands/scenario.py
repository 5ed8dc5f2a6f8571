"""`cim scenario list | show | run | verify | report`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from cim.commands import _files
from cim.commands._open import open_city
from cim.commands.objects import AsOf, state
from cim.errors import Conflict, InvalidData, InvalidProof, UnknownFormat
from cim.output import AsJson, print_json, print_table

if TYPE_CHECKING:
    from cim.city import City

BINARY = ("pdf", "xlsx")
Id = Annotated[str, typer.Argument(metavar="ID", help="Scenario; `cim scenario list` names them.")]
Form = Annotated[
    str | None,
    typer.Option("--format", "-f", help="json, html, pdf, xlsx, csv or geojson; default by the suffix of --out."),
]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="File to write; default standard output.")]

group = typer.Typer(help="Renewal scenarios, sealed to a state of the city.", no_args_is_help=True)


@group.command("list")
def list_scenarios(as_json: AsJson = False) -> None:
    """List the scenarios."""
    from cim import scenarios

    found = [scenarios.describe(s) for s in scenarios.scenarios().values()]
    if as_json:
        print_json(found)
    else:
        print_table(["id", "title", "inputs"], [(d["id"], d["title"], ", ".join(d["inputs"])) for d in found])


@group.command()
def show(scenario_id: Id, as_json: AsJson = False) -> None:
    """Print what a scenario answers, what it can be asked, and inputs that work."""
    from cim import scenarios

    described = scenarios.describe(scenarios.scenario(scenario_id))
    if as_json:
        print_json(described)
        return
    typer.echo(f"{described['title']} {described['x-cim-title-zh']}\n\n{described['description']}\n")
    print_table(
        ["input", "default", "meaning"],
        [(name, _default(one), one["description"]) for name, one in described["inputs"].items()],
    )
    example = [f"{name}={_written(value)}" for name, value in described["x-cim-example"]["inputs"].items()]
    typer.echo(f"\n{shlex.join(['cim', 'scenario', 'run', scenario_id, *example])}")


def _default(described: dict[str, Any]) -> str | None:
    """Return the default of an input."""
    default = described["schema"].get("default")
    return "required" if described["minOccurs"] else None if default is None else _written(default)


def _written(value: Any) -> str:
    """Return the value of an input as it is written on the command line."""
    return value if isinstance(value, str) else orjson.dumps(value).decode()


@group.command()
def run(
    scenario_id: Id,
    inputs: Annotated[
        list[str] | None, typer.Argument(metavar="NAME=VALUE…", help="Inputs: JSON, text, @FILE.")
    ] = None,
    as_of: AsOf = None,
    form: Form = None,
    out: Out = None,
) -> None:
    """Compute a scenario and print its sealed result as JSON, or write it in another format."""
    form = _form(form, out) or "json"
    given = [_input(item) for item in inputs or []]
    if as_of is not None:
        given.append(("as_of", state(as_of)))
    values = dict(given)
    if len(values) < len(given):
        raise InvalidData('an input is given twice; a list is written as JSON: scope=\'["RD-EAST","RD-WEST"]\'')
    with open_city() as city:
        if as_of is None:
            city.sequence()
        document = city.scenario(scenario_id, **values)
        if form == "json" and out is None:
            print_json(document)
        else:
            _write(city, [document], form, out)


@group.command()
def report(
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="What `cim scenario run` printed, whole.")],
    form: Form = None,
    out: Out = None,
) -> None:
    """Set sealed results as one document: a report, a workbook, a table or a layer. Altered ones are refused."""
    with open_city() as city:
        _write(city, [_document(file) for file in files], _form(form, out) or "html", out)


def _form(form: str | None, out: Path | None) -> str | None:
    """Return the format named, or else that of the file's suffix."""
    from cim.scenarios import FORMATS

    known = ["json", *FORMATS]
    found = form or (out.suffix.lower().removeprefix(".") if out is not None else None)
    if found is not None and found not in known:
        raise UnknownFormat(f"no format {found!r}; there are {', '.join(known)}: name one with --format")
    return found


def _write(city: City, documents: list[Any], form: str, out: Path | None) -> None:
    from cim import scenarios

    if form == "json":
        content = b"\n".join(map(scenarios.canonical, documents))
    else:
        content = scenarios.render(city.database, documents, form)
    if out is None:
        if form in BINARY and sys.stdout.isatty():
            raise InvalidData(f"{form} is not for a terminal; name a file with --out")
        sys.stdout.buffer.write(content)
        return
    _files.write(out, content)
    typer.echo(str(out))


@group.command()
def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `cim scenario run` printed, whole.")],
    as_json: AsJson = False,
) -> None:
    """Recompute a sealed result from the log and say whether it holds.

    Exit code 0 where it is valid, 3 where it is not what was computed.

    Exit code 6 where what it read has changed since, or where it cannot be recomputed here.
    """
    with open_city() as city:
        city.sequence()
        result = city.scenario("verify-assessment", document=_document(file))["result"]
    if as_json:
        print_json(result)
    else:
        _print_verification(result)
    code = {"valid": 0, "invalid": InvalidProof.exit_code}.get(result["status"], Conflict.exit_code)
    if code:
        raise typer.Exit(code)


def _print_verification(result: dict[str, Any]) -> None:
    typer.echo(result["status"])
    failed = [(c["check"], c["expected"], c["found"]) for c in result["checks"] if not c["passed"]]
    if failed:
        print_table(["differs", "sealed", "found"], failed)
    if result["changes"]:
        columns = ["change", "type", "code", "leaf", "superseded_by"]
        print_table(columns, [tuple(change[name] for name in columns) for change in result["changes"]])
    if result["differences"]:
        print_table(
            ["number", "sealed", "now", "unit"],
            [(d["at"], d["sealed"], d["now"], d["unit"]) for d in result["differences"]],
        )


def _document(file: Path, expected: str = "what `cim scenario run` printed") -> Any:
    try:
        return orjson.loads(_files.read(file))
    except orjson.JSONDecodeError as error:
        raise InvalidData(f"{file} is not JSON: {error}; it must be {expected}") from error


def _input(item: str) -> tuple[str, Any]:
    name, equals, text = item.partition("=")
    if not equals:
        raise InvalidData(f"an input is written name=value, got {item!r}")
    if text.startswith("@"):
        return name, _document(Path(text[1:]), "the value of an input")
    try:
        return name, orjson.loads(text)
    except orjson.JSONDecodeError:
        return name, text


def register(app: typer.Typer) -> None:
    """Add the group to the application."""
    app.add_typer(group, name="scenario")
