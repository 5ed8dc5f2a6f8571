"""A mapping to begin with: proposed from the names, types and values of a file, as TOML for a person to finish.

Names come from `schemas/v1/synonyms.json`. A name alone is a guess; the values decide whether it holds: they must fit
the column's kind and limits, translate into its codelist, or be codes of the scheme.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import shapely

import schemas
from cim import codes
from cim.dictionary import Dictionary, FeatureType, Property
from cim.geometry import FAMILY
from ingest.columns import Column, conversion, units
from ingest.faults import Faults
from ingest.formats import Format, Layer, ReadOptions
from ingest.formats._base import GEOMETRY, RESERVED, SOURCE_ID
from ingest.values import convert, text_of

# So many records are looked at, and so many values of a field shown.
SAMPLE = 20_000
_VALUES = 40
_CHECKED = 2_000
# Share of the values that must fit for a name to be believed, where it is the column's very name, and where their unit
# is guessed; and of codes for a field to hold them (design, as all that follow).
_FITTING, _FITTING_NAMED, _FITTING_GUESSED = 0.6, 0.2, 0.95
_CODES = 0.8
# Share of the records that a field must name.
_NAMED = 0.98
# Marks of names that are equal, that contain each other, and the least that is proposed.
_EQUAL, _CONTAINS = 1.0, 0.6
# What the name of a layer says of its type, that of the file beside it, and each field that is named like a column.
_BY_NAME, _BY_FILE, _BY_FIELD = 2.0, 0.9, 0.75
_UNIT = re.compile(r"[\[(（_ ]([^\[\](（）)_ ]+)[\])）]?$")
_PLAIN = re.compile(r"[\W_]+")


@dataclass(frozen=True, slots=True)
class Proposal:
    """A column and the field it may come from: how sure (0 to 1), why, and what its values need."""

    column: str
    source: str
    score: float
    why: str
    unit: str | None = None
    values: Mapping[str, str] = field(default_factory=dict)
    open: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Sample:
    """The first records of a layer."""

    layer: Layer
    table: pa.Table
    fields: list[str]
    kinds: frozenset[int]


class _Marks(NamedTuple):
    """How much a layer looks like a type, and what settles a tie.

    A type that is spoken of goes first: departments have no words for what the platform makes itself, as proposals.
    Then one that cannot do without its shape, then one of which the layer tells the larger part.
    """

    score: float
    spoken: bool
    shaped: bool
    told: float


_NOT_AT_ALL = _Marks(0.0, spoken=False, shaped=False, told=0.0)


def suggest(path: Path, source_format: Format, options: ReadOptions, dictionary: Dictionary) -> str:
    """Return mappings for the layers of a file, as TOML that `--mapping` takes.

    What cannot be told is left as a comment. A layer that looks like no feature type is one, too.

    Raises
    ------
    InvalidData : the file cannot be read.
    """
    parts = [_suggest_layer(_sample(layer), path, dictionary) for layer in source_format.read(path, options)]
    several = len([part for part in parts if part.startswith("type")]) > 1
    head = f"# Proposed for {path.name} from names, types and values. Look it through, then: --mapping FILE\n"
    if several:
        parts = ["[[layers]]\n" + _nested(part) if part.startswith("type") else part for part in parts]
    return head + "\n" + "\n".join(parts)


def _sample(layer: Layer) -> _Sample:
    table = layer.head(SAMPLE)
    fields = [name for name in table.column_names if name not in RESERVED]
    kinds: frozenset[int] = frozenset()
    if GEOMETRY in table.column_names:
        shapes = shapely.from_wkb(table.column(GEOMETRY).to_numpy(), on_invalid="ignore")
        kinds = frozenset(shapely.get_type_id(shapes).tolist()) - {-1}
    return _Sample(layer, table, fields, kinds)


def _suggest_layer(sample: _Sample, path: Path, dictionary: Dictionary) -> str:
    layer = sample.layer
    marks = {t.name: _marks(sample, path, t) for t in dictionary.types.values()}
    ranked = [(marks[name].score, name) for name in sorted(marks, key=lambda name: marks[name], reverse=True)]
    score, name = ranked[0]
    if layer.feature_type is not None:
        score, name = 1.0, layer.feature_type
    if score <= 0:
        return f"# layer {layer.name!r}: looks like no feature type; its fields: {', '.join(sample.fields) or 'none'}\n"
    feature_type = dictionary.types[name]
    others = [other for s, other in ranked if s > 0 and other != name][:2]
    text = f"type = {_quoted(name)}"
    text += f"  # or {', '.join(others)}\n" if others and layer.feature_type is None else "\n"
    used: set[str] = set()
    text += _code(sample, feature_type, used) + _source_id(sample, used)
    text += _source(sample, path) + _identifiers(sample, feature_type, used)
    found = list(_columns(sample, feature_type, dictionary, used))
    if found:
        text += "\n[columns]\n" + "".join(map(_line, found))
    rest = [name for name in sample.fields if name not in used | {p.source for p in found}]
    if rest:
        text += f"# kept in attributes: {', '.join(rest)}\n"
    return text


def _source(sample: _Sample, path: Path) -> str:
    layer = sample.layer
    text = f"\n[source]\nfile = {_quoted(path.name)}\n"
    if layer.name != path.stem:
        text += f"layer = {_quoted(layer.name)}\n"
    text += f"identity = {_quoted(layer.name)}  # keep it from delivery to delivery: provisional codes come from it\n"
    if layer.crs is None and sample.kinds:
        text += '# assume_crs = "EPSG:…"  # the file states none\n'
    return text


def _marks(sample: _Sample, path: Path, feature_type: FeatureType) -> _Marks:
    """Return how much a layer looks like a type; 0 where its geometry cannot be the type's."""
    kinds = FAMILY[feature_type.geometry] if feature_type.geometry else ()
    if sample.kinds and not sample.kinds & {*kinds, 7}:
        return _NOT_AT_ALL
    if not sample.kinds and feature_type.geometry_required:
        return _NOT_AT_ALL
    spoken = _synonyms()["types"].get(feature_type.name, ())
    names = [feature_type.name, feature_type.title, feature_type.title_zh, *spoken]
    named = max(_alike(sample.layer.name, names), _BY_FILE * _alike(path.stem, names))
    filled = [f for f in sample.fields if sample.table.column(f).null_count < sample.table.num_rows]
    columns = [
        score
        for prop in feature_type.properties
        if (score := max((_alike(f, _names_of(prop, feature_type)) for f in filled), default=0.0)) >= _EQUAL
    ]
    share = len(columns) / len(feature_type.properties)
    return _Marks(_BY_NAME * named + _BY_FIELD * sum(columns), bool(spoken), feature_type.geometry_required, share)


def _code(sample: _Sample, feature_type: FeatureType, used: set[str]) -> str:
    """Say which field holds codes of the type's scheme: most of its values must be such codes."""
    names = _synonyms()["code"]
    ranked = sorted(sample.fields, key=lambda f: -_alike(f, names))
    for name in ranked:
        share = _share_of_codes(text_of(sample.table.column(name)), feature_type)
        if share >= _CODES:
            used.add(name)
            return f"code = {_quoted(name)}  # {share:.0%} of its values are {feature_type.code_scheme}\n"
    return ""


def _share_of_codes(texts: Any, feature_type: FeatureType) -> float:
    """Return how many of a field's values are codes of a type, as a share; 0 where it has none."""
    filled = texts.drop_null().to_pylist()[:_CHECKED]
    return 1 - len(codes.check_many_for(feature_type, filled)[1]) / len(filled) if filled else 0.0


def _source_id(sample: _Sample, used: set[str]) -> str:
    """Say which field names the records: filled and unique; one with a telling name goes first."""
    if SOURCE_ID in sample.table.column_names and sample.table.column(SOURCE_ID).null_count < sample.table.num_rows:
        return ""
    names = [*_synonyms()["source_id"], *_synonyms()["code"]]
    for name in sorted(sample.fields, key=lambda f: -_alike(f, names)):
        values = sample.table.column(name)
        kind = values.type
        if name in used or not (pa.types.is_string(kind) or pa.types.is_integer(kind)):
            continue
        texts = text_of(values)
        # Without a telling name, only what looks like an identifier is one.
        numbered = pa.types.is_string(kind) and pc.all(pc.match_substring_regex(texts, "[0-9]")).as_py()
        if _alike(name, names) < _CONTAINS and not numbered:
            continue
        filled = len(texts) - texts.null_count
        if filled >= _NAMED * len(texts) > 0 and pc.count_distinct(texts, mode="only_valid").as_py() == filled:
            used.add(name)
            return f"source_id = {_quoted(name)}  # unique, and filled in {filled:,} of {len(texts):,} records\n"
    return "# source_id: no field is filled and unique; records without a code are named by their geometry\n"


def _identifiers(sample: _Sample, feature_type: FeatureType, used: set[str]) -> str:
    known = codes.schemes(feature_type.codelists)
    lines = []
    for scheme, names in _synonyms()["identifiers"].items():
        if scheme not in known or scheme == feature_type.code_scheme:
            continue
        for name in sample.fields:
            filled = text_of(sample.table.column(name)).drop_null().to_pylist()[:_CHECKED]
            if _alike(name, names) < _EQUAL or not filled:
                continue
            share = 1 - len(known[scheme].check_many(filled)[1]) / len(filled)
            if share >= _CODES:
                lines.append(f"{scheme} = {_quoted(name)}  # {share:.0%} of its values are such identifiers\n")
                used.add(name)
    return "\n[identifiers]\n" + "".join(lines) if lines else ""


def _columns(
    sample: _Sample, feature_type: FeatureType, dictionary: Dictionary, used: Iterable[str]
) -> Iterator[Proposal]:
    """Yield the best field of each column, each field once, in the dictionary's order."""
    taken = set(used)
    wanted = [
        (_alike(name, _names_of(prop, feature_type)), -order, prop, name)
        for order, prop in enumerate(feature_type.properties)
        for name in sample.fields
    ]
    chosen: dict[str, Proposal] = {}
    for score, _, prop, name in sorted(wanted, key=lambda w: w[:2], reverse=True):
        if score < _CONTAINS or prop.name in chosen or name in taken:
            continue
        proposal = _fitted(sample.table.column(name), name, prop, dictionary, score)
        if proposal is not None:
            chosen[prop.name] = proposal
            taken.add(name)
    for prop in feature_type.properties:
        if prop.name in chosen:
            yield chosen[prop.name]


def _fitted(values: Any, name: str, prop: Property, dictionary: Dictionary, score: float) -> Proposal | None:
    """Return a proposal if the field's values can be the column's, in their own unit or another."""
    texts = text_of(values)
    filled = len(texts) - texts.null_count
    if filled == 0:
        return None
    if prop.references is not None:
        share = _share_of_codes(texts, dictionary.type(prop.references))
        why = f"{share:.0%} of the values are codes of a {prop.references}"
        return Proposal(prop.name, name, score * share, why) if share >= _CODES else None
    if prop.codelist is not None:
        return _translated(texts, name, prop, dictionary, score)
    stated = _unit_of(name)
    tried: list[str | None] = [stated]
    if prop.unit is not None and stated is None:
        tried += [unit for unit in ("mm", "cm", "dm", "km", "har", "mu") if _convertible(unit, prop.unit)]
    for unit in tried:
        if unit is not None and not (prop.unit and _convertible(unit, prop.unit)):
            continue
        faults = Faults(len(texts))
        converted = convert(values, prop, Column(name, unit=unit), dictionary, faults)
        share = 1 - len(faults) / filled
        if share >= (_FITTING if unit in (None, stated) else _FITTING_GUESSED):
            guessed = "" if unit is None else f"; {unit} {'by its name' if unit == stated else 'by its values'}"
            return Proposal(prop.name, name, score * share, _range(converted, share) + guessed, unit)
    return None


def _translated(texts: Any, name: str, prop: Property, dictionary: Dictionary, score: float) -> Proposal | None:
    codelist = dictionary.codelists[prop.codelist or ""]
    known = {
        label.casefold(): value.value
        for value in codelist.values.values()
        for label in (*_synonyms()["values"].get(codelist.name, {}).get(value.value, ()), value.title, value.title_zh)
    }
    counts = {c["values"]: c["counts"] for c in pc.value_counts(texts.drop_null()).to_pylist()}
    ranked = sorted(counts, key=lambda text: -counts[text])
    titles = {title.casefold() for v in codelist.values.values() for title in (v.title, v.title_zh)}
    own = {text for text in counts if text in codelist or text.casefold() in titles}
    table = {text: known[text.casefold()] for text in ranked if text not in own and text.casefold() in known}
    fits = sum(counts[text] for text in counts if text in own or text in table) / sum(counts.values())
    if fits < (_FITTING if score < _EQUAL else _FITTING_NAMED) or len(table) > _VALUES:
        return None
    left = {text: counts[text] for text in ranked if text not in own and text not in table}
    why = f"{fits:.0%} of the values translate into {codelist.name}"
    return Proposal(prop.name, name, score * fits, why, None, table, dict(list(left.items())[:_VALUES]))


def _range(converted: Any, share: float) -> str:
    fits = "" if share >= 1 else f", {share:.0%} fit"
    kind = converted.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_date(kind):
        extremes = pc.min_max(converted).as_py()
        low, high = (f"{v:g}" if isinstance(v, (int, float)) else str(v) for v in extremes.values())
        return f"{low} to {high}{fits}"
    first = next((v for v in converted.to_pylist() if v is not None), "")
    return f"as {str(first)[:30]!r}{fits}"


def _line(p: Proposal) -> str:
    sure = f"  # {p.score:.2f}: {p.why}\n"
    if not (p.unit or p.values or p.open):
        return f"{p.column} = {_quoted(p.source)}{sure}"
    parts = [f"field = {_quoted(p.source)}"]
    if p.unit:
        parts.append(f"unit = {_quoted(p.unit)}")
    if p.values:
        parts.append(f"values = {{{', '.join(f'{_quoted(a)} = {_quoted(b)}' for a, b in p.values.items())}}}")
    text = f"{p.column} = {{{', '.join(parts)}}}{sure}"
    if p.open:
        left = ", ".join(f"{value!r} ({count:,})" for value, count in p.open.items())
        text += f"# to be translated under values, or set otherwise: {left}\n".replace("\n#", " ")
    return text


def _nested(part: str) -> str:
    return re.sub(r"^\[(source|columns|identifiers)\]$", r"[layers.\1]", part, flags=re.MULTILINE)


def _quoted(text: str) -> str:
    """Return a TOML basic string; JSON's are."""
    return json.dumps(text, ensure_ascii=False)


def _names_of(prop: Property, feature_type: FeatureType) -> Sequence[str]:
    columns = _synonyms()["columns"]
    own = columns.get(feature_type.name, {}).get(prop.name, [])
    return [prop.name, prop.title, prop.title_zh, *own, *columns["*"].get(prop.name, [])]


def _alike(name: str, names: Iterable[str]) -> float:
    """Return how alike a name is to the most alike of several: 1 equal, less where one contains the other."""
    plain = _plain(name)
    bare = _plain(_UNIT.sub("", name)) if _unit_of(name) else plain
    best = 0.0
    for other in map(_plain, names):
        if other in (plain, bare) and other:
            return _EQUAL
        short, long = sorted((other, plain), key=len)
        # Two Chinese characters say as much as a word; two letters say nothing.
        enough = 2 if not short.isascii() else 4
        if len(short) >= enough and short in long:
            best = max(best, _CONTAINS + 0.3 * len(short) / len(long))
    return best


def _plain(name: str) -> str:
    return _PLAIN.sub("", name).casefold()


def _unit_of(name: str) -> str | None:
    match = _UNIT.search(name)
    return match[1] if match and match[1] in units() else None


def _convertible(unit: str, target: str) -> bool:
    known = units()
    return unit in known and target in known and known[unit][0] == known[target][0] and conversion(unit, target) > 0


@cache
def _synonyms() -> Mapping[str, Any]:
    document: dict[str, Any] = json.loads((schemas.V1 / "synonyms.json").read_text(encoding="utf-8"))
    return document
