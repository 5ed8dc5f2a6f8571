"""`cim scenario list | run`."""

from __future__ import annotations

from typing import Annotated, Any

import orjson
import typer

from cim.commands._open import open_city
from cim.commands.objects import AsOf, state
from cim.errors import InvalidData
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
