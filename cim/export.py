"""Write features to files. Every file is of one state, and says which."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import geopandas as gpd
import orjson
import pyogrio
from pyogrio.errors import DataLayerError, DataSourceError

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
    state = {
        "path": str(path),
        "type": type_name,
        "features": len(frame),
        "tree_size": head.size,
        "tree_root": head.root.hex(),
    }
    with _whole(path) as unfinished:
        with _dated(head.at):
            write(frame.reset_index(), unfinished, type_name)
        _state_of(unfinished).write_bytes(orjson.dumps(state, option=orjson.OPT_INDENT_2))
    return state


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """Give a path beside `path` to write to; file and state get their names when both are written, or never."""
    unfinished = path.with_name(f".{uuid.uuid4().hex}{path.suffix}")
    try:
        yield unfinished
        _state_of(unfinished).replace(_state_of(path))
        unfinished.replace(path)
    except (OSError, DataSourceError, DataLayerError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        raise InvalidData(f"cannot write {path}: {reason or error}") from error
    finally:
        for left in (unfinished, _state_of(unfinished)):
            with suppress(OSError):  # never made, or named by now
                left.unlink()


def _state_of(path: Path) -> Path:
    return path.with_name(path.name + STATE_SUFFIX)


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
