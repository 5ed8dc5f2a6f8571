"""CSV: a table as text, with geometry as WKT, as two columns of coordinates, or with none."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cim import crs
from cim.errors import InvalidData
from ingest.encoding import codec_of, detect
from ingest.formats._base import BATCH, GEOMETRY, Format, Layer, ReadOptions, check_only_layer, free_name, head
from ingest.formats._points import binary, pair_of, points
from ingest.formats._text import typed

# What columns of geometry are called, letter case aside.
_SHAPE = ("wkt", "geom", "geometry", "the_geom", "wkt_geom", "_wkt_geom", "shape")
_DELIMITERS = (",", ";", "\t", "|")
_SAMPLE = 1 << 20
# A record is read in one piece: larger ones than this are refused.
_BLOCK = 32 * 1024**2
_NUMBER = r"^\s*[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?\s*$"
_DECIMAL_COMMA = r"^\s*([-+]?[0-9]+),([0-9]+)\s*$"
_SRID = r"^\s*(?i:SRID)\s*=\s*(?P<srid>[0-9]{4,6})\s*;"
# The line before the first row by which Excel is told the delimiter.
_SEP = re.compile(r"sep=([,;\t|])\r?\n?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Table:
    """How the text is read: encoding, delimiter, the names in its first row, and lines before that."""

    path: Path
    encoding: str
    delimiter: str
    names: list[str]
    skipped: int

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows below the first as text, empty as missing, columns by their place.

        Raises
        ------
        InvalidData : a row of another length than the first, text in another encoding.
        """
        import pyarrow.csv

        places = [str(place) for place in range(len(self.names))]
        parsing = pyarrow.csv.ParseOptions(delimiter=self.delimiter, newlines_in_values=True)
        converting = pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(places, pa.string()),
            strings_can_be_null=True,
            null_values=[""],
        )
        try:
            reading = pyarrow.csv.ReadOptions(
                encoding=self.encoding,
                column_names=places,
                skip_rows=self.skipped,
                skip_rows_after_names=1,
                block_size=_BLOCK,
            )
            with self.path.open("rb") as file, pyarrow.csv.open_csv(file, reading, parsing, converting) as reader:
                for batch in reader:
                    yield from (batch.slice(start, BATCH) for start in range(0, batch.num_rows, BATCH))
        except UnicodeDecodeError as error:
            raise self._not_in_encoding(error) from error
        except pa.ArrowInvalid as error:
            if "UTF8" in str(error):
                raise self._not_in_encoding(error) from error
            raise InvalidData(f"{self.path}: is no sound CSV: {str(error)[:200]}") from error

    def _not_in_encoding(self, error: Exception) -> InvalidData:
        said = str(error)[:200]
        return InvalidData(
            f"{self.path}: is not in {self.encoding}: {said}; name the right encoding: --encoding GB18030"
        )


def read(path: Path, options: ReadOptions) -> Iterator[Layer]:
    """Yield the one layer of a CSV file, named like the file.

    Geometry is a column of WKT (called `wkt`, `geom`, `geometry`, …) or a pair of coordinates (`lon` and `lat`, `x` and
    `y`, 经度 and 纬度, …); without either the layer has none, and its records go by their code. The CRS is that of
    the SRID before the first WKT, else unknown. Empty is missing. Text whose every value is a number as one would
    write it is a number.

    Raises
    ------
    InvalidData : not text, an encoding nobody knows, a quotation without end, rows of different lengths.
    """
    check_only_layer(path, options)
    table, remarks = _opened(path, options.encoding)
    lower = [name.lower() for name in table.names]
    shape = next((lower.index(name) for name in _SHAPE if name in lower), None)
    pair = pair_of(table.names) if shape is None else None
    names: dict[str, int] = {}
    for place, name in enumerate(table.names):
        if place not in (shape, *(pair or ())):
            names[free_name(name or f"column_{place + 1}", names)] = place
    fields = [pa.field(name, pa.string()) for name in names]
    schema = pa.schema([*fields, pa.field(GEOMETRY, pa.binary())])

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in table.batches():
            arrays = [batch.column(place) for place in names.values()]
            if shape is not None:
                _check_srid(path, batch.column(shape), srid)
                arrays.append(_from_wkt(batch.column(shape)))
            elif pair is not None:
                arrays.append(_from_pair(batch.column(pair[0]), batch.column(pair[1]), table.delimiter))
            else:
                arrays.append(pa.nulls(batch.num_rows, pa.binary()))
            yield pa.RecordBatch.from_arrays(arrays, schema=schema)

    srid = None if shape is None else _first_srid(table, shape)
    system = None if srid is None else crs.parse(srid)
    yield typed(Layer(path.stem, None, schema, batches, system, remarks))


def _opened(path: Path, encoding: str | None) -> tuple[_Table, list[str]]:
    """Find out encoding, delimiter and names; return how the table is read and what is to be said about it."""
    start = head(path, _SAMPLE)
    if start.startswith(b"version https://git-lfs"):
        raise InvalidData(f"{path}: is a Git LFS pointer, not the file itself; fetch it with `git lfs pull`")
    found, remarks = _encoding_of(path, start, encoding)
    text = codecs.getincrementaldecoder(found)("ignore").decode(start)
    if not text.strip() or "\0" in text:
        raise InvalidData(f"{path}: is not CSV: it begins with {start[:24] or 'nothing'!r}")
    _check_quotations(path)
    told = _SEP.match(text)
    names, delimiter = max(
        ((_names(text[told.end() if told else 0 :], d), d) for d in (told[1] if told else _DELIMITERS)),
        key=lambda found: len(found[0]),
    )
    if len(names) < 2:
        raise InvalidData(f"{path}: is not CSV: its first row has no comma, semicolon, tab or bar: {text[:60]!r}")
    return _Table(path, found, delimiter, names, int(told is not None)), remarks


def _encoding_of(path: Path, start: bytes, encoding: str | None) -> tuple[str, list[str]]:
    if encoding is not None:
        return codec_of(encoding), []
    if start.startswith(codecs.BOM_UTF8):
        return "utf-8-sig", []
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16", []
    # A sample may end inside a character.
    found = detect(start if len(start) < _SAMPLE else start[: start.rfind(b"\n") + 1])
    if found is None:
        raise InvalidData(
            f"{path}: its text is neither UTF-8 nor GB18030, Big5 or Shift_JIS; name its encoding, as"
            " --encoding ISO-8859-1"
        )
    plain = found in ("ASCII", "UTF-8")
    return codec_of("UTF-8" if plain else found), [] if plain else [f"the text reads as {found}: say --encoding if not"]


def _check_quotations(path: Path) -> None:
    """Refuse a file with a quotation mark without its pair: all after it would be one value."""
    marks = 0
    with path.open("rb") as file:
        while chunk := file.read(_SAMPLE):
            marks += chunk.count(b'"')
    if marks % 2:
        raise InvalidData(f"{path}: is no sound CSV: one of its {marks} quotation marks has no pair; is it cut off?")


def _names(text: str, delimiter: str) -> list[str]:
    try:
        return [name.strip() for name in next(csv.reader(io.StringIO(text, newline=None), delimiter=delimiter))]
    except (csv.Error, StopIteration):
        return []


def _from_wkt(texts: pa.Array) -> pa.Array:
    """Return ISO WKB of WKT, with or without SRID; what is none comes as its own bytes: a fault of its record."""
    import shapely

    values = np.array([text and re.sub(_SRID, "", text) for text in texts.to_pylist()], dtype=object)
    try:
        with np.errstate(invalid="ignore"):  # numpy warns of NaN among coordinates; they are looked for later
            shapes = shapely.from_wkt(values, on_invalid="ignore")
    except NotImplementedError:  # a curve somewhere
        shapes = np.array([_one_shape(value) for value in values], dtype=object)
    return binary(shapes, values)


def _one_shape(text: str | None) -> object:
    import shapely

    try:
        return shapely.from_wkt(text, on_invalid="ignore")
    except NotImplementedError:
        return None


def _from_pair(x: pa.Array, y: pa.Array, delimiter: str) -> pa.Array:
    """Return points; a comma before the decimals is one where commas do not part the columns."""
    return points((_numbers(x, delimiter), _numbers(y, delimiter)), (x, y))


def _numbers(column: pa.Array, delimiter: str) -> pa.Array:
    pointed = column if delimiter == "," else pc.replace_substring_regex(column, _DECIMAL_COMMA, r"\1.\2")
    plain = pc.if_else(pc.match_substring_regex(pointed, _NUMBER), pointed, None)
    return pc.utf8_trim_whitespace(plain).cast(pa.float64())


def _first_srid(table: _Table, shape: int) -> int | None:
    """Return the SRID before the first WKT, None where there is none."""
    for batch in table.batches():
        first = pc.drop_null(batch.column(shape))
        if len(first):
            found = re.match(_SRID, first[0].as_py())
            return int(found[1]) if found else None
    return None


def _check_srid(path: Path, texts: pa.Array, expected: int | None) -> None:
    """Refuse a column whose shapes are of several systems: a layer has one."""
    found = pc.struct_field(pc.extract_regex(texts, _SRID), "srid")
    others = pc.drop_null(pc.unique(found)).to_pylist()
    wrong = [srid for srid in others if int(srid) != expected]
    if wrong:
        first = "none" if expected is None else str(expected)
        raise InvalidData(
            f"{path}: its first shape states SRID {first} and another {wrong[0]}: a layer has one CRS; divide it"
        )


FORMAT = Format(
    name="csv",
    title="Comma-separated values, with WKT or coordinates",
    suffixes=(".csv", ".tsv"),
    spec="RFC 4180, Common Format for CSV Files. https://www.rfc-editor.org/rfc/rfc4180",
    read=read,
)
