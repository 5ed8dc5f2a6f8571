"""`cim codes list | check | mint | resolve | supersede | orphans`."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from cim import codes
from cim.commands._open import open_city
from cim.commands.objects import AsOf, state
from cim.dictionary import dictionary_of
from cim.errors import NotFound
from cim.output import AsJson, print_json, print_pairs, print_table
from cim.settings import Settings

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
    found = codes.scheme(scheme, dictionary_of(Settings.from_environment()).codelists)
    canonical = found.check(code)
    warnings = [problem.message for problem in found.validate(canonical, strict=True)]
    result = {
        "scheme": scheme,
        "code": canonical,
        "parent": found.parent(canonical),
        "segments": {part.name: part.text for part in found.parse(canonical).parts if part.name},
        "warnings": warnings,
    }
    if as_json:
        print_json(result)
    else:
        print_pairs(result)


@group.command()
def mint(
    scheme: SchemeName,
    parent: Annotated[str, typer.Argument(help="What contains the object, or the prefix the scheme numbers within.")],
    count: Annotated[int, typer.Option(help="So many codes.")] = 1,
    actor: Annotated[str | None, typer.Option(help="Who asks; default the database's user.")] = None,
    reason: Annotated[str | None, typer.Option(help="What for.")] = None,
    as_json: AsJson = False,
) -> None:
    """Give out the next code under a parent code, by the scheme's own numbering; it is never given out again."""
    with open_city() as city:
        minted = city.mint(scheme, parent, count, actor=actor, reason=reason)
    if as_json:
        print_json({"scheme": scheme, "parent": parent, "codes": minted})
    else:
        for code in minted:
            typer.echo(code)


@group.command()
def resolve(
    identifier: Annotated[str, typer.Argument(help="A code or another published identifier, in any spelling.")],
    scheme: Annotated[str | None, typer.Option(help="The scheme it is of; default any.")] = None,
    as_of: AsOf = None,
    as_json: AsJson = False,
) -> None:
    """Say which object a code or another published identifier names, and through which supersessions."""
    with open_city() as city:
        found = city.resolve(identifier, scheme=scheme, as_of=state(as_of))
    if not found:
        raise NotFound(f"nothing here was ever named {identifier!r}; `cim codes list` names the schemes")
    if as_json:
        print_json(found)
        return
    columns = ["type", "code", "exists", "by", "named"]
    print_table(columns, [(r.type, r.code, "yes" if r.live else "no more", r.scheme, r.value) for r in found])
    steps = {step for resolution in found for step in resolution.chain}
    if steps:
        rows = [
            (s.old, ", ".join(s.new), s.date, s.reason, s.evidence, s.leaf) for s in sorted(steps, key=lambda s: s.at)
        ]
        print_table(["superseded", "by", "since", "reason", "evidence", "leaf"], rows)


@group.command()
def supersede(
    type_name: Annotated[str, typer.Argument(metavar="TYPE", help="Feature type.")],
    old: Annotated[list[str], typer.Argument(help="Codes that end; several are a merger.")],
    new: Annotated[list[str], typer.Option("--by", help="Code that takes over; repeat it for a split.")],
    reason: Annotated[str, typer.Option(help="Why; it is recorded for good.")],
    evidence: Annotated[str | None, typer.Option(help="What proves it; it is in the log for everyone to read.")] = None,
    day: Annotated[datetime | None, typer.Option("--date", formats=["%Y-%m-%d"], help="Since when.")] = None,
    actor: Annotated[str | None, typer.Option(help="Who says so; default the database's user.")] = None,
    as_json: AsJson = False,
) -> None:
    """End objects whose codes gave way to others: a rename, a split, a merger. The old codes still resolve."""
    with open_city() as city:
        date = None if day is None else day.date()
        links = dict.fromkeys(old, new)
        number = city.supersede(type_name, links, reason=reason, evidence=evidence, day=date, actor=actor)
    if as_json:
        print_json({"type": type_name, "superseded": number, "by": new})
    else:
        typer.echo(f"{number} superseded by {', '.join(new)}")


@group.command()
def orphans(as_json: AsJson = False) -> None:
    """List objects that name a parent which is not there: a load still to come may bring it."""
    with open_city() as city:
        found = city.orphans()
    if as_json:
        print_json(found)
    else:
        print_table(["type", "code", "names as", "parent"], [(o.type, o.code, o.property, o.parent) for o in found])


def register(app: typer.Typer) -> None:
    """Add the group to the application."""
    app.add_typer(group, name="codes")
