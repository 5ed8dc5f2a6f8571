"""`cim scenario list | run | verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from cim.commands._open import open_city
from cim.commands.objects import AsOf, state
from cim.errors import Conflict, InvalidData, InvalidProof, NotFound
from cim.output import AsJson, print_json, print_table

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
def run(
    scenario_id: Annotated[str, typer.Argument(metavar="ID", help="Scenario; `cim scenario list` names them.")],
    inputs: Annotated[list[str] | None, typer.Argument(metavar="NAME=VALUE…", help="Inputs; JSON or text.")] = None,
    as_of: AsOf = None,
) -> None:
    """Compute a scenario and print its sealed result as JSON."""
    values = dict(_input(item) for item in inputs or [])
    if as_of is not None:
        values["as_of"] = state(as_of)
    with open_city() as city:
        if as_of is None:
            city.sequence()
        print_json(city.scenario(scenario_id, **values))


@group.command()
def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `cim scenario run` printed, whole.")],
    as_json: AsJson = False,
) -> None:
    """Recompute a sealed result from the log and say whether it holds.

    Exit code 0 where it is valid, 6 where what it read has changed since or it cannot be recomputed here, 3 where it is
    not what was computed.
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


def _document(file: Path) -> Any:
    try:
        return orjson.loads(file.read_bytes())
    except OSError as error:
        raise NotFound(f"cannot read {file}: {error.strerror}") from error
    except orjson.JSONDecodeError as error:
        raise InvalidData(f"{file} is not JSON: {error}; it must be what `cim scenario run` printed") from error


def _input(item: str) -> tuple[str, Any]:
    name, equals, text = item.partition("=")
    if not equals:
        raise InvalidData(f"an input is written name=value, got {item!r}")
    try:
        return name, orjson.loads(text)
    except orjson.JSONDecodeError:
        return name, text


def register(app: typer.Typer) -> None:
    """Add the group to the application."""
    app.add_typer(group, name="scenario")
