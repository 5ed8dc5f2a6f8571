"""GeoPackage: an SQLite database of vector layers."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cim.errors import InvalidData
from ingest.formats._base import Format, Layer, ReadOptions

if TYPE_CHECKING:
    import sqlalchemy as sa


# So many steps of SQLite, some seconds, may be taken to look at a view: there are such as have no end.
_MOST_STEPS = 100_000_000
# What SQLite may hold in columns of these types (OGC 12-128r19, table 1), besides null.
_WHOLE = dict.fromkeys(("BOOLEAN", "TINYINT", "SMALLINT", "MEDIUMINT", "INT", "INTEGER"), ("integer",))
_STORED = _WHOLE | dict.fromkeys(("FLOAT", "DOUBLE", "REAL"), ("integer", "real"))


def read(path: Path, options: ReadOptions) -> Iterator[Layer]:
    """Yield the layers of a GeoPackage, tables without geometry among them.

    A view that is not registered would bring records of other layers a second time: it is left out, and the report
    says so, unless `options.layer` names it.

    What a program that has it open, or ended badly, left beside it in a log of its own is read too, from a copy: SQLite
    would write it into the file.

    Raises
    ------
    InvalidData : no GeoPackage, damaged, or with views that do not come to an end, in which GDAL would be lost; or a
        column holds what it is not declared for, which GDAL would take for 0, for the year 1970 or for nothing.
    """
    from ingest.formats._ogr import read_layers
    from ingest.gdal import check_signature
    from ingest.scratch import Scratch

    signatures = (b"SQLite format 3\0",)
    check_signature(path, signatures, "GeoPackage")
    log = path.with_name(f"{path.name}-wal")
    scratch, opened = None, path
    if log.is_file():
        scratch = Scratch()
        opened = scratch.path / path.name
        shutil.copy(path, opened)
        shutil.copy(log, scratch.path / log.name)
    views = _views(path, opened, options.layer)
    _check_values(path, opened, options.layer)
    for layer in read_layers(path, options, "GeoPackage", signatures, opened=opened, unasked=views):
        if views and options.layer is None:
            named = ", ".join(sorted(views))
            layer.warnings.append(f"views that the file does not register as layers are left out: {named}; see --layer")
        yield layer if scratch is None else scratch.hold(layer)


def _views(path: Path, opened: Path, asked: str | None) -> frozenset[str]:
    """Return the views that are not registered; none where the file is damaged, which reading it tells.

    `opened` is the copy of the file to open.

    Raises
    ------
    InvalidData : a view stands for what the file says of itself, or does not come to an end.
    """
    import sqlalchemy as sa

    try:
        with _engine(opened, _MOST_STEPS).connect() as connection:
            views = sa.inspect(connection).get_view_names()
            posing = [view for view in views if view.casefold().startswith("gpkg_")]
            if posing:
                raise InvalidData(
                    f"{path}: its {posing[0]} is a view, expected a table; save it anew from QGIS or ogr2ogr"
                )
            contents = sa.table("gpkg_contents", sa.column("table_name", sa.String))
            registered = connection.execute(sa.select(contents.c.table_name)).scalars() if views else ()
            known = {str(name).casefold() for name in registered}
            for view in views:
                # GDAL looks at the first record of each view, and goes to the end of those that are read.
                read = view == asked or view.casefold() in known
                looked = sa.select(sa.func.count() if read else sa.literal(1)).select_from(sa.table(view)).limit(1)
                if not _ends(connection, looked):
                    raise InvalidData(f"{path}: its view {view!r} does not come to an end; save its records as a table")
    except sa.exc.DBAPIError:
        return frozenset()
    return frozenset(view for view in views if view.casefold() not in known)


def _engine(opened: Path, most_steps: int = 0) -> sa.Engine:
    """Return what reads a file by SQLite; statements of more steps are interrupted, 0 for none."""
    import sqlalchemy as sa

    mode = "ro" if opened.with_name(f"{opened.name}-wal").is_file() else "ro&immutable=1"
    address = f"{opened.resolve().as_uri()}?mode={mode}"

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(address, uri=True)
        connection.set_progress_handler((lambda: 1) if most_steps else None, most_steps)
        return connection

    return sa.create_engine("sqlite://", creator=connect, poolclass=sa.NullPool)


def _check_values(path: Path, opened: Path, asked: str | None) -> None:
    """Raise InvalidData where a table to be read holds a value that its column is not declared for: SQLite lets it."""
    import sqlalchemy as sa

    try:
        with _engine(opened).connect() as connection:
            for name in sa.inspect(connection).get_table_names():
                if asked in (None, name) and not name.casefold().startswith(("gpkg_", "rtree_", "sqlite_")):
                    wrong = _wrong_value(connection, name)
                    if wrong is not None:
                        raise InvalidData(f"{path}: layer {name!r}: {wrong}")
    except sa.exc.DBAPIError:
        return  # it is damaged, which reading it tells


def _wrong_value(connection: sa.Connection, name: str) -> str | None:
    """Say which column holds what it is not declared for, and what; None where none does."""
    import sqlalchemy as sa

    described = sa.func.pragma_table_info(name).table_valued("name", "type")
    declared = {row.name: row.type.upper() for row in connection.execute(sa.select(described))}
    shapes = sa.table("gpkg_geometry_columns", sa.column("table_name"), sa.column("column_name"))
    shaped = connection.execute(sa.select(shapes.c.column_name).where(shapes.c.table_name == name)).scalar()
    table = sa.table(name, *map(sa.column, declared))
    wrong: dict[str, sa.ColumnElement[bool]] = {}
    for column in table.columns:
        kind = declared[column.name]
        if column.name == shaped:
            wrong[column.name] = sa.func.substr(column, 1, 2) != sa.cast(sa.literal(b"GP"), sa.LargeBinary)
        elif kind in _STORED:
            wrong[column.name] = sa.func.typeof(column).not_in((*_STORED[kind], "null"))
        elif kind in ("DATE", "DATETIME"):
            wrong[column.name] = column.not_like("____-__-__%") | (column.is_not(None) & sa.func.date(column).is_(None))
    found = connection.execute(sa.select(*map(sa.func.max, wrong.values()))).one() if wrong else ()
    for (column_name, is_wrong), is_found in zip(wrong.items(), found, strict=True):
        if is_found and column_name == shaped:
            return (
                f"column {column_name!r} holds what is no geometry of a GeoPackage; save it anew from QGIS or ogr2ogr"
            )
        if is_found:
            value = connection.execute(sa.select(table.c[column_name]).where(is_wrong).limit(1)).scalar_one()
            kind = declared[column_name]
            return f"column {column_name!r} is {kind}, but holds {value!r}; correct it, or make it a column of TEXT"
    return None


def _ends(connection: sa.Connection, statement: sa.Select[Any]) -> bool:
    """Tell whether a statement is done before too many steps are taken; yes where it is not sound."""
    import sqlalchemy as sa

    try:
        connection.execute(statement).all()
    except sa.exc.DBAPIError as error:
        return not (isinstance(error.orig, sqlite3.Error) and error.orig.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT)
    return True


FORMAT = Format(
    name="gpkg",
    title="GeoPackage",
    suffixes=(".gpkg",),
    spec="OGC 12-128r19, GeoPackage Encoding Standard 1.4. https://www.geopackage.org/spec140/",
    read=read,
    sidecars=(".gpkg-wal",),
)
