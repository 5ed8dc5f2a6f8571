"""File geodatabase: a folder of tables, also zipped."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cim.errors import InvalidData
from ingest.formats._base import Format, Layer, ReadOptions, head

# The table of tables, and how each table begins: 3, of ArcGIS 9 and later.
_CATALOGUE = "a00000001.gdbtable"
_TABLE = b"\x03\x00\x00\x00"


def read(path: Path, options: ReadOptions) -> Iterator[Layer]:
    """Yield the layers of a file geodatabase, tables without geometry among them.

    Raises
    ------
    InvalidData : no geodatabase, or a zip with none or several; a link among its files.
    """
    from ingest.formats._ogr import read_layers_apart
    from ingest.scratch import Scratch
    from ingest.unpack import unpack

    scratch = Scratch()
    if path.is_dir():
        folder = path
    elif head(path, 4) == b"PK\x03\x04":
        # The driver knows a geodatabase by the folder's name; files packed without their folder get one.
        unpack(path, scratch.path / "unpacked.gdb")
        folder = _only_folder(path, scratch.path / "unpacked.gdb")
    else:
        raise InvalidData(f"{path}: is not a file geodatabase: it begins with {head(path, 24) or 'nothing'!r}")
    _check(path, folder)
    for layer in read_layers_apart(path, folder, options, "file geodatabase", {}):
        yield scratch.hold(layer)


def _only_folder(path: Path, scratch: Path) -> Path:
    found = [p.parent for p in scratch.rglob(_CATALOGUE)]
    if len(found) != 1:
        raise InvalidData(f"{path}: a zipped geodatabase holds one .gdb folder, this one {len(found)}")
    folder = found[0]
    return folder if folder.suffix.lower() == ".gdb" else folder.rename(folder.with_name(f"{folder.name}.gdb"))


def _check(path: Path, folder: Path) -> None:
    if head(folder / _CATALOGUE, 4) != _TABLE:
        raise InvalidData(f"{path}: is not a file geodatabase: it has no sound {_CATALOGUE}")
    for file in folder.rglob("*"):
        if file.is_symlink() or not file.is_file():
            raise InvalidData(f"{path}: {file.name!r} in it is no regular file; copy the geodatabase itself")
        _check_whole(path, file)


def _check_whole(path: Path, file: Path) -> None:
    """Refuse a table that is shorter than it states."""
    if file.suffix != ".gdbtable":
        return
    with file.open("rb") as opened:
        start = opened.read(32)
    stated = int.from_bytes(start[24:32], "little")
    if file.stat().st_size < stated:
        raise InvalidData(f"{path}: {file.name} is cut off: expected {stated} bytes, got {file.stat().st_size}")


FORMAT = Format(
    name="gdb",
    title="File geodatabase",
    suffixes=(".gdb", ".gdb.zip"),
    spec="reverse-engineered: https://github.com/rouault/dump_gdbtable/wiki/FGDB-Spec",
    read=read,
    folder=True,
)
