"""`cim rules list | show | compare`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import orjson
import typer

from cim.errors import NotFound
from cim.output import AsJson, print_json, print_pairs, print_table
from cim.settings import Settings

Rule = Annotated[str | None, typer.Argument(help="One of its rules; default all.")]
group = typer.Typer(help="Rule packs: limits, formulas and conventions of the scenarios.", no_args_is_help=True)

Pack = Annotated[str, typer.Argument(help="Rule pack; `cim rules list` names them.")]


@group.command("list")
def list_packs(as_json: AsJson = False) -> None:
    """List the rule packs: those published, and the city's own in CIM_DICTIONARY."""
    packs = _packs().values()
    rows = [
        {
            "name": pack.name,
            "version": pack.version,
            "title": pack.title,
            "rules": len(pack.rules),
            "switched_off": sum(not rule.enabled for rule in pack.rules.values()),
            "sha256": pack.sha256,
        }
        for pack in packs
    ]
    if as_json:
        print_json(rows)
    else:
        print_table(list(rows[0]), [tuple(row.values()) for row in rows])


@group.command()
def show(pack: Pack, rule: Rule = None, as_json: AsJson = False) -> None:
    """Print the rules of a pack, or one of them with its text and source."""
    rules = _pack(pack).rules
    if rule is not None and rule not in rules:
        raise NotFound(f"rule pack {pack} has no rule {rule!r}; it has {', '.join(rules)}")
    if as_json:
        print_json(asdict(rules[rule]) if rule is not None else [asdict(each) for each in rules.values()])
    elif rule is not None:
        print_pairs({name: _text(value) for name, value in asdict(rules[rule]).items()})
    else:
        print_table(
            ["rule", "limit", "unit", "force", "confidence", "on"],
            [(r.id, _text(r.limit), r.unit, r.force, r.confidence, _text(r.enabled)) for r in rules.values()],
        )


@group.command()
def compare(pack: Pack, other: Pack, as_json: AsJson = False) -> None:
    """Print the rules that two packs do not have alike."""
    from cim.scenarios import differences

    found = differences(_pack(pack), _pack(other))
    if as_json:
        print_json(found)
        return
    print_table(
        ["rule", "field", pack, other],
        [(line["rule"], name, *map(_text, pair)) for line in found for name, pair in line["fields"].items()],
    )


def _packs() -> dict[str, Any]:
    from cim.scenarios import rule_packs

    folder = Settings.from_environment().dictionary
    return rule_packs(*([folder] if folder else []))


def _pack(name: str) -> Any:
    from cim.scenarios import rule_pack

    folder = Settings.from_environment().dictionary
    return rule_pack(name, *([folder] if folder else []))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def register(app: typer.Typer) -> None:
    """Add the group to the application."""
    app.add_typer(group, name="rules")
