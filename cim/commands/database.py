"""`cim up`, `cim down`, `cim status`."""

from __future__ import annotations

import typer

from cim.commands._open import open_city
from cim.db import cluster
from cim.errors import InvalidData
from cim.output import AsJson, print_json, print_pairs
from cim.settings import Settings


def up(as_json: AsJson = False) -> None:
    """Start the embedded database, or reach the server named, and bring it up to date."""
    with open_city() as city:
        city.sequence()
        status = city.status()
    if as_json:
        print_json(status)
    else:
        typer.echo(f"up: {status['database']}, tree size {status['tree_size']}")


def down() -> None:
    """Stop the embedded database. What it holds stays."""
    settings = Settings.from_environment()
    if settings.database_url is not None:
        raise InvalidData("CIM_DATABASE_URL names a server that is not ours to stop; unset it to stop the embedded one")
    typer.echo("stopped" if cluster.stop(settings) else "was not running")


def status(as_json: AsJson = False) -> None:
    """Say where the data is, what it holds, how far the log is behind, and which transaction it waits for."""
    settings = Settings.from_environment()
    if settings.database_url is None and not cluster.status(settings).running:
        if as_json:
            print_json({"running": False, "home": str(settings.home)})
        else:
            typer.echo(f"down: {settings.home}; `cim up` starts it")
        return
    with open_city(settings) as city:
        found = {"running": True, **city.status()}
    if as_json:
        print_json(found)
        return
    objects = found.pop("objects")
    print_pairs(found)
    print_pairs({f"  {name}": count for name, count in objects.items() if count})


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    for command in (up, down, status):
        app.command()(command)
