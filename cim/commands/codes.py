"""`cim codes check | mint | resolve | list`."""

from __future__ import annotations

from typing import Annotated

import typer

from cim import codes
from cim.commands._open import open_city
from cim.output import AsJson, print_json, print_pairs, print_table

group = typer.Typer(help="Code schemes: check, mint and resolve codes.", no_args_is_help=True)

SchemeName = Annotated[str, typer.Argument(metavar="SCHEME", help="Code scheme; `cim codes list` names them.")]


@group.command("list")
def list_schemes(as_json: AsJson = False) -> None:
    """List the code schemes with their sources."""
    rows = [(s.name, s.title, s.version, s.confidence, s.source) for s in codes.schemes().values()]
    columns = ["scheme", "title", "version", "confidence", "source"]
    if as_json:
        print_json([dict(zip(columns, row, strict=True)) for row in rows])
    else:
        print_table(columns, rows)


@group.command()
def check(scheme: SchemeName, code: str, as_json: AsJson = False) -> None:
    """Check a code and print its canonical form and segments; exit code 3 where the scheme refuses it."""
    canonical = codes.check(scheme, code)
    found = codes.scheme(scheme)
    warnings = [problem.message for problem in found.validate(canonical, strict=True)]
    result = {
        "scheme": scheme,
        "code": canonical,
        "parent": found.parent(canonical),
        "segments": {part.name: part.text for part in found.parse(canonical).parts},
        "warnings": warnings,
    }
    if as_json:
        print_json(result)
    else:
        print_pairs(result)


@group.command()
def mint(scheme: SchemeName, parent: str, as_json: AsJson = False) -> None:
    """Propose the next free code under a parent code, by the scheme's own numbering."""
    with open_city() as city:
        code = city.propose_code(scheme, parent)
    if as_json:
        print_json({"scheme": scheme, "parent": parent, "code": code})
    else:
        typer.echo(code)


@group.command()
def resolve(code: str, as_json: AsJson = False) -> None:
    """Say which object a code or another published identifier names."""
    with open_city() as city:
        rows = city.resolve_code(code)
    if as_json:
        print_json(rows)
    else:
        print_table(["type", "code", "scheme", "value"], [(r.type, r.code, r.scheme, r.value) for r in rows])


def register(app: typer.Typer) -> None:
    """Add the group to the application."""
    app.add_typer(group, name="codes")
