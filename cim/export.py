"""Write features to files. Every file is of one state, and says which."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import geopandas as gpd
import orjson
import pyogrio

from cim.city import City
from cim.db.state import AsOf
from cim.errors import InvalidData, UnknownFormat

STATE_SUFFIX = ".state.json"


def export_features(
    city: City, type_name: str, path: Path, *, where: str | None = None, as_of: AsOf = None
) -> dict[str, Any]:
    """Write the objects of a type to `path` and the state to `path` + ".state.json".

    The state is pinned before reading: committed revisions are sequenced first, so that the file is of one tree size.

    Returns
    -------
    {"path", "type", "features", "tree_size", "tree_root"}

    Raises
    ------
    UnknownFormat : the suffix names no format we write. InvalidData : the file exists or cannot be written.
    """
    write = WRITERS.get(path.suffix.lower())
    if write is None:
        raise UnknownFormat(f"cannot write {path.name}: expected a suffix out of {', '.join(WRITERS)}")
    if path.exists():
        raise InvalidData(f"{path} exists; remove it or name another file")
    head = city.tree_head(as_of) if as_of is not None else city.sequence()
    frame = city.features(type_name, where=where, as_of=head.size)
    try:
        with _dated(head.at):
            write(frame.reset_index(), path, type_name)
    except OSError as error:
        raise InvalidData(f"cannot write {path}: {error.strerror or error}") from error
    state = {
        "path": str(path),
        "type": type_name,
        "features": len(frame),
        "tree_size": head.size,
        "tree_root": head.root.hex(),
    }
    path.with_name(path.name + STATE_SUFFIX).write_bytes(orjson.dumps(state, option=orjson.OPT_INDENT_2))
    return state


@contextmanager
def _dated(instant: datetime) -> Iterator[None]:
    """Have GDAL write this instant where a format asks for the time of writing: a state gives the same bytes again."""
    option = "OGR_CURRENT_DATE"
    pyogrio.set_gdal_config_options({option: f"{instant.astimezone(UTC):%Y-%m-%dT%H:%M:%S.000Z}"})
    try:
        yield
    finally:
        pyogrio.set_gdal_config_options({option: None})


def _with_driver(driver: str) -> Callable[[gpd.GeoDataFrame, Path, str], None]:
    def write(frame: gpd.GeoDataFrame, path: Path, layer: str) -> None:
        flat = frame.assign(attributes=[None if a is None else orjson.dumps(a).decode() for a in frame["attributes"]])
        flat.to_file(path, driver=driver, layer=layer, engine="pyogrio")

    return write


def _write_parquet(frame: gpd.GeoDataFrame, path: Path, _layer: str) -> None:
    frame.assign(attributes=[None if a is None else orjson.dumps(a).decode() for a in frame["attributes"]]).to_parquet(
        path, index=False
    )


WRITERS: dict[str, Callable[[gpd.GeoDataFrame, Path, str], None]] = {
    ".gpkg": _with_driver("GPKG"),
    ".geojson": _with_driver("GeoJSON"),
    ".fgb": _with_driver("FlatGeobuf"),
    ".parquet": _write_parquet,
}
