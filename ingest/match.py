"""Which object is a record by its place: decided from how much of each the other covers.

For a record and an object whose areas overlap, with i the area of their intersection:

    of_record = i / area of the record     of_object = i / area of the object     overlap = i / area of their union

`overlap` (intersection over union, Jaccard 1901) is the score. `aligned` is the overlap once the record is moved so
that the two centroids meet: near 1 for a building that was measured elsewhere, lower for another building. It decides
where `overlap` alone is too low to, and is wanted there only.

Decisions, in this order:

- **split**: two or more records lie in one object (each `of_record` ≥ part) and together cover it (sum of `of_object`
  ≥ cover), and that explains the object better than its best single record, by `margin`.
- **merge**: the same with record and object exchanged.
- **same**: each is the other's best, the second best of either is worse by `margin`, and `overlap` ≥ same, or
  `overlap` ≥ touch and `aligned` ≥ like.
- **split**, **merge** of a rest: a record that lies in an object which another record goes on as; an object that
  lies in a record which goes on as another object.
- **undecided**: a record that overlaps an object nobody took by `touch`, or that is or has a part of it.
- **new**: the rest.

Everything is arrays; nothing here knows the database.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

import schemas

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

_DEFAULTS = schemas.V1 / "matching.json"


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Shares from 0 to 1; the module says what each decides. `geometry` False matches nothing."""

    same: float
    like: float
    part: float
    cover: float
    touch: float
    margin: float
    geometry: bool = True


def thresholds(type_name: str, said: Mapping[str, Any]) -> Thresholds:
    """Return the thresholds of a feature type out of `schemas/v1/matching.json`, changed by what a mapping says."""
    document = _document()
    found = {f.name: document["default"][f.name] for f in fields(Thresholds)}
    return replace(Thresholds(**found), **(document["types"].get(type_name, {}) | dict(said)))


@cache
def _document() -> Mapping[str, Any]:
    document: dict[str, Any] = json.loads(_DEFAULTS.read_text(encoding="utf-8"))
    return document


@dataclass(frozen=True, slots=True)
class Pairs:
    """Records and objects that overlap: their numbers, the same length each, and the shares; `aligned` may be NaN."""

    record: Integers
    object: Integers
    of_record: Floats
    of_object: Floats
    overlap: Floats
    aligned: Floats

    def where(self, mask: Mask) -> Pairs:
        """Return some of them."""
        return Pairs(*(getattr(self, f.name)[mask] for f in fields(self)))


@dataclass(frozen=True, slots=True)
class Decisions:
    """What was decided, as three sets of pairs, with the score of each; a record in none of them is new.

    Attributes
    ----------
    same : one record, one object.
    split : records that are parts of an object; merge : objects that are parts of a record.
    undecided : records with the objects they may be.
    """

    same: Pairs
    split: Pairs
    merge: Pairs
    undecided: Pairs


def decide(pairs: Pairs, limits: Thresholds) -> Decisions:
    """Decide about all records at once; `pairs` holds each record and object together once."""
    pairs = pairs.where(np.maximum(pairs.of_record, pairs.of_object) >= limits.touch)
    record, records = _dense(pairs.record)
    object_, objects = _dense(pairs.object)
    best = _is_best(record, records, pairs.overlap) & _is_best(object_, objects, pairs.overlap)
    split = _group(object_, objects, pairs.of_record, pairs.of_object, pairs.overlap, limits)
    merge = _group(record, records, pairs.of_object, pairs.of_record, pairs.overlap, limits)
    # A record that is a part and also has parts is neither: a person sees what happened there.
    tangled = _any(record, records, split)[record] & _any(record, records, merge)[record]
    tangled |= _any(object_, objects, split)[object_] & _any(object_, objects, merge)[object_]
    split, merge = split & ~tangled, merge & ~tangled
    grouped = _any(record, records, split | merge)[record] | _any(object_, objects, split | merge)[object_]
    rival = np.maximum(_second(record, records, pairs.overlap), _second(object_, objects, pairs.overlap))
    alike = (pairs.overlap >= limits.touch) & (pairs.aligned >= limits.like)
    same = best & ~grouped & ~tangled & (pairs.overlap - rival >= limits.margin)
    same &= (pairs.overlap >= limits.same) | alike

    record_taken = _any(record, records, same | split | merge)
    object_taken = _any(object_, objects, same | split | merge)
    goes_on = _any(object_, objects, same)
    split |= ~record_taken[record] & goes_on[object_] & (pairs.of_record >= limits.part)
    carries = _any(record, records, same)
    merge |= ~object_taken[object_] & carries[record] & (pairs.of_object >= limits.part)

    record_taken = _any(record, records, same | split | merge)
    object_taken = _any(object_, objects, same | split | merge)
    near = (pairs.overlap >= limits.touch) | (pairs.of_record >= limits.part) | (pairs.of_object >= limits.part)
    undecided = near & ~record_taken[record] & ~object_taken[object_]
    return Decisions(pairs.where(same), pairs.where(split), pairs.where(merge), pairs.where(undecided))


def _group(one: Integers, ones: int, of_many: Floats, of_one: Floats, overlap: Floats, limits: Thresholds) -> Mask:
    """Return the pairs of parts of one thing that together cover it, and better than any of its pairs does alone."""
    parts = of_many >= limits.part
    number = np.bincount(one[parts], minlength=ones)
    covered = np.bincount(one[parts], of_one[parts], minlength=ones)
    alone = np.zeros(ones)
    np.maximum.at(alone, one, overlap)
    groups = (number >= 2) & (covered >= limits.cover) & (covered - alone >= limits.margin)
    grouped: Mask = parts & groups[one]
    return grouped


def _dense(ids: Integers) -> tuple[Integers, int]:
    found, dense = np.unique(ids, return_inverse=True)
    return dense.astype(np.int64), len(found)


def _any(group: Integers, groups: int, mask: Mask) -> Mask:
    there = np.zeros(groups, dtype=bool)
    there[group[mask]] = True
    return there


def _is_best(group: Integers, groups: int, score: Floats) -> Mask:
    highest = np.zeros(groups)
    np.maximum.at(highest, group, score)
    best: Mask = score == highest[group]
    return best


def _second(group: Integers, groups: int, score: Floats) -> Floats:
    """Return for each pair the best score of the other pairs of its group, 0 where there is none."""
    order = np.lexsort((-score, group))
    sorted_group = group[order]
    first = np.ones(len(order), dtype=bool)
    first[1:] = sorted_group[1:] != sorted_group[:-1]
    place = np.flatnonzero(first)
    highest, next_best = np.zeros(groups), np.zeros(groups)
    highest[sorted_group[place]] = score[order[place]]
    follows = place + 1
    follows = follows[(follows < len(order)) & ~first[np.minimum(follows, len(order) - 1)]]
    next_best[sorted_group[follows]] = score[order[follows]]
    is_first = np.zeros(len(order), dtype=bool)
    is_first[order[place]] = True
    return np.where(is_first, next_best[group], highest[group])
