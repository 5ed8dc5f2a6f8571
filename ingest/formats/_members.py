"""What a GeoJSON feature says and GDAL leaves out in silence: members beside the known, ids, keys that come twice."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

_KNOWN = frozenset({"type", "id", "bbox", "geometry", "properties"})
# A feature of known members and flat properties, as nearly all are: that is quick to see, and others are parsed.
_ORDINARY = re.compile(
    r'\{(?:\s*+(?:"type"\s*:\s*"Feature"|"bbox"\s*:\s*\[[^\]]*+\]|"id"\s*:\s*(?P<id>"[^"\\]*+"|[-+.\w]++)'
    r'|"geometry"\s*:\s*(?:null|\{[^{}]*+\})|"properties"\s*:\s*(?:null|(?P<own>\{[^{}]*+\})))\s*+(?:,|(?=\})))++\}'
)
_KEY = re.compile(r'"([^"]*+)"\s*:')
_FEATURES = re.compile(r'"features"\s*:\s*\[')
_CHUNK = 1 << 22
# A feature of more characters is not looked at, nor what follows it.
_LARGEST = 1 << 26
# So many members are named, the most frequent first, by so much of their names.
_NAMED = 5
_SHOWN = 60


def left_out_of(path: Path) -> list[str]:
    """Say what is left out of the features of a GeoJSON file; what is no JSON is left to the reader."""
    left = LeftOut()
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        text, at = file.read(_CHUNK), 0
        if begun := _FEATURES.search(text):
            at = begun.end()
        while True:
            while at < len(text) and text[at] in ", \t\r\n":
                at += 1
            end = left.look(text, at) if text.startswith("{", at) else None
            if end is not None:
                at = end
            elif at < len(text) and text[at] != "{":
                return left.said()
            elif len(text) - at > _LARGEST or not (more := file.read(_CHUNK)):
                return [
                    *left.said(),
                    *(["what is left out of the last features is not known"] if at < len(text) else []),
                ]
            else:
                text, at = text[at:] + more, 0


class LeftOut:
    """What was left out of the features looked at so far."""

    def __init__(self) -> None:
        self._beside: Counter[str] = Counter()
        self._twice: Counter[str] = Counter()
        self._numbers = 0
        self._texts = False

    def look(self, text: str, at: int = 0) -> int | None:
        """Look at the object that begins here; return where it ends, None where it does not end or is no JSON."""
        found = _ORDINARY.match(text, at)
        if found:
            keys = _KEY.findall(found["own"] or "")
            if len({*keys}) == len(keys) and not (found["id"] and "id" in keys):
                self._identified(found["id"] and json.loads(found["id"]))
                return found.end()
        twice: set[str] = set()
        try:
            feature, end = json.JSONDecoder(object_pairs_hook=lambda pairs: _object(pairs, twice)).raw_decode(text, at)
        except (ValueError, RecursionError):
            return None
        self._twice.update(twice)
        if feature.get("type") == "Feature":
            self._feature(feature)
        return end

    def said(self) -> list[str]:
        """Return the sentences for the report."""
        said = []
        if self._beside:
            said.append(f"members of features beside 'properties' are not kept: {_named(self._beside)}")
        if self._numbers and not self._texts:
            said.append(f"numbers as 'id' of features are taken for those of rows, and not kept: {self._numbers:,}")
        if self._twice:
            said.append(f"of members that come twice in an object the last is kept: {_named(self._twice)}")
        return [f"{one}; write them into 'properties' under names of their own" for one in said]

    def _feature(self, feature: dict[str, Any]) -> None:
        own = feature.get("properties")
        if own is not None:  # else GDAL takes the members for properties
            self._beside.update(feature.keys() - _KNOWN)
        if not isinstance(own, dict) or "id" not in own:
            self._identified(feature.get("id"))
        elif feature.get("id") is not None and str(feature["id"]) != str(own["id"]):
            self._beside["id"] += 1

    def _identified(self, own: object) -> None:
        """Note an `id`: GDAL keeps them as text, but not where all are numbers as it gives them to rows itself."""
        if isinstance(own, int) and own >= 0:
            self._numbers += 1
        else:
            self._texts |= own is not None


def _named(counts: Counter[str]) -> str:
    frequent = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:_NAMED]
    named = [f"{name[:_SHOWN]!r} of {count:,}" for name, count in frequent]
    return ", ".join(named) + (f" and {len(counts) - _NAMED:,} more" if len(counts) > _NAMED else "")


def _object(pairs: list[tuple[str, Any]], twice: set[str]) -> dict[str, Any]:
    held = dict(pairs)
    if len(held) < len(pairs):
        twice.update(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
    return held
