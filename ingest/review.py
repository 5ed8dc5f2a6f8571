"""Records nobody could place, as a GeoPackage for a person: written to be edited in QGIS, read back as decisions.

The layer `undecided` has one feature a record. The person writes into `decision` and, for `same`, into `code`:

| decision | means |
|---|---|
| same | it is the object of `code` |
| new | it is an object the city does not have |
| leave out | it is not taken |

An empty `decision` with a `code` means `same`; with none, the record stays undecided. The layer `candidates` shows the
objects the record may be, with their codes, to be looked at and copied from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from cim.db.matching import Candidate, Undecided
from cim.errors import InvalidData
from ingest.formats import ReadOptions, format_of
from ingest.gdal import pyogrio
from ingest.matching import Said
from ingest.values import text_of

UNDECIDED_LAYER, CANDIDATES_LAYER = "undecided", "candidates"
_DECISIONS = ("same", "new", "leave out")
_CANDIDATES = pa.schema({name: pa.string() for name in ("code", "type", "name")})
_UNDECIDED = pa.schema(
    {name: pa.string() for name in ("file", "layer", "source_id", "type", "name", "candidates", "decision", "code")}
    | {"record": pa.int64(), "best": pa.float64()}
)


def write(path: Path, records: Sequence[tuple[str, Undecided]], candidates: Sequence[Candidate], srid: int) -> int:
    """Write the records of files, by the files' names, and the objects they may be; return how many records.

    Raises
    ------
    InvalidData : the path is no `.gpkg`, or cannot be written.
    """
    if path.suffix.lower() != ".gpkg":
        raise InvalidData(f"{path}: a review is a GeoPackage; give the file a name such as review.gpkg")
    rows: list[Mapping[str, object]] = [
        {
            "file": file,
            "layer": record.layer,
            "record": record.record,
            "source_id": record.source_id,
            "type": record.type,
            "name": record.name,
            "best": max(record.objects.values(), default=None),
            "candidates": ", ".join(f"{code} ({score:.2f})" for code, score in _ranked(record)),
            "decision": "",
            "code": "",
        }
        for file, record in records
    ]
    others: list[Mapping[str, object]] = [{"code": c.code, "type": c.type, "name": c.name} for c in candidates]
    path.unlink(missing_ok=True)
    _write(path, UNDECIDED_LAYER, _UNDECIDED, rows, [record.geom for _, record in records], srid)
    _write(path, CANDIDATES_LAYER, _CANDIDATES, others, [c.geom for c in candidates], srid)
    return len(rows)


def _ranked(record: Undecided) -> list[tuple[str, float]]:
    return sorted(record.objects.items(), key=lambda item: -item[1])


def _write(
    path: Path,
    layer: str,
    schema: pa.Schema,
    rows: Sequence[Mapping[str, object]],
    shapes: Sequence[bytes | None],
    srid: int,
) -> None:
    table = pa.Table.from_pylist(list(rows), schema).append_column("geom", pa.array(shapes, pa.binary()))
    try:
        pyogrio().write_arrow(
            table,
            path,
            layer=layer,
            driver="GPKG",
            geometry_name="geom",
            geometry_type="Unknown",
            crs=f"EPSG:{srid}",
            append=path.exists(),
            # The index's triggers ask for functions that only programs for maps have, so no other could write a word.
            layer_options={"SPATIAL_INDEX": "NO"},
        )
    except (OSError, RuntimeError) as error:
        raise InvalidData(f"{path}: cannot be written: {error}") from error


def read(path: Path) -> Said:
    """Return what a person decided, by the names of the records; a GeoPackage or any format with the same fields.

    Raises
    ------
    InvalidData : not readable, without the fields `name`, `decision`, `code`, a decision there is no word for, or
        `same` without a code.
    """
    for layer in format_of(path).read(path, ReadOptions()):
        if {"name", "decision", "code"} <= set(layer.schema.names):
            return _decisions(path, layer.table())
    raise InvalidData(f"{path}: has no layer with the fields name, decision and code; is it a review?")


def _decisions(path: Path, table: pa.Table) -> Said:
    names, words, codes = (text_of(table.column(field)).to_pylist() for field in ("name", "decision", "code"))
    found: dict[str, tuple[str, str | None]] = {}
    for name, word, code in zip(names, words, codes, strict=True):
        if name is None or (word is None and code is None):
            continue
        decision = "same" if word is None else word.casefold()
        if decision not in _DECISIONS:
            raise InvalidData(f"{path}: decision of {name}: expected {', '.join(_DECISIONS)}, got {word!r}")
        if decision == "same" and code is None:
            raise InvalidData(f"{path}: decision of {name}: 'same' needs the code of the object it is")
        if decision == "leave out":
            found[name] = ("left out", None)
        else:
            found[name] = ("person", code if decision == "same" else None)
    return found
