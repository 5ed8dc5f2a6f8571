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


def read(path: Path, options: ReadOptions) -> Iterator[Layer]:
    """Yield the layers of a GeoPackage, tables without geometry among them.

    A view that is not registered would bring records of other layers a second time: it is left out, and the report
    says so, unless `options.layer` names it.

    What a program that has it open, or ended badly, left beside it in a log of its own is read too, from a copy: SQLite
    would write it into the file.

    Raises
    ------
    InvalidData : no GeoPackage, damaged, or with views that do not come to an end, in which GDAL would be lost.
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

    mode = "ro" if opened.with_name(f"{opened.name}-wal").is_file() else "ro&immutable=1"
    address = f"{opened.resolve().as_uri()}?mode={mode}"

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(address, uri=True)
        connection.set_progress_handler(lambda: 1, _MOST_STEPS)
        return connection

    engine = sa.create_engine("sqlite://", creator=connect, poolclass=sa.NullPool)
    try:
        with engine.connect() as connection:
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
