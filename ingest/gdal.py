"""GDAL, confined: the only module that imports pyogrio.

GDAL decides by content which driver opens a file, and some drivers open other files in turn: a "GeoJSON" that holds
a virtual data source, or a stored command line, makes it hand out /etc/passwd. Two locks:

- every driver but those named here is switched off before pyogrio is loaded, and the list of what is left is
  checked; where somebody else loaded it before, with all drivers, the file is read in a process of its own;
- a file is given to GDAL only after its first bytes were seen to be those of the format its suffix claims.

XML and geodatabases, whose parsers are the oldest code, are always read in a process of their own.
"""

from __future__ import annotations

import atexit
import importlib
import os
import pickle
import resource
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from cim.errors import CimError, InvalidData
from cim.frames import left_out, without_pandas

Result = TypeVar("Result")

DRIVERS = ("ESRI Shapefile", "FlatGeobuf", "GML", "GPKG", "GeoJSON", "GeoJSONSeq", "LIBKML", "OpenFileGDB")
# Of a process that reads; IFC models have the same (`ingest.ifc.process.Limits`).
_MEMORY_BYTES = 6 * 1024**3
# Every other vector driver of the pinned GDAL; with another GDAL `serve` names what is missing here.
_SKIPPED = """
    ADBC, AIVector, AmigoCloud, AVCBin, AVCE00, Carto, CSV, CSW, DGN, DXF, EDIGEO, EEDA, Elasticsearch,
    ESRIJSON, GDALG, GeoRSS, GPSBabel, GPX, GTFS, HTTP, Idrisi, JML, JSONFG, KML, LVBAG, MapInfo File, MapML,
    MBTiles, MEM, MiraMonVector, MVT, NGW, OAPIF, ODS, OGCAPI, OGR_GMT, OGR_PDS, OGR_VRT, OSM, PCIDSK, PDF, PDS4,
    PGDUMP, PLSCENES, PMTiles, S57, Selafin, SQLite, SXF, TopoJSON, VDV, VFK, VICAR, WAsP, WFS, XLSX
"""


# Of threads in which GDAL is listened to.
_hearing = threading.local()


@cache
def pyogrio() -> ModuleType:
    """Return pyogrio, with all drivers but ours switched off unless it was loaded before (see `confined`).

    It has no functions for frames where the process does without pandas: it would load that, and geopandas.
    """
    before = os.environ.get("OGR_SKIP")
    os.environ["OGR_SKIP"] = ",".join(name.strip() for name in _SKIPPED.split(","))
    try:
        with without_pandas() if left_out() else nullcontext():
            loaded = importlib.import_module("pyogrio")
        # No driver of ours has business on the network; a proxy of no known kind keeps curl from it.
        loaded.set_gdal_config_options({"GDAL_HTTP_PROXY": "none://"})
    finally:  # programs we start are not to inherit it
        os.environ.pop("OGR_SKIP")
        if before is not None:
            os.environ["OGR_SKIP"] = before
    return loaded


def heard() -> None:
    """Make what GDAL warns of in this thread a warning of Python: else it goes to standard error, past the report."""
    if not getattr(_hearing, "begun", False):
        pyogrio()._err._register_error_handler()
        _hearing.begun = True


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


def apart(function: Callable[..., Iterator[Result]], *arguments: object) -> Iterator[Result]:
    """Call a module-level generator in a process of its own, where GDAL is confined, and yield what it yields.

    The process is kept for the next call; one that is left before its end is stopped.

    Raises
    ------
    CimError : the one that the generator raised there.
    InvalidData : the process died, or its GDAL has drivers that `_SKIPPED` does not name.
    """
    child = _idle.pop() if _idle else _Child()
    refusal: CimError | None = None
    try:
        for item in child.answers(function, arguments):
            if isinstance(item, CimError):
                refusal = item
            else:
                yield item
    except EOFError as error:
        raise InvalidData(f"{arguments[0]}: GDAL failed on it: {child.last_words()}") from error
    except BaseException:
        child.stop()
        raise
    _idle.append(child)
    if refusal is not None:
        raise refusal


class _Child:
    """A process that answers one call after the other; see `serve`."""

    def __init__(self) -> None:
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `stop`
        self._process = subprocess.Popen(
            # -P: a module lying in the folder that the command is run from must not be taken for one of ours.
            [sys.executable, "-P", "-c", "from ingest.gdal import serve; serve()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
        )
        atexit.register(self.stop)

    def answers(self, function: Callable[..., object], arguments: tuple[object, ...]) -> Iterator[Any]:
        """Yield what the call yields, a CimError it raised among it; EOFError where the process died."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            pickle.dump((function, arguments), self._process.stdin)
            self._process.stdin.flush()
            while (item := pickle.load(self._process.stdout)) is not None:  # noqa: S301 - written by `serve`
                yield item
        except (BrokenPipeError, pickle.UnpicklingError) as error:
            raise EOFError from error

    def last_words(self) -> str:
        """Return the last line the process wrote to standard error, when it has died."""
        code = self._process.wait()
        self._complaints.seek(0)
        said = self._complaints.read().decode(errors="replace").strip().rpartition("\n")[2]
        self.stop()
        return said or f"exit {code}"

    def stop(self) -> None:
        """End the process, if it lives."""
        atexit.unregister(self.stop)
        with self._process:
            self._process.kill()
        self._complaints.close()


# Processes that wait for their next call.
_idle: list[_Child] = []


def serve() -> None:
    """Answer calls of `apart` till they end: function and arguments on standard input, items on standard output.

    The last item is None, or the CimError that the function raised.
    """
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    while call := _next_call():
        function, arguments = call
        try:
            if not confined():
                surplus = ", ".join(sorted(set(pyogrio().list_drivers()) - set(DRIVERS)))
                raise InvalidData(f"this GDAL has drivers that may open other files ({surplus}); use the pinned")
            for item in function(*arguments):
                pickle.dump(item, sys.stdout.buffer)
        except CimError as error:
            pickle.dump(error, sys.stdout.buffer)
        pickle.dump(None, sys.stdout.buffer)
        sys.stdout.buffer.flush()


def _next_call() -> tuple[Callable[..., Iterator[object]], tuple[object, ...]] | None:
    try:
        call: tuple[Callable[..., Iterator[object]], tuple[object, ...]] = pickle.load(sys.stdin.buffer)  # noqa: S301
    except EOFError:
        return None
    return call


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
