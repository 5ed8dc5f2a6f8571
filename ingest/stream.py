"""One layer on its way into the database: a batch is prepared while the server takes the one before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from types import MappingProxyType

import numpy as np
import orjson
import psycopg
import pyarrow as pa
import sqlalchemy as sa

from cim.codes import provisional as provisional_code
from cim.db.ending import Delivered
from cim.db.familiar import Familiar, UnlikeError, as_binary
from cim.db.load import (
    DIGEST,
    FIRST,
    IDENTIFIERS,
    MINTED,
    NAMELESS,
    RECORD,
    SOURCE,
    SOURCE_ID,
    TRAITS,
    Load,
    Payload,
    is_new,
)
from cim.db.matching import name_sources
from cim.db.script import query
from cim.errors import CimError
from ingest.ahead import ahead
from ingest.context import Context, basis_of, lineage_of
from ingest.faults import Mask
from ingest.formats import Layer
from ingest.identify import identifiers, mint_apart
from ingest.mapping import LayerMapping, Value
from ingest.match import thresholds
from ingest.matching import Matched, Said, match
from ingest.prepared import Prepared
from ingest.records import NotAnIdentifierError, Preparation
from ingest.rejected import Rejected
from ingest.report import LayerReport, reason_of

# So many different reasons are counted by their own; the database keeps the reason of every record.
_REASONS = 1000


@dataclass(frozen=True, slots=True)
class _Batch:
    prepared: Prepared
    rows: list[Payload]
    repeated: Payload | None
    familiar: list[Payload]


def take(
    connection: sa.Connection,
    target: sa.Table,
    layer: Layer,
    mapping: LayerMapping,
    context: Context,
    dataset: str,
    said: Said = MappingProxyType({}),
) -> LayerReport:
    """Bring a layer into the table of its type, in the transaction of the connection, and report.

    `said` is what a person decided about records, by their names.

    Raises
    ------
    InvalidData, CrsError : see `Preparation`; nothing of the transaction may be kept.
    """
    # A first load goes straight into the table: it compares nothing, so who comes first must be done before it begins.
    # Not after a savepoint, whose end may give up locks.
    if is_new(connection, target):
        context.enter()
    replacement = context.replacement
    delivered = None if replacement is None else replacement.of(target.name)
    fields = identifiers(layer, mapping)
    for identifier in fields:
        last = identifier is fields[-1]
        basis = _basis(layer, mapping, context, identifier)

        def run(
            identifier: Value | None = identifier, last: bool = last, basis: str | None = basis, *, recall: bool = False
        ) -> LayerReport:
            familiar = None if basis is None else Familiar(connection, target, lineage_of(layer, mapping), basis)
            if recall and familiar is not None:
                familiar.recall()
            return _Taking(
                connection, target, layer, mapping, context, identifier, dataset, said, delivered, familiar, proved=last
            ).run()

        if basis is not None and Familiar(connection, target, lineage_of(layer, mapping), basis).remembers:
            context.enter()
            # Where that is not the whole answer, what is wrong is to be told as if nothing were familiar.
            report = _attempt(connection, partial(run, recall=True), UnlikeError, NotAnIdentifierError, CimError)
            if report is not None:
                return report
        if not last:
            report = _attempt(connection, run, NotAnIdentifierError)
            if report is not None:
                return report
    return run()


def _attempt(connection: sa.Connection, run: Callable[[], LayerReport], *ends: type[Exception]) -> LayerReport | None:
    """Return what an attempt to take a layer gives; None where it ends otherwise, and leaves nothing."""
    attempt = connection.begin_nested()
    try:
        report = run()
    except ends:
        attempt.rollback()
        return None
    attempt.commit()
    return report


def _basis(layer: Layer, mapping: LayerMapping, context: Context, identifier: Value | None) -> str | None:
    """Return the basis on which records are familiar, None where what becomes of one depends on more than it says.

    So it does where objects name each other, as in models, or go by other identifiers, which others may note meanwhile.
    """
    if layer.feature_type is not None or layer.model or mapping.identifiers or context.insert_only:
        return None
    return basis_of(layer, mapping, identifier, context)


class _Taking:
    """One attempt to take a layer, with one field as the name of its records."""

    def __init__(
        self,
        connection: sa.Connection,
        target: sa.Table,
        layer: Layer,
        mapping: LayerMapping,
        context: Context,
        identifier: Value | None,
        dataset: str,
        said: Said,
        delivered: Delivered | None,
        familiar: Familiar | None,
        *,
        proved: bool,
    ) -> None:
        self.connection = connection
        self.mapping = mapping
        self.said = said
        self.layer = layer
        self.dataset = dataset
        self.delivered = delivered
        self.familiar = familiar
        self.preparation = Preparation(layer, mapping, context, identifier, proved=proved, familiar=familiar)
        self.load = Load(
            connection,
            target,
            self.preparation.carried,
            insert_only=context.insert_only,
            delivered=self.delivered,
            alone=context.alone,
        )
        self.reasons: Counter[str] = Counter()
        self.unknown = 0
        if familiar is not None and not self.load.had_objects:
            familiar.begin()

    def run(self) -> LayerReport:
        read = taken = rejected = repaired = provisional = minted = identified = 0
        with closing(ahead(self._batches())) as batches:
            for batch in batches:
                done, met = batch.prepared, batch.prepared.met
                read += done.read
                taken += done.rows.num_rows + met.count
                rejected += len(done.rejected)
                repaired += done.repaired + met.repaired
                provisional += done.provisional + met.provisional
                minted += int(done.minted.sum()) + met.minted
                identified += done.identified
                self._copy(batch)
                self._reject(done.rejected)
        self.preparation.context.enter()
        self._tell_from_familiar()
        settled = self._tell_apart()
        matched = self._match()
        if self.mapping.identifiers:
            self.load.note_identifiers()
        counts = self.load.finish(geometry=self.preparation.has_shapes)
        repeated = self.load.reject_repeated(self.dataset, self.layer.name)
        self._settle(read)
        taken += settled - len(matched.reasons)
        gone = sum(code is None or not code.startswith(provisional_code.PREFIX) for code in matched.renamed.values())
        self.load.close()
        model = self.layer.model
        return LayerReport(
            name=self.layer.name,
            type=self.preparation.feature_type.name,
            read=read,
            inserted=counts.inserted,
            updated=counts.updated,
            unchanged=taken - counts.inserted - counts.updated,
            rejected=rejected + sum(repeated.values()) + len(matched.reasons),
            repaired=repaired,
            provisional=provisional + settled - gone,
            warnings=self._warnings(taken - counts.inserted, matched),
            reasons=dict(self.reasons) | repeated,
            understood=[asdict(node) for node in self.layer.understood],
            identity=self._identity(taken + len(matched.reasons), minted + settled, identified, matched),
            crs=self.preparation.system_name,
            encoding=self.layer.encoding,
            lineage=self.preparation.lineage,
            model=None if model is None else model.name,
            content=None if model is None else model.content,
        )

    def _copy(self, batch: _Batch) -> None:
        for payload in batch.rows:
            self.load.copy(payload)
        if batch.repeated is not None:
            self.load.repeat(batch.repeated)
        if self.familiar is not None:
            for payload in batch.familiar:
                self.familiar.copy(payload)

    def _tell_from_familiar(self) -> None:
        """Make sure that no row that waits is of an object that a record has which is but counted."""
        if self.familiar is None:
            return
        waiting = [table for table in (self.load.waiting(everything=True), self.load.repeated) if table is not None]
        self.familiar.tell_apart(waiting)
        if self.delivered is not None:
            self.familiar.claim()

    def _settle(self, read: int) -> None:
        """Note, once all is merged, what was delivered, and what is familiar from now on."""
        if self.delivered is not None:
            self.delivered.read += read
            self.delivered.unknown += self.unknown
        if self.familiar is not None:
            if self.delivered is not None and self.familiar.claimed is not None:
                self.delivered.add_from(self.familiar.claimed)
            self.familiar.settle(self.load)

    def _match(self) -> Matched:
        """Find out which objects the records are that came without a code the city knows."""
        joins = self.preparation.joins
        waiting = self.load.waiting(everything=joins)
        feature_type = self.preparation.feature_type
        if waiting is None:
            return Matched()
        limits = thresholds(feature_type.name, self.mapping.match)
        matched = match(
            self.connection,
            waiting,
            self.load.target,
            feature_type,
            limits,
            self.said,
            self.dataset,
            self.layer.name,
            joins=joins,
            claim=None if self.familiar is None else self.familiar.claim,
        )
        self.preparation.context.known.rename(matched.renamed)
        if matched.reasons:
            rejected = list(self.preparation.rejected_again(matched.reasons))
            self._reject(rejected)
            names = {n + 1: r.source_id for n, r in zip(sorted(matched.reasons), rejected, strict=True)}
            name_sources(self.connection, self.dataset, self.layer.name, names)
        return matched

    def _identity(self, taken: int, minted: int, identified: int, matched: Matched) -> dict[str, int]:
        """Return how the objects of the records were found, in the words of `report.HOW`."""
        taken -= len(matched.strangers)
        minted -= sum(matched.strangers.values())
        decided = sum(matched.counts.values())
        if self.load.had_objects:
            named, new = minted - decided, matched.counts.get("new", 0)
        else:
            named, new = 0, minted
        found = {"code": taken - minted - identified, "identifier": identified, "name": named, "new": new}
        found |= {how: number for how, number in matched.counts.items() if how != "new"}
        # A code that stands for another object today may have been the record's own.
        if named < 0:
            found |= {"name": 0, "code": found["code"] + named}
        return {how: number for how, number in found.items() if number > 0}

    def _warnings(self, known: int, matched: Matched) -> list[str]:
        said = self.preparation.warnings
        if matched.idle:
            name, code = next(iter(matched.idle.items()))
            said.append(
                f"decisions for an object the city does not have: {len(matched.idle):,}, as {code!r} for {name}"
            )
        if self.preparation.joins:
            name = self.preparation.feature_type.name
            said.append(f"no record has geometry: they are attributes of each {name} they name, whose geometry stays")
        if self.preparation.context.insert_only and known:
            said.append(f"there already, so left as they were: {known:,}")
        return said

    def _batches(self) -> Iterator[_Batch]:
        for prepared in self.preparation.batches():
            rows: list[Payload] = []
            familiar: list[Payload] = []
            for settled, chosen in self._parts(prepared):
                mask = pa.array(chosen)
                part = prepared.rows if chosen.all() else prepared.rows.filter(mask)
                extra = {RECORD: pa.array(prepared.numbers[chosen]), MINTED: pa.array(prepared.minted[chosen])}
                if IDENTIFIERS in part.column_names:
                    extra[IDENTIFIERS] = part.column(IDENTIFIERS)
                if prepared.digests is None or prepared.traits is None:
                    rows.append(self.load.encode(part, settled=settled, **extra))
                    continue
                digests, traits = prepared.digests[chosen], prepared.traits[chosen]
                extra |= {DIGEST: as_binary(digests), TRAITS: pa.array(traits, pa.int32())}
                rows.append(self.load.encode(part, settled=settled, **extra))
                if rows[-1].straight and self.familiar is not None:
                    familiar.append(self.familiar.encode(digests, part.column("code"), traits))
            yield _Batch(prepared, rows, self._encode_repeated(prepared), familiar)

    def _parts(self, prepared: Prepared) -> list[tuple[bool, Mask]]:
        """Part the rows into those that are settled, and those that have to wait even where nothing is to merge with.

        So have rows whose other identifiers are to be noted, which may be of objects that are there only, or whose code
        is but the name of their content: another row may have that, too.
        """
        waits = prepared.nameless
        shapes = self.preparation.has_shapes or not self.preparation.feature_type.geometry_required
        if self.mapping.identifiers or not shapes or self.load.had_objects:
            waits = np.ones_like(waits)
        parts = [(True, ~waits), (False, waits)]
        return [(settled, chosen) for settled, chosen in parts if chosen.any()]

    def _encode_repeated(self, prepared: Prepared) -> Payload | None:
        repeated = prepared.repeated
        if repeated is None:
            return None
        extra = {
            RECORD: pa.array(repeated.numbers),
            FIRST: pa.array(repeated.first),
            NAMELESS: pa.array(repeated.nameless),
            MINTED: pa.array(repeated.minted),
            SOURCE_ID: pa.array([record.source_id for record in repeated.records], pa.string()),
            SOURCE: pa.array([_json(record) for record in repeated.records], pa.string()),
        }
        return self.load.encode(repeated.rows, settled=False, **extra)

    def _reject(self, records: list[Rejected]) -> None:
        if not records:
            return
        for record in records:
            reason = reason_of(record.reason)
            self.reasons[reason if reason in self.reasons or len(self.reasons) < _REASONS else "other reasons"] += 1
        if self.delivered is not None:
            named = [record.code for record in records if record.code is not None]
            self.delivered.add(named)
            self.unknown += len(records) - len(named)
        driver: psycopg.Connection = self.connection.connection.driver_connection  # type: ignore[assignment]
        with driver.cursor() as cursor, cursor.copy(query("ingest/copy_rejects").text) as copy:
            for record in records:
                copy.write_row((self.dataset, self.layer.name, record.source_id, record.reason, _json(record)))

    def _tell_apart(self) -> int:
        """Name records apart that share a geometry and have no other name; return how many repeat nothing then."""
        shared = self.load.shared_names()
        if not shared:
            return 0
        records, codes, contents = zip(*shared, strict=True)
        apart = mint_apart(self.preparation.feature_type, codes, contents)
        first: dict[str, int] = {}
        for record, code in zip(records, apart, strict=True):
            first.setdefault(code, record)
        return self.load.rename(records, apart, [first[code] for code in apart])


def _json(record: Rejected) -> str:
    return orjson.dumps(record.record, option=orjson.OPT_SERIALIZE_NUMPY).decode()
