"""From a layer as read to rows ready for the database, and to the records that cannot be taken, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyproj
import shapely

from cim import codes, crs
from cim.codes import provisional
from cim.db.familiar import Familiar
from cim.db.load import IDENTIFIERS
from cim.db.merge import AttributeField, Carried
from cim.dictionary import GeometryKind
from cim.errors import CrsError
from cim.geometry import Geometries, to_wkb
from cim.log.entry import MAX_ENTRY
from ingest import heights, identify, rejects
from ingest.clean import Cleaned, Placed, clean, remarks_of
from ingest.context import Context, lineage_of
from ingest.familiar import Met, digests, fields_of, shaped, traits_of
from ingest.faults import Faults, Mask
from ingest.formats import Layer
from ingest.formats._base import BATCH, FEATURE_ID, GEOMETRY, PARENT_SOURCE_ID, RESERVED
from ingest.identify import Codes
from ingest.mapping import LayerMapping, Value
from ingest.misplaced import looks
from ingest.prepared import Prepared, Records, Repeated
from ingest.rejected import Rejected, as_feature, crs_text
from ingest.seen import Seen
from ingest.values import attribute_of, convert, is_json, repeat, text_of

# What an entry of the log holds besides the columns, at most, and how much JSON may swell a text.
_ENTRY_FRAME = 4096
_PER_COLUMN = 64
# Smaller batches are joined till there are so many records, for whole columns to pay, or so much in them: memory holds
# what is made of a batch several times over.
_ENOUGH = BATCH // 2
_ENOUGH_BYTES = 4 * 1024**2
# So many remarks on a layer's records are made.
_MOST_SAID = 20


class NotAnIdentifierError(Exception):
    """The field taken to name the records does not: it is empty somewhere, or holds a value twice."""


class Preparation:
    """Map, convert, clean and identify the records of one layer, a batch after the other.

    Parameters
    ----------
    identifier : field that names the records, None where nothing does; proved : no need to test that it is filled
        and unique.
    familiar : those known to change nothing, which are but counted; None where there are no such records.

    Raises
    ------
    InvalidData : the mapping names a field the layer does not have.
    CrsError : the layer's CRS is missing, wrong, or not reachable without guessing.
    NotAnIdentifierError : the field is no identifier; nothing of what was prepared holds.
    UnlikeError : see `Familiar`; nothing of what was prepared holds.
    """

    def __init__(
        self,
        layer: Layer,
        mapping: LayerMapping,
        context: Context,
        identifier: Value | None,
        *,
        proved: bool,
        familiar: Familiar | None = None,
    ) -> None:
        self.layer = layer
        self.mapping = mapping
        self.context = context
        self.feature_type = context.dictionary.type(mapping.type)
        self.identifier = identifier
        self.fields = self._attribute_fields()
        columns = [p.name for p in self.feature_type.properties if p.name in mapping.columns]
        shaped, named_so = self._has_geometry(), [f for f in self.fields if f.key == heights.FIELD.key]
        told = [heights.FIELD] if shaped and not named_so else []
        self.carried = Carried(columns, self._told(columns), [*self.fields, *told], shaped)
        self.has_shapes = False
        self.said: list[str] = []
        self._familiar = familiar
        self._fields = None if familiar is None else fields_of(layer, mapping)
        self._seen = Seen()
        self._identifiers = None if proved else Seen()
        self._placed = Placed()
        self._read = 0
        self._nameless = 0
        self._lacking = 0
        self._parentless = 0
        self._shapeless = 0

    def batches(self) -> Iterator[Prepared]:
        """Read the layer and yield it prepared."""
        waiting: list[pa.RecordBatch] = []
        for batch in self.layer.batches():
            waiting.append(batch)
            if sum(b.num_rows for b in waiting) >= _ENOUGH or sum(b.nbytes for b in waiting) >= _ENOUGH_BYTES:
                yield self._prepare(pa.Table.from_batches(waiting))
                waiting = []
        if any(batch.num_rows for batch in waiting):
            yield self._prepare(pa.Table.from_batches(waiting))

    @property
    def system_name(self) -> str | None:
        """The CRS the coordinates were taken for, None where there were none."""
        if not self.carried.geometry or not self.has_shapes:
            return None
        return crs.name(self._system)

    @property
    def lineage(self) -> str:
        """Return the name of the data set across deliveries."""
        return lineage_of(self.layer, self.mapping)

    @property
    def warnings(self) -> list[str]:
        """Return the sentences for the report, when all batches are done."""
        said = [*self.layer.warnings, *self.said]
        if self._shapeless and self.layer.crs is not None and not self.feature_type.geometry_required:
            said.append(f"without geometry: {self._shapeless:,}")
        if self._nameless:
            said.append(
                f"without code and identifier: {self._nameless:,}; their provisional codes come from geometry or"
                " content: name a source_id in a mapping"
            )
        elif self._identifiers is not None and self._lacking:
            said.append(f"field {self.identifier!r} names the records; say otherwise with source_id in a mapping")
        if self._parentless:
            said.append(f"what holds them in the file is not taken, so they belong to nothing: {self._parentless:,}")
        return said

    def _prepare(self, table: pa.Table) -> Prepared:
        numbers = np.arange(self._read, self._read + table.num_rows)
        self._read += table.num_rows
        if self.carried.geometry:
            self._shapeless += table.column(GEOMETRY).null_count
        self._prove(table, numbers)
        records = self._unfamiliar(table, numbers)
        met = records.met
        self._placed.total += met.shaped
        self._lacking += met.minted
        self._nameless += met.nameless
        if records.table.num_rows == 0 < met.count:
            if self.carried.geometry:
                self._tell(Cleaned.nothing(0), records)
            rows = pa.table({"code": pa.array([], pa.string())})
            none = np.zeros(0, bool)
            return Prepared(met.count, rows, numbers[:0], none, none, None, [], 0, 0, 0, met)
        return self._prepare_all(records)

    def _unfamiliar(self, table: pa.Table, numbers: npt.NDArray[np.int64]) -> Records:
        """Return the records that have to be prepared."""
        if self._familiar is None or self._fields is None:
            return Records(table, numbers, None)
        found = digests(table, self._fields)
        known, traits = self._familiar.meet(found)
        if not known.any():
            return Records(table, numbers, found)
        rest = pa.array(~known)
        shapes = table.column(GEOMETRY).filter(pa.array(known)) if GEOMETRY in table.column_names else None
        return Records(table.filter(rest), numbers[~known], found[~known], Met.of(traits), shapes)

    def _prepare_all(self, records: Records) -> Prepared:
        table = records.table
        faults = Faults(table.num_rows)
        faults.add(_empty(table), "holds nothing: no field has a value, and there is no geometry")
        ids = identify.source_ids(table, self.identifier, self.layer, self.context.path, faults)
        columns = self._columns(table, faults)
        attributes = {f.column: attribute_of(table.column(f.key), f.key, faults) for f in self.fields}
        geometry, cleaned = self._geometry(records, faults)
        if heights.FIELD in self.carried.attributes:
            attributes[heights.FIELD.column] = cleaned.heights
        found: Codes = [None] * faults.count
        if self.mapping.code is not None:
            values = self._value(table, self.mapping.code, "code", faults)
            found = identify.given_codes(values, self.feature_type, faults)
        own = sum(code is not None for code in found)
        others = self._identifier_values(table, faults)
        identify.by_identifiers(found, others, self.feature_type, self.context.current)
        minted = np.array([code is None for code in found], dtype=bool)
        self._lacking += int(minted.sum())
        named = columns | {f.key: attributes[f.column] for f in self.fields}
        content = pa.table(named | geometry)
        nameless = identify.mint_missing(found, ids, content, self.lineage, self.feature_type, faults)
        self._nameless += int(nameless.sum())
        columns |= self._references(table, columns, found, faults)
        self._parentless += identify.count_parentless(table, self.context.known)
        rows = pa.table({"code": pa.array(found, pa.string())} | columns | attributes | geometry)
        if others:
            rows = rows.append_column(IDENTIFIERS, pa.array(identify.as_json(others), pa.string()))
        _check_size(rows, faults)
        if self.layer.feature_type is not None:  # only such formats name parents
            named_here = [p.name for p in self.feature_type.properties if p.references and p.name in columns]
            refs = {name: columns[name].to_pylist() for name in named_here}
            identify.remember(self.context.known, ids, found, self.feature_type, refs)
        identified = faults.count - own - int(minted.sum())
        return self._sort(records, rows, ids, nameless, minted, cleaned, identified, faults)

    def rejected_again(self, reasons: Mapping[int, str]) -> Iterator[Rejected]:
        """Read the layer once more and yield the records that turned out not to be taken, by their numbers."""
        start = 0
        left = sorted(reasons)
        for batch in self.layer.batches():
            here = [n - start for n in left if n < start + batch.num_rows]
            left = left[len(here) :]
            if here:
                table = pa.Table.from_batches([batch])
                ids = identify.source_ids(table, self.identifier, self.layer, self.context.path, Faults(table.num_rows))
                why = [(row, reasons[start + row]) for row in here]
                records = Records(table, np.arange(start, start + table.num_rows), None)
                yield from self._rejected(records, ids, [None] * table.num_rows, why)
            start += batch.num_rows
            if not left:
                return

    def _identifier_values(self, table: pa.Table, faults: Faults) -> dict[str, Sequence[str | None]]:
        """Return, by scheme, the other identifiers of the records, canonical; what a scheme refuses names nothing."""
        found: dict[str, Sequence[str | None]] = {}
        lists = self.context.dictionary.codelists
        for scheme, value in self.mapping.identifiers.items():
            texts = text_of(self._value(table, value, scheme, faults)).to_pylist()
            found[scheme], problems = codes.check_many(scheme, texts, codelists=lists)
            if problems and len(self.said) < _MOST_SAID:
                first = next(iter(problems.values()))
                self.said.append(f"identifiers that name nothing: {len(problems):,} of {scheme}, such as: {first}")
        return found

    def _about(self, found: Codes, ids: Codes, faults: Faults) -> Codes:
        """Return the codes of the objects that records at fault are about, as far as they tell."""
        about: Codes = [None] * faults.count if self.mapping.code is None else found
        if self.mapping.code is None:
            named = [row for row, _ in faults if ids[row] is not None]
            names = [ids[row] or "" for row in named]
            for row, code in zip(
                named, provisional.mint_many(self.feature_type.name, self.lineage, names), strict=True
            ):
                about[row] = code
        return about

    def _sort(
        self,
        records: Records,
        rows: pa.Table,
        ids: Codes,
        nameless: Mask,
        minted: Mask,
        cleaned: Cleaned,
        identified: int,
        faults: Faults,
    ) -> Prepared:
        """Part the records into those to take, those whose code came before, and those at fault."""
        good = faults.good()
        about = self._about(rows.column("code").to_pylist(), ids, faults)
        kept = rows if good.all() else rows.filter(pa.array(good))
        places = np.flatnonzero(good)
        numbers = records.numbers[places]
        first = self._seen.first(kept.column("code").to_pylist(), numbers)
        again = first != numbers
        repeated = None
        if again.any():
            aside = places[again]
            repeated = Repeated(
                kept.filter(pa.array(again)),
                numbers[again],
                first[again],
                nameless[aside],
                minted[aside],
                self._rejected(records, ids, about, [(int(row), "") for row in aside]),
            )
            kept, places = kept.filter(pa.array(~again)), places[~again]
        digests_kept, traits = None, None
        came, stored = shaped(records.table)[places], shaped(kept)
        # A shape of nothing is stored as none, yet counts as one where records are told apart from mere attributes.
        if records.digests is not None and (not self.carried.geometry or (came == stored).all()):
            digests_kept = records.digests[places]
            traits = traits_of(kept.column("code"), stored, minted[places], nameless[places], cleaned, places)
        return Prepared(
            read=records.table.num_rows + records.met.count,
            rows=kept,
            numbers=records.numbers[places],
            nameless=nameless[places],
            minted=minted[places],
            repeated=repeated,
            rejected=self._rejected(records, ids, about, list(faults)),
            repaired=int((cleaned.repaired & good).sum()),
            provisional=int(pc.sum(pc.starts_with(kept["code"], provisional.PREFIX)).as_py() or 0),
            identified=identified,
            met=records.met,
            digests=digests_kept,
            traits=traits,
        )

    def _prove(self, table: pa.Table, numbers: npt.NDArray[np.int64]) -> None:
        """Raise unless what names the records is filled and unique so far, where that is to be seen."""
        if self._identifiers is not None:
            ids = identify.source_ids(table, self.identifier, self.layer, self.context.path, Faults(table.num_rows))
            filled = [i for i in ids if i is not None]
            if len(filled) < len(ids) or (self._identifiers.first(filled, numbers) != numbers).any():
                raise NotAnIdentifierError

    def _columns(self, table: pa.Table, faults: Faults) -> dict[str, pa.Array]:
        columns: dict[str, pa.Array] = {}
        for prop in self.feature_type.properties:
            column = self.mapping.columns.get(prop.name)
            if column is None:
                if prop.required and not self._joined(table):
                    reason = f"{prop.name}: is missing, and the layer has no field for it"
                    faults.add(np.ones(faults.count, bool), reason)
                continue
            value = column.field or column.expression
            if value is None:
                constant = column.constant if column.constant is not None else ""
                columns[prop.name] = repeat(constant, prop, self.context.dictionary, faults)
                continue
            source = self._value(table, value, prop.name, faults)
            columns[prop.name] = convert(source, prop, column, self.context.dictionary, faults)
        return columns

    def _value(self, table: pa.Table, value: Value, name: str, faults: Faults) -> pa.ChunkedArray:
        return identify.value_of(table, value, self.layer, self.context.path, name, faults)

    def _attribute_fields(self) -> list[AttributeField]:
        # What an expression reads stays: it may take only a part. So do words that may all become the same one.
        used = {c.field for c in self.mapping.columns.values() if c.otherwise is None} | {self.mapping.code}
        used |= RESERVED.union(rejects.FIELDS)
        fields = [field for field in self.layer.schema if field.name not in used]
        return [AttributeField(f"attribute_{n}", f.name, is_json(f.type)) for n, f in enumerate(fields)]

    @cached_property
    def joins(self) -> bool:
        """Whether the type needs geometry and no record has any: they are attributes of objects that are there."""
        if not self.feature_type.geometry_required or self.has_shapes:
            return False
        if GEOMETRY not in self.layer.schema.names:
            return True
        return all(batch.column(GEOMETRY).null_count == batch.num_rows for batch in self.layer.batches())

    def _joined(self, table: pa.Table) -> bool:
        """Tell whether the layer `joins`, which is looked up only where these records have no geometry."""
        column = table.column(GEOMETRY) if GEOMETRY in table.column_names else None
        return (column is None or column.null_count == len(column)) and self.joins

    def _has_geometry(self) -> bool:
        return self.feature_type.geometry is not None and GEOMETRY in self.layer.schema.names

    def _geometry(self, records: Records, faults: Faults) -> tuple[dict[str, pa.Array], Cleaned]:
        """Return the cleaned geometry column, none where the type has no geometry, and what was done to it."""
        cleaned = Cleaned.nothing(faults.count)
        if not self.carried.geometry:
            return {}, cleaned
        kind, required = self.feature_type.geometry, self.feature_type.geometry_required
        assert kind is not None
        column = records.table.column(GEOMETRY)
        if column.null_count == len(column):
            if required and not self.joins:
                faults.add(np.ones(faults.count, bool), f"geom: has no geometry, expected {kind}")
            self._tell(cleaned, records)
            return {GEOMETRY: pa.nulls(len(column), pa.binary())}, cleaned
        cleaned = self._cleaned(column, kind, faults, self._placed)
        self._tell(cleaned, records)
        return {GEOMETRY: pa.array(to_wkb(cleaned.geometries), pa.binary())}, cleaned

    def _tell(self, cleaned: Cleaned, records: Records) -> None:
        """Say what is to be said of the geometry of a batch, familiar or not."""
        met = records.met
        column = records.table.column(GEOMETRY)
        if not met.shaped and column.null_count == len(column):
            return
        zones = {*cleaned.zones.tolist(), *met.zones}
        high = bool(met.high or cleaned.high.any())
        measured = bool(met.measured or cleaned.measured.any())
        curved = bool(met.curved or cleaned.curved.any())
        remarks = remarks_of(high, measured, curved, zones, self._system)
        if high and heights.FIELD not in self.carried.attributes:
            remarks[0] = f"heights of corners are not stored: the layer has a field {heights.FIELD.key} of its own"
        self.said += [remark for remark in remarks if remark not in self.said]
        self._tell_move(cleaned.geometries, records)

    def _cleaned(self, column: pa.ChunkedArray, kind: GeometryKind, faults: Faults, placed: Placed) -> Cleaned:
        return clean(
            column,
            kind,
            self.feature_type.geometry_required,
            self._system,
            self.context.storage,
            self.context.linearise,
            faults,
            vouched=self._vouched,
            repair=self.context.repair,
            placed=placed,
        )

    def _tell_move(self, geometries: Geometries, records: Records) -> None:
        """Say, where the first geometries lie, how well the way to the storage CRS is known, if the datum changes."""
        storage, system = self.context.storage, self._system
        if self.has_shapes or crs.same_datum(system, storage):
            self.has_shapes = True
            return
        if records.familiar is not None and self.feature_type.geometry is not None:
            column = records.familiar
            others = self._cleaned(column, self.feature_type.geometry, Faults(len(column)), Placed())
            geometries = np.concatenate([geometries, others.geometries])
        coordinates = shapely.get_coordinates(geometries)
        if len(coordinates):
            self.has_shapes = True
            metres = crs.accuracy(system, storage, crs.geographic_bounds(crs.extent(coordinates), storage))
            way = f"moved from {crs.name(system)} to {crs.name(storage)}"
            stated = "not stated" if metres is None else f"{metres:g} m"
            self.said.append(f"{way}; accuracy of the datum change: {stated}")

    @cached_property
    def _system(self) -> pyproj.CRS:
        """The CRS of the layer's coordinates: what is assumed, else what the file states, else the option."""
        layer, context = self.layer, self.context
        told = self.mapping.assume_crs
        system = context.assumed or (None if told is None else crs.parse(told))
        if system is None:
            system = layer.crs or context.stated
        elif layer.crs is not None and not crs.same(layer.crs, system):
            stated = crs.name(layer.crs)
            self.said.append(f"coordinates are assumed to be {crs.name(system)}, though the source states {stated}")
        if system is None:
            raise CrsError(
                f"{context.path}: layer {layer.name!r} states no CRS; say which with --crs, or in its mapping"
                f"{looks(layer, context.storage)}"
            )
        if context.parameters is not None:
            system = crs.with_parameters(system, context.parameters, context.storage)
        return system

    @property
    def _vouched(self) -> bool:
        """Whether the system is the operator's word and not the layer's."""
        told = self.context.assumed is not None or self.mapping.assume_crs is not None
        return told or self.layer.crs is None

    def _told(self, columns: Sequence[str]) -> list[str]:
        """Return the reference columns that no field fills, but codes or the file itself may tell."""
        scheme = self.feature_type.code_scheme
        by_file = PARENT_SOURCE_ID in self.layer.schema.names
        dictionary = self.context.dictionary
        return [
            p.name
            for p in self.feature_type.properties
            if p.references is not None
            and p.name not in columns
            and (by_file or (self.mapping.code and dictionary.type(p.references).code_scheme == scheme))
        ]

    def _references(
        self, table: pa.Table, columns: dict[str, pa.Array], found: Codes, faults: Faults
    ) -> dict[str, pa.Array]:
        """Return the reference columns, checked, and their gaps filled from what the file and codes tell."""
        by_code = {}
        if self.mapping.code is not None:
            by_code = identify.parents_by_code(found, self.feature_type, self.context.dictionary)
        by_file = identify.parents_by_file(table, self.feature_type, self.context.known)
        completed: dict[str, pa.Array] = {}
        for prop in self.feature_type.properties:
            if prop.references is None or prop.name not in (*columns, *self.carried.filled):
                continue
            # What the file holds together goes before what a code meant on the day of its issue.
            told: list[Sequence[str | None]] = [by[prop.name] for by in (by_file, by_code) if prop.name in by]
            if prop.name in columns:
                referred = self.context.dictionary.type(prop.references)
                told.insert(0, identify.references(columns[prop.name].to_pylist(), prop.name, referred, faults))
            arrays = [pa.array(values, pa.string()) for values in told] or [pa.nulls(faults.count, pa.string())]
            completed[prop.name] = pc.coalesce(*arrays)
        return completed

    def _rejected(self, records: Records, ids: Codes, about: Codes, reasons: list[tuple[int, str]]) -> list[Rejected]:
        if not reasons:
            return []
        plain = records.table.take(pa.array([row for row, _ in reasons], pa.int64())).to_pylist()
        system = None if self.layer.crs is None else crs_text(self.layer.crs)
        return [
            Rejected(ids[row] or str(records.numbers[row] + 1), reason, as_feature(record, system), about[row])
            for (row, reason), record in zip(reasons, plain, strict=True)
        ]


def _empty(table: pa.Table) -> Mask:
    """Tell which records hold nothing but their number, as lines of commas and cells that were cleared."""
    empty = np.ones(table.num_rows, bool)
    for name in table.column_names:
        if name != FEATURE_ID:
            empty &= table.column(name).is_null().to_numpy()
    return empty


def _check_size(rows: pa.Table, faults: Faults) -> None:
    """Fault records whose entry in the log might exceed what an entry may hold."""
    size = np.full(faults.count, _ENTRY_FRAME + _PER_COLUMN * rows.num_columns, dtype=np.int64)
    for name in rows.column_names:
        column = rows.column(name)
        if name != GEOMETRY and pa.types.is_string(column.type):
            # Two bytes per character of JSON at most, control characters aside, which have six.
            size += 2 * pc.fill_null(pc.binary_length(column), 0).to_numpy().astype(np.int64)
    faults.add(
        size > MAX_ENTRY,
        lambda row: f"holds about {size[row]} bytes, and the log takes at most {MAX_ENTRY} a record",
    )
