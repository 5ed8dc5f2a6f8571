"""What a report shows of a sealed document: its numbers with their titles, and the city it was computed on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import shapely
import sqlalchemy as sa
from shapely.geometry.base import BaseGeometry

from cim.db.engine import Database
from cim.db.state import resolve
from cim.dictionary import Dictionary
from cim.errors import InvalidData, InvalidProof, NotFound
from cim.log.entry import canonicalize
from cim.scenarios._base import Scenario
from cim.scenarios._branch import Made, lay
from cim.scenarios._indicator import Indicator, label_of
from cim.scenarios._proposal import ACTIONS, from_document
from cim.scenarios._registry import scenarios
from cim.scenarios._rules import RulePack
from cim.scenarios._seal import digest, state_of
from cim.scenarios._state import RECORDED, State, snapshot
from cim.scenarios._stock import stock_parameters

# Codelists whose values a result names otherwise than by the list's own name.
CODELISTS = {
    "usage": "building_usage",
    "danger": "danger_grade",
    "kind": "facility_kind",
    "action": "intervention_action",
}
CRITERIA = {
    "age": ("房龄", "age"),
    "structure": ("结构", "structure"),
    "danger": ("危险等级", "danger grade"),
    "lift": ("无电梯", "no lift"),
    "gas": ("无燃气", "no gas"),
    "energy": ("能效", "energy class"),
    "vacancy": ("空置率", "vacancy"),
    "slack": ("容积率余量", "room left by the plan"),
    "service": ("设施缺口", "services out of reach"),
}
MARGIN = 60.0  # metres of the surroundings that a map shows
COMPARED = 3  # proposals whose massing a report shows
MOST = 20_000  # buildings, and parcels, that a map still shows


@dataclass(frozen=True, slots=True)
class Drawn:
    """One object of a map: its geometry in the storage CRS, and what colours it; `width` is that of a road."""

    type: str
    code: str
    geometry: BaseGeometry
    storeys: int | None
    height: float | None
    usage: str | None
    year: int | None


@dataclass(frozen=True, slots=True)
class Number:
    """An indicator of a result: the way to it, the titles on that way, and its own."""

    path: tuple[str, ...]
    title: str
    title_zh: str
    indicator: Indicator

    @property
    def at(self) -> str:
        """Where it stands in the result."""
        return "/".join(self.path)


@dataclass(frozen=True, slots=True)
class Branch:
    """What a proposal makes of the land: its objects, and what is done to each by code, the last where several are."""

    name: str
    drawn: Sequence[Drawn]
    actions: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Material:
    """A sealed document with all that a report draws of it.

    Attributes
    ----------
    schema : JSON Schema of the result, whose titles name the numbers
    land : the scope, storage CRS
    parts : the districts of the land, by code, where it is several; storage CRS
    drawn : objects of the state around the land, as they are
    branches : the same as each proposal would have them, not more than COMPARED
    """

    document: Mapping[str, Any]
    title: str
    title_zh: str
    schema: Mapping[str, Any]
    pack: RulePack
    dictionary: Dictionary
    srid: int
    name: str
    land: BaseGeometry
    parts: Mapping[str, BaseGeometry]
    drawn: Sequence[Drawn]
    branches: Sequence[Branch]

    @property
    def result(self) -> Mapping[str, Any]:
        """The result."""
        return self.document["result"]  # type: ignore[no-any-return]

    @property
    def seal(self) -> Mapping[str, Any]:
        """The assessment."""
        return self.document["assessment"]  # type: ignore[no-any-return]

    @property
    def outside(self) -> list[str]:
        """Targets of its proposals that are no existing buildings of the land: what is done to them is not counted."""
        found = set(self.document["coverage"].get("targets_outside", ()))
        # Comparisons of before evaluate-proposal 1.3.0 do not say it.
        asked = self.seal["inputs"].get("proposals") or ()
        for item, answer in zip(asked, self.result.get("proposals", ()), strict=False):
            targets = {one["target"] for one in item["interventions"] if ACTIONS[one["action"]].on_building}
            found |= targets - {one["code"] for one in answer["objects"]}
        return sorted(found)

    def numbers(self) -> Iterator[Number]:
        """Yield every indicator of the result in the order of its schema."""
        yield from _numbers(self.result, self.schema, ())

    def objects(self, type_name: str) -> list[Drawn]:
        """Return the drawn objects of a type."""
        return [one for one in self.drawn if one.type == type_name]

    def label(self, dimension: str, value: Any, *, short: bool = False) -> str:
        """Return how a report writes a value: by its codelist in both languages or, short, in Chinese; or as it is."""
        if value is None:
            return "未知" if short else "未知 unknown"
        if dimension in ("property", "criterion"):
            return "、".join(self._property(name, short=short) for name in str(value).split(","))
        if dimension == "type" and value in self.dictionary.types:
            schema = self.dictionary.type(value).schema
            return str(schema["x-cim-title-zh"]) if short else f"{schema['x-cim-title-zh']} {schema['title']}"
        name = CODELISTS.get(dimension, dimension)
        codelist = self.dictionary.codelists.get(name)
        if codelist is not None and value in codelist:
            known = codelist.values[value]
            # Some titles explain themselves after a colon.
            return known.title_zh.partition("：")[0] if short else f"{known.title_zh} {known.title}"
        return f"{value}s" if dimension == "decade" else str(value)

    def _property(self, name: str, *, short: bool) -> str:
        """Return a property of the dictionary, or a criterion of the ranking, in words."""
        titles = CRITERIA.get(name)
        for type_name in self.dictionary.types if titles is None else ():
            schema = self.dictionary.type(type_name).schema["properties"].get(name)
            if schema is not None:
                titles = str(schema.get("x-cim-title-zh", name)), str(schema.get("title", name))
                break
        zh, english = titles or (name, name)
        return zh if short or zh == english else f"{zh} {english}"


def gather(database: Database, document: Mapping[str, Any]) -> Material:
    """Check the seal of a document and read the city that it was computed on.

    Raises
    ------
    InvalidProof : the document is not what was sealed, or not of this log.
    InvalidData : it is not the document of a scenario.
    """
    # As it comes from a file: a document gives the same report wherever it was in between.
    document = orjson.loads(canonicalize(dict(document)))
    try:
        seal = document["assessment"]
        answer = {"result": document["result"], "coverage": document["coverage"]}
        known = scenarios()[seal["process"]["id"]]
        sealed = {"result_hash": digest(answer), "inputs_hash": digest(seal["inputs"])}
        if not issubclass(known, Scenario):
            raise KeyError(known.name)
        wrong = [name for name, found in sealed.items() if seal[name] != found]
        if seal["inputs"]["as_of"] != seal["tree_size"]:
            wrong.append("tree_size")
    except (KeyError, TypeError) as error:
        raise InvalidData(f"not the document of a scenario, with result, coverage, assessment: {error}") from error
    if wrong:
        raise InvalidProof(f"the document is not what was sealed: {', '.join(wrong)} differs; run the scenario again")
    asked = known.from_inputs(seal["inputs"])
    with snapshot(database) as connection:
        _check_root(database, connection, seal)
        state = state_of(connection, database, asked)
        before = state.through(None)
        return Material(
            document=document,
            title=known.title,
            title_zh=known.title_zh,
            schema=known.outputs,
            pack=state.pack,
            dictionary=database.dictionary,
            srid=database.settings.srid,
            name=_name(before),
            land=shapely.from_wkb(state.scope.wkb),
            parts={part.codes[0]: shapely.from_wkb(part.wkb) for part in state.scope.parts},
            drawn=_drawn(before),
            branches=list(_branches(state, seal["inputs"], document["result"])),
        )


def _check_root(database: Database, connection: sa.Connection, seal: Mapping[str, Any]) -> None:
    try:
        root = resolve(connection, seal["tree_size"], database.settings.log_dir).root.hex()
    except NotFound:
        root = None
    if root != seal["root"]:
        raise InvalidProof(f"the document is not of this log: its root at tree size {seal['tree_size']} is {root}")


def _name(state: State) -> str:
    """Return what the land is called: by its record, else by what it is."""
    codes = state.scope.codes
    more = f" + {len(codes) - 1}" if len(codes) > 1 else ""
    if state.scope.type in RECORDED:
        row = state.rows("land_name", codes=[codes[0]])[0]
        return f"{row.name or codes[0]}{more}"
    return f"宗地 parcel {codes[0]}{more}" if codes else "自绘范围 drawn area"


def _drawn(state: State) -> list[Drawn]:
    stock = stock_parameters(state.pack)
    found = state.rows(
        "drawing",
        lands=[land.ewkb(state.database.settings.srid) for land in state.scope.parts or (state.scope,)],
        margin=MARGIN,
        most=MOST,
        existing=stock["existing"],
        missing_exists=stock["missing_exists"],
    )
    rows = sorted(found, key=lambda row: (row.type, row.code))
    geometries = shapely.from_wkb([bytes(row.geom) for row in rows])
    return [
        Drawn(row.type, row.code, geometry, row.storeys_above, row.height, row.usage, row.year_built)
        for row, geometry in zip(rows, geometries, strict=True)
    ]


def _branches(state: State, inputs: Mapping[str, Any], result: Mapping[str, Any]) -> Iterator[Branch]:
    """Yield the city as the proposal of a document, the one it chose, or each of those it compares, would have it."""
    if state.made is not None:
        yield Branch("方案后 After", _drawn(state), _actions(state.made))
    chosen = result.get("proposal")
    if isinstance(chosen, Mapping):
        made = lay(state, from_document(chosen, state.database.settings.srid))
        yield Branch("优选方案 Chosen", _drawn(state.through(made)), _actions(made))
    for item in (inputs.get("proposals") or ())[:COMPARED]:
        made = lay(state, from_document({k: v for k, v in item.items() if k != "name"}, state.database.settings.srid))
        yield Branch(f"方案 {item['name']}", _drawn(state.through(made)), _actions(made))


def _actions(made: Made) -> dict[str, str]:
    acted = {code: interventions[-1].action for code, interventions in made.on.items()}
    return acted | {code: one.action for (_, code), one in made.new.items()}


def _numbers(value: Any, schema: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[Number]:
    if isinstance(value, Mapping) and {"value", "unit", "n"} <= value.keys():
        name = path[-1] if path else ""
        yield Number(path, str(schema.get("title", name)), str(schema.get("x-cim-title-zh", "")), dict(value))
    elif isinstance(value, Mapping):
        properties = schema.get("properties", {})
        for name in [*(n for n in properties if n in value), *sorted(value.keys() - properties.keys())]:
            yield from _numbers(value[name], properties.get(name, {}), (*path, name))
    elif isinstance(value, Sequence) and not isinstance(value, str):
        items = schema.get("items", {})
        for position, item in enumerate(value):
            yield from _numbers(item, items, (*path, label_of(item, position)))
