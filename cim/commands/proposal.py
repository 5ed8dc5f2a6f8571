"""`cim proposal create | revise | list | show | diff | rebase | merge | withdraw`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from cim.commands import _files
from cim.commands._open import open_city
from cim.commands.objects import AsOf, state
from cim.errors import Conflict, InvalidData
from cim.output import AsJson, print_json, print_pairs, print_table

group = typer.Typer(help="Proposals: interventions over a pinned state of the city.", no_args_is_help=True)

Code = Annotated[str, typer.Argument(help="The proposal's code.")]
File = Annotated[Path, typer.Argument(help='JSON: {"crs": …, "interventions": [{"target", "action", "params"}, …]}.')]
Actor = Annotated[str | None, typer.Option(help="Who does it, for the log.")]
Reason = Annotated[str | None, typer.Option(help="Why, for the log.")]
Accept = Annotated[bool, typer.Option("--accept", help="Go on in spite of conflicts.")]


@group.command()
def create(
    name: Annotated[str, typer.Argument(help="What it is called.")],
    file: File,
    scope: Annotated[str | None, typer.Option(help="Its renewal district; default the parcels touched.")] = None,
    author: Annotated[str | None, typer.Option(help="Body that drew it up.")] = None,
    as_of: AsOf = None,
    actor: Actor = None,
) -> None:
    """Record a proposal and print its code."""
    document = _document(file)
    with open_city() as city:
        if as_of is None:
            city.sequence()
        code = city.proposals.create(name, **document, scope=scope, author=author, as_of=state(as_of), actor=actor)
        city.sequence()
    typer.echo(code)


@group.command()
def revise(code: Code, file: File, actor: Actor = None, reason: Reason = None) -> None:
    """Put other interventions in the place of a draft's."""
    document = _document(file)
    with open_city() as city:
        city.proposals.revise(code, **document, actor=actor, reason=reason)
        city.sequence()


@group.command("list")
def list_proposals(as_json: AsJson = False) -> None:
    """List the proposals."""
    with open_city() as city:
        found = city.proposals.records()
    if as_json:
        print_json(found)
        return
    columns = ("code", "name", "proposal_status", "base_tree_size", "interventions")
    print_table(list(columns), [tuple(one[name] for name in columns) for one in found])


@group.command()
def show(code: Code, as_json: AsJson = False) -> None:
    """Print a proposal with its interventions and their digest."""
    with open_city() as city:
        found = city.proposals.get(code)
    if as_json:
        print_json(found)
        return
    interventions = found.pop("interventions")
    print_pairs({name: value for name, value in found.items() if value is not None})
    print_table(
        ["phase", "action", "target", "params"],
        [(one["phase"], one["action"], one["target"], _short(one["params"])) for one in interventions],
    )


@group.command()
def diff(
    code: Code,
    other: Annotated[str | None, typer.Argument(help="Another proposal; default the state it is pinned to.")] = None,
    as_json: AsJson = False,
) -> None:
    """Print what a proposal changes, object by object."""
    with open_city() as city:
        found = city.proposals.diff(code, other)
    if as_json:
        print_json(found)
        return
    print_table(
        ["change", "type", "code", "field", "before", "after"],
        [
            (line["change"], line["type"], line["code"], name, before, after)
            for line in found
            for name, (before, after) in line["fields"].items()
        ],
    )


@group.command()
def rebase(
    code: Code, as_of: AsOf = None, accept: Accept = False, actor: Actor = None, as_json: AsJson = False
) -> None:
    """Pin a draft to a newer state; name the conflicts. Exit code 6 where they stand against it."""
    with open_city() as city:
        city.sequence()
        found = city.proposals.rebase(code, state(as_of), accept=accept, actor=actor)
        city.sequence()
    if as_json:
        print_json(found)
    else:
        typer.echo(f"{'rebased' if found.done else 'not rebased'}: tree size {found.base} to {found.onto}")
        if found.conflicts:
            print_table(["conflict", "what", "how"], [_conflict(one) for one in found.conflicts])
    if not found.done:
        raise typer.Exit(Conflict.exit_code)


@group.command()
def merge(
    code: Code,
    permit: Annotated[str, typer.Option(help="Number of the decision.")],
    effective_on: Annotated[
        datetime, typer.Option("--effective-on", formats=["%Y-%m-%d"], help="Day from which the changes hold.")
    ],
    accept: Accept = False,
    actor: Actor = None,
    as_json: AsJson = False,
) -> None:
    """Write an approved proposal into the city: dated changes, with the permit as their reason."""
    with open_city() as city:
        city.sequence()
        found = city.proposals.merge(code, permit=permit, effective_on=effective_on.date(), accept=accept, actor=actor)
        city.sequence()
    if as_json:
        print_json(found)
        return
    rows = [("changed", kind, one) for kind, codes in found.changed.items() for one in codes]
    rows += [("added", kind, one) for kind, codes in found.added.items() for one in codes]
    print_table(["change", "type", "code"], rows)


@group.command()
def withdraw(code: Code, reason: Annotated[str, typer.Option(help="Why, for the log.")], actor: Actor = None) -> None:
    """Withdraw a draft."""
    with open_city() as city:
        city.proposals.withdraw(code, reason=reason, actor=actor)
        city.sequence()


def _conflict(one: Mapping[str, Any]) -> tuple[str, str, str]:
    if one["kind"] == "rule":
        return "rule", one["rule"], f"passed, and now fails: limit {one['limit']}, margin {one['margin']}"
    how = "gone" if one["now"] is None else f"changed: {', '.join(one['fields'])}"
    return "object", f"{one['type']} {one['code']}", how


def _short(params: dict[str, Any]) -> str:
    return ", ".join(f"{name}={'…' if name == 'geometry' else value}" for name, value in params.items())


def _document(file: Path) -> dict[str, Any]:
    try:
        document = orjson.loads(_files.read(file))
    except orjson.JSONDecodeError as error:
        raise InvalidData(f"{file} is no JSON file: {error}") from error
    if not isinstance(document, dict) or not {"interventions"} <= document.keys() <= {"crs", "interventions"}:
        raise InvalidData(f'{file}: expected {{"crs": …, "interventions": […]}}, crs where they have geometry')
    return document


def register(app: typer.Typer) -> None:
    """Add the group to the application."""
    app.add_typer(group, name="proposal")
