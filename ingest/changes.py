"""What a dry run would do, object by object: read from the revisions of its transaction before it is undone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson
import sqlalchemy as sa

from cim.db.ending import lifetime
from cim.db.script import query
from cim.dictionary import Dictionary

Fate = Literal["insert", "update", "end"]
# So many changes of a file are listed; the counts of its layers are of all.
MOST = 10_000
# So many of each fate are shown to people, and so much of a value.
_SHOWN = 10
_WIDTH = 40
# So many values of a new object.
_FEW = 6
_SIGNS: Mapping[Fate, str] = {"insert": "+", "update": "~", "end": "-"}


@dataclass(frozen=True, slots=True)
class Change:
    """What would become of one object.

    Attributes
    ----------
    columns : (old, new) of each public property that changes, None for nothing; those in `attributes` by `attributes.`
        and their key. A new object has all it brings, one that leaves its table none.
    moved : how far the geometry moves at most, metres; None where it stays, comes or goes.
    """

    type: str
    code: str
    fate: Fate
    columns: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    moved: float | None = None


def changes(connection: sa.Connection, dictionary: Dictionary, types: Sequence[str]) -> list[Change]:
    """Return what the transaction of the connection did so far, by type and code, at most the first `MOST`."""
    parameters = {"types": sorted(set(types)), "most": MOST}
    rows = connection.execute(query("ingest/list_changes"), parameters)
    ends = {name: lifetime(dictionary.type(name))[1] for name in types}
    found = []
    for row in rows:
        if row.before is None:
            found.append(Change(row.type, row.code, "insert", dict(_differences({}, row.after))))
        elif row.after is None:
            found.append(Change(row.type, row.code, "end"))
        else:
            columns = dict(_differences(row.before, row.after))
            if not row.in_place:
                columns["geom"] = ("as it was", "other")
            fate: Fate = "end" if columns.get(ends[row.type] or "", (0, None))[0] is None else "update"
            found.append(Change(row.type, row.code, fate, columns, None if row.in_place else row.moved))
    return found


def lines(found: Sequence[Change]) -> Iterator[str]:
    """Yield the changes for people: a few of each fate, and how many more are listed."""
    total = Counter(change.fate for change in found)
    shown: Counter[Fate] = Counter()
    for change in found:
        shown[change.fate] += 1
        if shown[change.fate] <= _SHOWN:
            yield f"{_SIGNS[change.fate]} {change.type} {change.code}"
            yield from _values(change)
    for fate, sign in _SIGNS.items():
        if total[fate] > _SHOWN:
            yield f"{sign} and {total[fate] - _SHOWN:,} more; --json lists them"
    if len(found) == MOST:
        yield f"only the first {MOST:,} changes are listed"


def _values(change: Change) -> Iterator[str]:
    """Yield what changes, a line each; of a new object all it brings, on one line."""
    if change.fate == "insert" and change.columns:
        said = [f"{name}: {_short(new)}" for name, (_, new) in change.columns.items()]
        more = [f"and {len(said) - _FEW} more"] if len(said) > _FEW else []
        yield "    " + ", ".join(said[:_FEW] + more)
        return
    for name, (old, new) in change.columns.items():
        yield f"    {name}: {_short(old)} → {_short(new)}" if name != "geom" else f"    {_geometry(change)}"


def _differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[tuple[str, tuple[Any, Any]]]:
    for name in sorted(dict.fromkeys([*before, *after]), key="attributes".__eq__):  # columns come first
        old, new = before.get(name), after.get(name)
        if old == new:
            continue
        if name == "attributes":
            nested = _differences(old or {}, new or {})
            yield from ((f"attributes.{key}", values) for key, values in nested)
        else:
            yield name, (old, new)


def _geometry(change: Change) -> str:
    return "geom: changes" if change.moved is None else f"geom: moves by up to {change.moved:.3f} m"


def _short(value: Any) -> str:
    text = "nothing" if value is None else orjson.dumps(value).decode()
    return text if len(text) <= _WIDTH else text[: _WIDTH - 1] + "…"
