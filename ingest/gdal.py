"""GDAL, confined: the only module that imports pyogrio.

GDAL decides by content which driver opens a file, and some drivers open other files in turn: a "GeoJSON" that holds
a virtual data source, or a stored command line, makes it hand out /etc/passwd. Two locks:

- every driver but those named here is switched off before pyogrio is loaded, and the list of what is left is
  checked; where somebody else loaded it before, with all drivers, the file is read in a process of its own;
- a file is given to GDAL only after its first bytes were seen to be those of the format its suffix claims.

What is parsed by older code (XML, FileGDB) is read in a process of its own always, with a limit of memory and time.
"""

from __future__ import annotations

import importlib
import os
import pickle
import resource
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from cim.errors import CimError, InvalidData

Result = TypeVar("Result")

DRIVERS = ("ESRI Shapefile", "FlatGeobuf", "GML", "GPKG", "GeoJSON", "GeoJSONSeq", "LIBKML", "OpenFileGDB")
# Of a reading in a process of its own; IFC models have the same (`ingest.ifc.process.Limits`).
_SECONDS = 900.0
_MEMORY_BYTES = 6 * 1024**3
# Every other vector driver of the pinned GDAL; with another GDAL `serve` names what is missing here.
_SKIPPED = """
    ADBC, AIVector, AmigoCloud, AVCBin, AVCE00, Carto, CSV, CSW, DGN, DXF, EDIGEO, EEDA, Elasticsearch,
    ESRIJSON, GDALG, GeoRSS, GPSBabel, GPX, GTFS, HTTP, Idrisi, JML, JSONFG, KML, LVBAG, MapInfo File, MapML,
    MBTiles, MEM, MiraMonVector, MVT, NGW, OAPIF, ODS, OGCAPI, OGR_GMT, OGR_PDS, OGR_VRT, OSM, PCIDSK, PDF, PDS4,
    PGDUMP, PLSCENES, PMTiles, S57, Selafin, SQLite, SXF, TopoJSON, VDV, VFK, VICAR, WAsP, WFS, XLSX
"""


@cache
def pyogrio() -> ModuleType:
    """Return pyogrio, with all drivers but ours switched off unless it was loaded before (see `confined`)."""
    before = os.environ.get("OGR_SKIP")
    os.environ["OGR_SKIP"] = ",".join(name.strip() for name in _SKIPPED.split(","))
    try:
        loaded = importlib.import_module("pyogrio")
    finally:  # programs we start are not to inherit it
        os.environ.pop("OGR_SKIP")
        if before is not None:
            os.environ["OGR_SKIP"] = before
    return loaded


@cache
def confined() -> bool:
    """Tell whether GDAL in this process can open our formats and nothing else.

    Raises
    ------
    InvalidData : it lacks one of ours.
    """
    drivers = set(pyogrio().list_drivers())
    missing = sorted(set(DRIVERS) - drivers)
    if missing:
        raise InvalidData(f"this GDAL lacks the driver {', '.join(missing)}; install the pinned pyogrio")
    return drivers == set(DRIVERS)


def apart(function: Callable[..., list[Result]], *arguments: object) -> list[Result]:
    """Call a module-level function in a process of its own, where GDAL is confined, and return what it returns.

    The first argument is the path of the file, for messages.

    Raises
    ------
    CimError : the one that the function raised there.
    InvalidData : the process died or ran into a limit, or its GDAL has drivers that `_SKIPPED` does not name.
    """
    call = pickle.dumps((function, arguments))
    # -P: a module lying in the folder that the command is run from must not be taken for one of ours.
    command = [sys.executable, "-P", "-c", "from ingest.gdal import serve; serve()"]
    try:
        child = subprocess.run(  # noqa: S603 - our own code, arguments never pass a shell
            command, input=call, capture_output=True, check=False, timeout=_SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise InvalidData(f"{arguments[0]}: reading took longer than {_SECONDS:g} s and was ended") from error
    if child.returncode != 0:
        last = child.stderr.decode(errors="replace").strip().rpartition("\n")[2][:300]
        raise InvalidData(f"{arguments[0]}: GDAL failed on it: {last or f'exit {child.returncode}'}")
    outcome = pickle.loads(child.stdout)  # noqa: S301 - written by `serve`
    if isinstance(outcome, CimError):
        raise outcome
    result: list[Result] = outcome
    return result


def serve() -> None:
    """Answer one call of `apart`: function and arguments on standard input, result or CimError on standard output."""
    function, arguments = pickle.load(sys.stdin.buffer)  # noqa: S301 - written by `apart`
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    try:
        if not confined():
            surplus = sorted(set(pyogrio().list_drivers()) - set(DRIVERS))
            raise InvalidData(f"this GDAL has drivers that may open other files ({', '.join(surplus)}); use the pinned")
        outcome = function(*arguments)
    except CimError as error:
        outcome = error
    except MemoryError:
        outcome = InvalidData(f"{arguments[0]}: reading takes more than {_MEMORY_BYTES / 1024**3:g} GiB of memory")
    sys.stdout.buffer.write(pickle.dumps(outcome))


def check_path(path: Path, *, folder: bool = False) -> Path:
    """Return the real path of a local regular file; refuse everything GDAL would take for something else.

    Parameters
    ----------
    folder : a folder is expected instead

    Raises
    ------
    InvalidData : a URL, a GDAL virtual path, a connection string, a name with control characters, a folder, a
        device, or no file at all.
    """
    text = str(path)
    # Path("https://x") has lost one slash by now.
    if ":/" in text or text.startswith(("/vsi", "vsi")):
        raise InvalidData(f"{text}: only local files are read; download it, or unpack it, and give its path")
    if any(ord(c) < 32 or ord(c) == 127 for c in text):
        raise InvalidData(f"{text!r}: the name holds a control character (a line break or the like); rename it")
    try:
        real = path.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise InvalidData(f"{text}: cannot be opened: {getattr(error, 'strerror', None) or error}") from error
    if not (real.is_dir() if folder else real.is_file()):
        raise InvalidData(f"{text}: is not a {'folder' if folder else 'regular file'}")
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
