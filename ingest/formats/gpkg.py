"""GeoPackage: an SQLite database of vector layers."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from ingest.formats._base import Format, Layer, ReadOptions


def read(path: Path, options: ReadOptions) -> Iterator[Layer]:
    """Yield the layers of a GeoPackage, tables without geometry among them.

    A view that is not registered would bring records of other layers a second time: it is left out, and the report
    says so, unless `options.layer` names it.

    What a program that has it open, or ended badly, left beside it in a log of its own is read too, from a copy: SQLite
    would write it into the file.
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
    views = _views(opened)
    for layer in read_layers(path, options, "GeoPackage", signatures, opened=opened, unasked=views):
        if views and options.layer is None:
            named = ", ".join(sorted(views))
            layer.warnings.append(f"views that the file does not register as layers are left out: {named}; see --layer")
        yield layer if scratch is None else scratch.hold(layer)


def _views(path: Path) -> frozenset[str]:
    """Return the views that are not registered; none where the file is damaged, which reading it tells."""
    import sqlalchemy as sa

    mode = "ro" if path.with_name(f"{path.name}-wal").is_file() else "ro&immutable=1"
    address = f"{path.resolve().as_uri()}?mode={mode}"
    engine = sa.create_engine("sqlite://", creator=lambda: sqlite3.connect(address, uri=True), poolclass=sa.NullPool)
    try:
        with engine.connect() as connection:
            views = sa.inspect(connection).get_view_names()
            contents = sa.table("gpkg_contents", sa.column("table_name", sa.String))
            registered = connection.execute(sa.select(contents.c.table_name)).scalars() if views else ()
            known = {str(name).casefold() for name in registered}
    except sa.exc.DBAPIError:
        return frozenset()
    return frozenset(view for view in views if view.casefold() not in known)


FORMAT = Format(
    name="gpkg",
    title="GeoPackage",
    suffixes=(".gpkg",),
    spec="OGC 12-128r19, GeoPackage Encoding Standard 1.4. https://www.geopackage.org/spec140/",
    read=read,
    sidecars=(".gpkg-wal",),
)
