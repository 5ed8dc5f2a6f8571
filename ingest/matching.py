"""Which object is each record of a layer that came without a code the city knows: recalled, decided, placed, or new."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from cim import codes
from cim.codes import provisional
from cim.db.matching import Matching, NotTaken, Overlaps, Settled, Stranger
from cim.dictionary import FeatureType
from ingest.match import Pairs, Thresholds, decide
from ingest.report import UNDECIDED, UNNAMED

# By the name of a record: `person` with the object's code, or None for a new one; or `left out`.
Said = Mapping[str, tuple[str, str | None]]

# So many objects that a record may be are named in its reason.
_NAMED = 4
_AREAS = frozenset({"Polygon", "MultiPolygon"})


@dataclass(frozen=True, slots=True)
class Matched:
    """What was decided: how many records which way, those not to be taken with the reason, and minted codes given up.

    `renamed` holds, by minted code, the code of the object it turned out to be, None where the record is not taken.
    `strangers` are those of `reasons` that name no object though they must, and whether their code was minted.
    `idle` are the decisions, by name of the record, that name an object the city does not have.
    """

    counts: Mapping[str, int] = field(default_factory=dict)
    reasons: Mapping[int, str] = field(default_factory=dict)
    renamed: Mapping[str, str | None] = field(default_factory=dict)
    strangers: Mapping[int, bool] = field(default_factory=dict)
    idle: Mapping[str, str | None] = field(default_factory=dict)


def match(
    connection: sa.Connection,
    waiting: sa.Table,
    target: sa.Table,
    feature_type: FeatureType,
    limits: Thresholds,
    said: Said,
    dataset: str,
    layer: str,
    *,
    joins: bool = False,
    claim: Callable[[], None] | None = None,
) -> Matched:
    """Decide about the waiting rows whose code no object has, give them their codes, and store the decisions.

    Rows that are not to be taken are taken out of `waiting`. In this order: what a person said, what the crosswalk and
    supersessions say, what the place says; the rest is new, or not taken where the layer `joins`: it has attributes
    of objects that are there, and no geometry to make one of. `claim` says, before any of that, which objects are taken
    by records that do not wait.
    """
    matching = Matching(connection, waiting, target, feature_type)
    if matching.gather() == 0:
        return Matched()
    if claim is not None:
        claim()
    said = _canonical(said, feature_type)
    idle = {name: said[name][1] for name in matching.settle_named(said)}
    matching.recall()
    matching.apply()
    strangers = matching.take_out_rest() if joins else []
    if not joins and limits.geometry and feature_type.geometry in _AREAS and "geom" in waiting.c:
        matching.settle(_placed(matching.overlaps(limits.touch, limits.same), limits))
    matching.settle_rest()
    matching.apply()
    reasons = {row.record: _reason(row, feature_type) for row in matching.not_taken()}
    renamed = dict(matching.renamed())
    reasons |= {row.record: _unknown(row, feature_type) for row in strangers}
    renamed |= {row.name: None for row in strangers if row.name.startswith(provisional.PREFIX)}
    minted = {row.record: row.minted for row in strangers}
    return Matched(matching.record(dataset, layer), reasons, renamed, minted, idle)


def _canonical(said: Said, feature_type: FeatureType) -> Said:
    """Return what a person said with the codes as the type's scheme spells them; what it refuses names no object."""
    found, _ = codes.check_many_for(feature_type, [code for _, code in said.values()])
    return {name: (how, right or code) for (name, (how, code)), right in zip(said.items(), found, strict=True)}


def _placed(found: Overlaps, limits: Thresholds) -> list[Settled]:
    """Return what the place of the rows decides."""
    of_record, of_object, overlap, aligned = found.shares.T
    decided = decide(Pairs(found.record, found.object, of_record, of_object, overlap, aligned), limits)
    settled = [
        Settled(record, "same", found.codes[place], score, {found.codes[place]: _rounded(score)})
        for record, place, score in _rows(decided.same)
    ]
    same = {row.record: row for row in settled}
    for how, pairs in (("split", decided.split), ("merge", decided.merge), ("undecided", decided.undecided)):
        objects: dict[int, dict[str, float]] = {}
        for record, place, score in _rows(pairs):
            objects.setdefault(record, {})[found.codes[place]] = _rounded(score)
        for record, scores in objects.items():
            if record in same:
                # It goes on as one object and has another as a part.
                row = same[record]
                same[record] = Settled(record, row.how, row.code, row.score, {**(row.objects or {}), **scores})
            else:
                settled.append(Settled(record, how, None, max(scores.values()), scores))
    return [same.get(row.record, row) for row in settled]


def _rows(pairs: Pairs) -> Sequence[tuple[int, int, float]]:
    return list(zip(pairs.record.tolist(), pairs.object.tolist(), pairs.overlap.tolist(), strict=True))


def _rounded(score: float) -> float:
    return round(score, 4)


def _unknown(row: Stranger, feature_type: FeatureType) -> str:
    if row.minted:
        return (
            f"{UNNAMED}, and without geometry there can be no new {feature_type.name}; give its code or another"
            " identifier, or its geometry"
        )
    return (
        f"{UNNAMED}, and without geometry there can be no new {feature_type.name}; correct it, or load its geometry"
        f" first, got {row.name!r}"
    )


def _reason(row: NotTaken, feature_type: FeatureType) -> str:
    if row.how == "left out":
        return "identity: left out by a person's decision"
    ranked = sorted(row.objects.items(), key=lambda item: -item[1])
    named = ", ".join(f"{code} ({score:.2f})" if score else code for code, score in ranked[:_NAMED])
    more = f" and {len(ranked) - _NAMED} more" if len(ranked) > _NAMED else ""
    return f"{UNDECIDED} a {feature_type.name} the city has; decide with --review, got {named}{more}"
