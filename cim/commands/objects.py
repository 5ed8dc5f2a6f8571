"""`cim get`, `cim history`, `cim export`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cim.commands import _files
from cim.commands._open import open_city
from cim.output import AsJson, print_json, print_pairs, print_table

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

    from cim.city import CityObject

Code = Annotated[str, typer.Argument(help="The object's code.")]
TypeName = Annotated[str | None, typer.Option("--type", help="Feature type, where several know the code.")]
AsOf = Annotated[str | None, typer.Option("--as-of", help="Tree size, RFC 3339 instant, or checkpoint file.")]


def state(as_of: str | None) -> str | None:
    """Return what `--as-of` names: the text of a checkpoint file, or the argument itself.

    Raises
    ------
    InvalidData : the file cannot be read as text.
    """
    if as_of is not None and not as_of.isdecimal() and _files.is_file(as_of):
        return _files.read_text(Path(as_of)).partition("\n\n")[0] + "\n"
    return as_of


def get(code: Code, type_name: TypeName = None, as_of: AsOf = None, as_json: AsJson = False) -> None:
    """Print one object."""
    with open_city() as city:
        found = city.get(code, type_name=type_name, as_of=state(as_of))
    if as_json:
        print_json(_feature(found))
        return
    print_pairs(
        {"type": found.type, "code": found.code, "revision": found.rev, "leaf": found.leaf}
        | dict(found.properties)
        | {"geometry": _measured(found.geometry)}
    )


def _measured(geometry: BaseGeometry | None) -> str | None:
    """Return the kind of a geometry, and its area or length in metres of the storage CRS where it has one."""
    if geometry is None:
        return None
    if geometry.area:
        return f"{geometry.geom_type}, {geometry.area:.1f} m²"
    return f"{geometry.geom_type}, {geometry.length:.1f} m" if geometry.length else str(geometry.geom_type)


def _feature(found: CityObject) -> dict[str, Any]:
    import shapely

    geometry = None if found.geometry is None else shapely.geometry.mapping(found.geometry)
    return {
        "type": "Feature",
        "id": found.code,
        "featureType": found.type,
        "revision": found.rev,
        "leaf": found.leaf,
        "geometry": geometry,
        "properties": dict(found.properties),
    }


def history(code: Code, type_name: TypeName = None, as_json: AsJson = False) -> None:
    """Print every revision of one object, oldest first."""
    with open_city() as city:
        entries = city.history(code, type_name=type_name)
    if as_json:
        print_json(entries)
        return
    print_table(
        ["rev", "op", "at", "by", "reason", "leaf"],
        [(e.rev, e.op, e.at.isoformat(timespec="seconds"), e.actor, e.reason, e.leaf) for e in entries],
    )


def export(
    type_name: Annotated[str, typer.Argument(metavar="TYPE", help="Feature type.")],
    path: Annotated[Path, typer.Argument(help="File to write: .gpkg, .geojson, .fgb or .parquet.")],
    where: Annotated[str | None, typer.Option(help="CQL2 text filter.")] = None,
    as_of: AsOf = None,
    as_json: AsJson = False,
) -> None:
    """Write the objects of a type to a file, with the state they were read at beside it."""
    from cim.export import export_features

    with open_city() as city:
        result = export_features(city, type_name, path, where=where, as_of=state(as_of))
    if as_json:
        print_json(result)
    else:
        print_pairs(result)


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    for command in (get, history, export):
        app.command()(command)
