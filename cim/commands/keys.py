"""`cim keys add | list | revoke | reads`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from cim.commands._open import open_city
from cim.output import AsJson, print_json, print_table

group = typer.Typer(help="Keys of the API, and who read personal data with them.", no_args_is_help=True)


@group.command()
def add(
    name: Annotated[str, typer.Argument(help="Who uses it; the audit names it.")],
    scope: Annotated[list[str], typer.Option(help="What it allows, as building:write or *:read; repeat for more.")],
    division: Annotated[list[str] | None, typer.Option(help="Limit it to a division and all below it.")] = None,
    expires: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Day (UTC) at whose beginning it expires.")
    ] = None,
    quota: Annotated[str | None, typer.Option(help="Requests it may send in a period, as 10000/day.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make a key and print it: it is shown this once, only its digest is kept."""
    from cim.db import access

    until = None if expires is None else expires.replace(tzinfo=UTC)
    with open_city() as city, city.database.writing(None, None) as connection:
        access.check_types(city.database.dictionary, scope)
        key = access.add_key(connection, name, scope, division or [], until, quota)
    if as_json:
        said = {"name": name, "scopes": sorted(scope), "divisions": division, "expires": until, "quota": quota}
        print_json({"key": key, **said})
    else:
        typer.echo(key)


@group.command("list")
def list_keys(as_json: AsJson = False) -> None:
    """List the keys, the revoked ones included."""
    from cim.db import access

    with open_city() as city, city.database.reading() as connection:
        found = access.keys(connection)
    if as_json:
        print_json(found)
    else:
        lists = ("scopes", "divisions")
        rows = [[" ".join(v) if k in lists and v else v for k, v in key.items()] for key in found]
        print_table(list(found[0]) if found else ["id"], rows)


@group.command()
def revoke(number: Annotated[str, typer.Argument(metavar="ID", help="As `cim keys list` shows it.")]) -> None:
    """Let a key be worth nothing; servers that know it forget it within ten seconds."""
    from cim.db import access

    with open_city() as city, city.database.writing(None, None) as connection:
        access.revoke_key(connection, number)
    typer.echo(f"{number} revoked")


@group.command()
def reads(
    type_name: Annotated[str | None, typer.Option("--type", help="Only of this feature type.")] = None,
    code: Annotated[str | None, typer.Option(help="Only of this object.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List who read private fields, over the API or by `cim log disclose`, newest first."""
    from cim.db import access

    with open_city() as city, city.database.reading() as connection:
        found = access.private_reads(connection, type_name, code, limit)
    if as_json:
        print_json(found)
    else:
        rows = [[" ".join(value) if name == "fields" else value for name, value in one.items()] for one in found]
        print_table(["at", "reader", "type", "code", "fields", "request"], rows)


def register(app: typer.Typer) -> None:
    """Add the group to the application."""
    app.add_typer(group, name="keys")
