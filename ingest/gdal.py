"""GDAL, confined: the only module that imports pyogrio.

GDAL decides by content which driver opens a file, and some drivers open other files in turn: a "GeoJSON" that
holds a virtual data source made it hand out /etc/passwd. Two locks, each sufficient alone:

- every driver but the four named here is switched off through the environment *before* pyogrio is loaded, and
  the list of what is left is checked;
- a file is given to GDAL only after its first bytes were seen to be those of the format its suffix claims.
"""

from __future__ import annotations

import os
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

from cim.errors import InvalidData

DRIVERS = ("ESRI Shapefile", "FlatGeobuf", "GPKG", "GeoJSON")
# Every other vector driver of the pinned GDAL; with another GDAL `_check_drivers` names what is missing here.
_SKIPPED = """
    ADBC, AIVector, AmigoCloud, AVCBin, AVCE00, Carto, CSV, CSW, DGN, DXF, EDIGEO, EEDA, Elasticsearch,
    ESRIJSON, GDALG, GeoJSONSeq, GeoRSS, GML, GPSBabel, GPX, GTFS, HTTP, Idrisi, JML, JSONFG, KML, LIBKML,
    LVBAG, MapInfo File, MapML, MBTiles, MEM, MiraMonVector, MVT, NGW, OAPIF, ODS, OGCAPI, OGR_GMT, OGR_PDS,
    OGR_VRT, OpenFileGDB, OSM, PCIDSK, PDF, PDS4, PGDUMP, PLSCENES, PMTiles, S57, Selafin, SQLite, SXF,
    TopoJSON, VDV, VFK, VICAR, WAsP, WFS, XLSX
"""


@cache
def pyogrio() -> ModuleType:
    """Return pyogrio with all drivers but ours switched off.

    Raises
    ------
    InvalidData : GDAL was loaded with other drivers before, by somebody else in this process.
    """
    if "pyogrio" not in sys.modules:
        os.environ["OGR_SKIP"] = ",".join(name.strip() for name in _SKIPPED.split(","))
    import pyogrio as module

    _check_drivers(set(module.list_drivers()))
    loaded: ModuleType = module
    return loaded


def _check_drivers(loaded: set[str]) -> None:
    missing = set(DRIVERS) - loaded
    if missing:
        raise InvalidData(
            f"this GDAL lacks the driver {', '.join(sorted(missing))}; install the pinned pyogrio"
        )
    surplus = sorted(loaded - set(DRIVERS))
    if surplus:
        raise InvalidData(
            "GDAL was loaded in this process with drivers that may open other files"
            f" ({', '.join(surplus[:5])} …); ingest in a process of its own (`cim ingest`), or before geopandas"
            " reads a file"
        )


def check_path(path: Path) -> Path:
    """Return the real path of a local regular file; refuse everything GDAL would take for something else.

    Raises
    ------
    InvalidData : a URL, a GDAL virtual path, a connection string, a folder, a device, or no file at all.
    """
    text = str(path)
    # Path("https://x") has lost one slash by now.
    if ":/" in text or text.startswith(("/vsi", "vsi")) or "\0" in text:
        raise InvalidData(f"{text}: only local files are read; download it, or unpack it, and give its path")
    try:
        real = path.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise InvalidData(f"{text}: cannot be opened: {getattr(error, 'strerror', None) or error}") from error
    if not real.is_file():
        raise InvalidData(f"{text}: is not a regular file")
    return real


def check_signature(path: Path, signatures: tuple[bytes, ...], title: str) -> None:
    """Refuse a file whose first bytes, white space and a byte order mark aside, are none of the signatures.

    Raises
    ------
    InvalidData : empty, unreadable, a Git LFS pointer, or something else under this suffix.
    """
    try:
        with path.open("rb") as file:
            head = file.read(1024)
    except OSError as error:
        raise InvalidData(f"{path}: cannot be read: {error.strerror}") from error
    if head.startswith(signatures) or head.removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n").startswith(
        tuple(s for s in signatures if s.isascii())
    ):
        return
    if head.startswith(b"version https://git-lfs"):
        raise InvalidData(f"{path}: is a Git LFS pointer, not the file itself; fetch it with `git lfs pull`")
    shown = head[:24] if head else "nothing"
    raise InvalidData(f"{path}: is not {title}: it begins with {shown!r}")
