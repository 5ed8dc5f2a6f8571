"""The host process: `python -m ingest.ifc.worker`, one request a line on standard input, as JSON.

It loads the geometry stack once and forks for each model. The fork writes `result.json` into the scratch folder of the
request: the content of the model, or the error that refuses it;
`shells.npz` holds the outside of each building. Models may crash it, make it hang or take all memory;
then there is no result, and the parent (`process`) says what happened.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import select
import signal
import sys
import time
import traceback
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from cim.errors import CimError, CrsError, InvalidData
from ingest.ifc.container import ModelText, open_container
from ingest.ifc.opening import check_text, open_model
from ingest.ifc.properties import assigned_units, attribute

RESULT = "result.json"
SHELLS = "shells.npz"
STDERR = "stderr.txt"
# The models that this process has read: it ends without closing them, which takes long and frees what is freed anyway.
_OPEN: list[Any] = []


def main() -> int:
    """Answer requests until standard input ends: how the process of each ended, null if its time was up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends us by closing the pipe
    _load()
    gc.freeze()  # what the collector never looks at, forks go on sharing
    while line := sys.stdin.buffer.readline():
        request: dict[str, Any] = json.loads(line)
        child = os.fork()
        if child == 0:
            _be_the_reader(request)
        code = _wait(child, request["seconds"])
        sys.stdout.write(json.dumps(code) + "\n")
        sys.stdout.flush()
    return 0


def _load() -> None:
    """Import what every model needs, before the first fork."""
    import ifcopenshell.geom
    import ifcopenshell.util.element
    import ifcopenshell.util.geolocation
    import ifcopenshell.util.placement
    import ifcopenshell.util.unit  # noqa: F401
    import numpy.ma  # noqa: F401 - the first median asks for it, in each fork

    import ingest.ifc.content
    import ingest.ifc.infrastructure
    import ingest.ifc.place  # noqa: F401


def _wait(child: int, seconds: float) -> int | None:
    """Wait for a reader; end it, with the kernels it runs, when its time is up or nobody waits for it any more."""
    descriptor = os.pidfd_open(child) if hasattr(os, "pidfd_open") else None
    deadline = time.monotonic() + seconds
    try:
        while (left := deadline - time.monotonic()) > 0:
            waited = [sys.stdin] if descriptor is None else [sys.stdin, descriptor]
            ready, _, _ = select.select(waited, [], [], left if descriptor is not None else min(left, 0.02))
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status)
            if sys.stdin in ready:  # the end of it: one request is out at a time
                break
    finally:
        # The reader leads a group of its own, with the forks that run the kernels in it.
        with suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        if descriptor is not None:
            os.close(descriptor)
    os.waitpid(child, 0)
    return None


def _be_the_reader(request: dict[str, Any]) -> None:
    """Be the fork that reads one model: write the result, end with code 0 whenever one was written."""
    code = 1
    try:
        os.setpgid(0, 0)
        scratch = Path(request["scratch"])
        with (scratch / STDERR).open("wb") as log, Path(os.devnull).open("rb") as nothing:
            os.dup2(nothing.fileno(), 0)
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        answer = answer_to(Path(request["path"]), scratch, request["options"])
        (scratch / RESULT).write_text(json.dumps(answer), encoding="utf-8")
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(BaseException):
            sys.stderr.flush()
        os._exit(code)


def answer_to(path: Path, scratch: Path, options: dict[str, Any]) -> dict[str, Any]:
    """Return the content of a model (see `read_model`), or the class and message of the error that refuses it."""
    limit_memory(options.get("memory_bytes"))
    try:
        return read_model(path, scratch, options)
    except CimError as error:
        return {"error": type(error).__name__, "message": str(error)}
    except MemoryError:
        return {"error": "InvalidData", "message": f"{path.name}: reading takes more memory than allowed"}
    except RecursionError:
        return {
            "error": "InvalidData",
            "message": f"{path.name}: placements or parts refer to each other in a ring",
        }
    except Exception as error:
        # A model can break its schema in more ways than can be foreseen; one of them must not end a night's
        # run.
        traceback.print_exc()
        kind = type(error).__name__
        return {
            "error": "InvalidData",
            "message": f"{path.name}: the model cannot be understood: {kind}: {error}",
        }


def limit_memory(limit: int | None) -> None:
    """Cap the address space of this process at `limit` bytes, where the system can."""
    if limit is None:
        return
    try:
        import resource
    except ImportError:  # no such thing on Windows
        return
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    soft = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def read_model(path: Path, scratch: Path, options: dict[str, Any]) -> dict[str, Any]:
    """Return the content of a model as JSON knows it.

    Raises
    ------
    InvalidData, UnknownFormat : it cannot be read; the message names the file and why.
    """
    text = open_container(path, scratch, options.get("encoding"))
    try:
        return _read(path, text, scratch, options, whole=False)
    except MemoryError:
        raise
    except Exception:
        # Parsed as a whole, a damaged text is refused for what it is, or as much of it is read as can be.
        return _read(path, text, scratch, options, whole=True)


def _read(path: Path, text: ModelText, scratch: Path, options: dict[str, Any], *, whole: bool) -> dict[str, Any]:
    model = open_model(text.path, path.name, whole=whole)
    _OPEN.append(model)
    damage = _check_complete(path, text.instances, len(model.entity_names()))
    _give_back()
    from ingest.ifc import place
    from ingest.ifc.content import read_content
    from ingest.ifc.infrastructure import read_infrastructure
    from ingest.ifc.properties import Units
    from ingest.ifc.properties import text as label
    from ingest.ifc.structure import buildings

    units = Units.of(model)
    nodes = buildings(model)
    content = read_content(model, nodes, units, options.get("code_property"), options.get("cores", 1))
    shells = {str(i): record.shell for i, record in enumerate(content.buildings) if record.shell is not None}
    with (scratch / SHELLS).open("wb") as file:
        np.savez(file, **shells)  # type: ignore[arg-type] # names are numbers, never an option of savez
    infrastructure = read_infrastructure(model, units)
    holds_lines = bool(infrastructure.roads or infrastructure.pipes or infrastructure.components)
    warnings = [
        *damage,
        *_text_warnings(text),
        *_model_warnings(model, place.count_operations(model), holds_lines=holds_lines),
        *content.warnings,
        *infrastructure.warnings,
    ]
    conversion = None
    try:
        conversion = place.conversion_of(model, units.length)
    except CrsError as error:
        warnings.append(f"{error}; its map conversion is not used")
    sites = [place.geodetic_of(node.site, units.length) for node in nodes]
    own_site = next(
        (found for site in model.by_type("IfcSite") if (found := place.geodetic_of(site, units.length))), None
    )
    check_text()
    return {
        "schema": model.schema_identifier,
        "conversion": None if conversion is None else asdict(conversion),
        "sites": [None if site is None else asdict(site) for site in sites],
        "own_site": None if own_site is None else asdict(own_site),
        "site_names": [None if node.site is None else label(node.site.Name) for node in nodes],
        "true_north": place.true_north_of(model),
        "warnings": warnings,
        "buildings": [_plain(record) for record in content.buildings],
        "storeys": [_plain(record) for record in content.storeys],
        "spaces": [_plain(record) for record in content.spaces],
        "units": [_plain(record) for record in content.units],
        "roads": infrastructure.roads,
        "pipes": infrastructure.pipes,
        "components": infrastructure.components,
    }


def _give_back() -> None:
    """Hand memory that parsing has freed back to the system, before a fork would count it twice (glibc only)."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def _check_complete(path: Path, declared: int, parsed: int) -> list[str]:
    """Refuse a model of which the parser lost more than a hundredth; it gives up without a word."""
    lost = declared - parsed
    if lost > declared / 100:
        raise InvalidData(
            f"{path.name}: only {parsed} of {declared} instances could be parsed; the text is damaged, export it again"
        )
    return [f"instances that could not be parsed and are missing: {lost} of {declared}"] if lost > 0 else []


def _text_warnings(text: ModelText) -> list[str]:
    said = list(text.repaired)
    if text.encoding is not None:
        said.append(
            f"strings of raw bytes, read as {text.encoding}: {text.strings}; give --encoding if names look wrong"
        )
    return said


def _model_warnings(model: Any, operations: int, *, holds_lines: bool) -> list[str]:
    warnings = []
    if not model.by_type("IfcBuilding"):
        rest = "roads, pipes and components only" if holds_lines else "nothing to take from it"
        warnings.append(f"the model has no IfcBuilding: {rest}")
    projects = model.by_type("IfcProject")
    if not any(attribute(unit, "UnitType") == "LENGTHUNIT" for unit in assigned_units(model)):
        warnings.append("the model states no unit of length: metres are assumed")
    if len(projects) > 1:
        warnings.append(f"the model has {len(projects)} projects; the units of the first are taken for all")
    if operations > 1:
        warnings.append(f"the model states {operations} different map conversions; the first is taken")
    orphans = [storey for storey in model.by_type("IfcBuildingStorey") if not storey.Decomposes]
    if orphans:
        warnings.append(f"storeys that belong to no building are left out: {len(orphans)}")
    return warnings


def _plain(record: Any) -> dict[str, Any]:
    attributes = {k: v for k, v in record.attributes.items() if v not in (None, [], {})}
    return {
        "source_id": record.source_id,
        "parent": record.parent,
        "building": record.building,
        "columns": record.columns,
        "attributes": attributes,
        "outline": None if record.outline is None else record.outline.wkb_hex,
        "roof": None if record.roof is None else record.roof.outline.wkb_hex,
        "codes": record.codes,
        "ground": record.ground,
    }


if __name__ == "__main__":
    sys.exit(main())
