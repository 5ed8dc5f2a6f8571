"""What a scenario is: a frozen dataclass whose fields are its inputs, and which names its outputs with units."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, replace
from datetime import date, datetime
from functools import cache
from typing import Any, ClassVar, Self, cast

import shapely
import sqlalchemy as sa
from shapely.geometry import mapping

from cim.db.engine import Database
from cim.errors import InvalidData
from cim.scenarios import _proposal, _rules
from cim.scenarios._recorded import read_proposal
from cim.scenarios._rules import RulePack
from cim.scenarios._seal import assess
from cim.scenarios._state import State
from cim.scenarios._why import WHY, Why

MEMBERSHIPS = ("clip", "point_on_surface", "intersects")
MOST_WHOLE = 2**53 - 1  # up to which every whole number is one in JSON, too
SHOWN = 200  # characters of a refused value that a message repeats

GEOJSON = {
    "type": "object",
    "required": ["type", "coordinates"],
    "properties": {"type": {"enum": ["Polygon", "MultiPolygon"]}, "coordinates": {"type": "array"}},
}
CRS84 = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"
# Of OGC API Processes 1.0 (bbox.yaml); heights may stand in a box, and say nothing of land.
BOX = {
    "type": "object",
    "format": "ogc-bbox",
    "title": "Box in degrees, longitude before latitude",
    "required": ["bbox"],
    "properties": {
        "bbox": {
            "type": "array",
            "items": {"type": "number"},
            "oneOf": [{"minItems": 4, "maxItems": 4}, {"minItems": 6, "maxItems": 6}],
        },
        "crs": {"enum": [CRS84, "http://www.opengis.net/def/crs/OGC/0/CRS84h"], "default": CRS84},
    },
    "additionalProperties": False,
}


def parameter(schema: Mapping[str, Any], title_zh: str, description: str, **default: Any) -> Any:
    """Declare an input: the JSON Schema of its value, its Chinese title, what it means, and `default=` if any."""
    return field(metadata={"schema": schema, "title_zh": title_zh, "description": description}, **default)


@dataclass(frozen=True, slots=True)
class Example:
    """A worked example: some objects (records by feature type, `geom` as WKT), inputs, and what must come out.

    `result` holds the parts of the result that were worked out by hand; the rest is left out.
    """

    text: str
    objects: Mapping[str, Sequence[Mapping[str, Any]]]
    inputs: Mapping[str, Any]
    result: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a scenario computed: its result, and its coverage: what was known, what was not, what was assumed.

    `why` opens every number of the result; it is called only where somebody asks.
    """

    result: dict[str, Any]
    coverage: dict[str, Any]
    why: Why


@dataclass(frozen=True, kw_only=True)
class Process(ABC):
    """Base of everything that is run by its id: its fields are its inputs; its module ends in SCENARIO.

    Class attributes: `name` (process id), `version` (raised whenever the same inputs give other bytes; a subclass with
    an earlier one keeps what was sealed by that verifiable), `title`,
    `title_zh`, `description`, `description_zh`, `reads` (feature types it reads), `queries` (those it runs, where not
    only the one of its name), `libraries` (Python packages whose version may change a result), `outputs` (JSON Schema
    of the result, with units), `rendered` (whether answers come in the formats of reports, too) and `example`.
    """

    name: ClassVar[str]
    version: ClassVar[str]
    title: ClassVar[str]
    title_zh: ClassVar[str]
    description: ClassVar[str]
    description_zh: ClassVar[str]
    reads: ClassVar[tuple[str, ...]]
    queries: ClassVar[tuple[str, ...]] = ()
    libraries: ClassVar[tuple[str, ...]] = ()
    outputs: ClassVar[Mapping[str, Any]]
    rendered: ClassVar[bool] = False
    example: ClassVar[Example]

    @abstractmethod
    def execute(self, database: Database, *, use_live: bool = True) -> dict[str, Any]:
        """Return the document: `result`, and `assessment` that names the state it holds for."""

    @classmethod
    def of_version(cls, version: str) -> type[Process]:
        """Return the process as it was in an earlier version, if that is kept; else as it is."""
        return next((earlier for earlier in cls.__subclasses__() if earlier.version == version), cls)

    @classmethod
    def document_schema(cls) -> dict[str, Any]:
        """Return the JSON Schema of the document that `execute` gives."""
        seal = {
            "type": "object",
            "title": "Seal",
            "x-cim-title-zh": "封签",
            "description": "State, rules, software and digests that the result can be recomputed from.",
        }
        return table({"result": dict(cls.outputs), "assessment": seal})

    @classmethod
    def input_schema(cls) -> dict[str, Any]:
        """Return the JSON Schema (2020-12) of the inputs as one object."""
        declared = {f.name: f for f in fields(cls)}
        return {
            "type": "object",
            "properties": {name: _input_schema(f) for name, f in declared.items()},
            "required": [name for name, f in declared.items() if _required(f)],
            "additionalProperties": False,
        }

    @classmethod
    def from_inputs(cls, inputs: Mapping[str, Any]) -> Self:
        """Check the inputs and return the process with them; None counts as not given.

        Dates and instants may come as Python objects, a scope as a shapely polygon, a division's code as a number.

        Raises
        ------
        InvalidData : an input is missing, unknown, or not of the declared form.
        """
        given = {name: plain(value) for name, value in inputs.items() if value is not None}
        if type(given.get("scope")) is int:
            given["scope"] = str(given["scope"])
        schema = cls.input_schema()
        unknown = sorted(given.keys() - schema["properties"].keys())
        if unknown:
            raise InvalidData(f"{cls.name} has no input {', '.join(unknown)}; it has {', '.join(schema['properties'])}")
        for name in schema["required"]:
            if name not in given:
                meant = next(f.metadata["description"] for f in fields(cls) if f.name == name)
                raise InvalidData(f"{cls.name} needs the input {name}: {meant}")
        outline = {name: _proposal.outlined(value) for name, value in given.items()}
        if not _validator(cls).is_valid(outline):
            from jsonschema.exceptions import best_match  # slow to load, and most commands compute nothing

            error = best_match(_validator(cls).iter_errors(given))
            raise InvalidData(f"{cls.name}: {_complaint(error, given)}")
        match given.get("scope"):
            case list(codes):
                given["scope"] = sorted(set(codes))
            case {"bbox": box, **kind} if "type" not in kind:
                if "scope_crs" in given:
                    raise InvalidData(f"{cls.name}: a box says itself which CRS it is in; leave scope_crs out")
                given["scope"] = _outline_of(box)
        return cls(**given)

    def inputs(self) -> dict[str, Any]:
        """Return the inputs by name, defaults included."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


@dataclass(frozen=True, kw_only=True)
class Scenario(Process):
    """Base of every scenario: a question about a piece of land in one state of the city, whose answer is sealed."""

    rendered: ClassVar[bool] = True

    scope: str | Sequence[str] | Mapping[str, Any] = parameter(
        {
            "oneOf": [
                {"type": "string", "minLength": 1, "title": "Code of a renewal district or a division"},
                {
                    "type": "array",
                    "minItems": 1,
                    "items": {"type": "string", "minLength": 1},
                    "title": "Codes of parcels, or of districts",
                },
                {**GEOJSON, "title": "GeoJSON polygon, in scope_crs"},
                BOX,
            ]
        },
        "范围",
        "The land it is about: a renewal district or division by code, several such or parcels by their codes, a "
        "GeoJSON polygon, or a box.",
    )
    scope_crs: str | int = parameter(
        {"type": ["string", "integer"]},
        "范围坐标系",
        "CRS of a GeoJSON scope, x before y. It is transformed to the storage CRS and snapped to 1 mm.",
        default="OGC:CRS84",
    )
    as_of: int | str | None = parameter(
        {"type": ["integer", "string"], "minimum": 0, "minLength": 1},
        "时点",
        "State of the city: a tree size, a checkpoint, or an RFC 3339 instant. Default: the current tree.",
        default=None,
    )
    reference_date: str | None = parameter(
        {"type": "string", "format": "date"},
        "基准日期",
        "Day on which ages and the validity of records are judged. Default: the UTC date of the last log entry.",
        default=None,
    )
    proposal: str | Mapping[str, Any] | None = parameter(
        _proposal.SCHEMA,
        "方案",
        "What is done and built: the city is read as it will be then. A recorded proposal by its code, on the state it "
        "is pinned to unless as_of names another; or interventions, on buildings, or on parcels for what is new. "
        "Default: the city as it is.",
        default=None,
    )
    rule_pack: str = parameter(
        {"type": "string", "minLength": 1},
        "规则包",
        "Name of the rule pack that supplies every threshold and convention.",
        default=_rules.DEFAULT,
    )
    membership: str = parameter(
        {"type": "string", "enum": list(MEMBERSHIPS)},
        "归属规则",
        "What belongs to the scope. clip: areas by the share inside, counts by the point on surface. "
        "point_on_surface: whole objects by that point. intersects: whole objects that touch it.",
        default="clip",
    )
    explain: Sequence[str] = parameter(
        {"type": "array", "items": {"type": "string", "pattern": "^/"}, "uniqueItems": True},
        "逐项说明",
        "Numbers to open into formula, rules, and the objects they add up: where each stands in the result, such as "
        "/gross/far. A place opens all beneath it, / opens all.",
        default=(),
    )

    @abstractmethod
    def compute(self, state: State) -> Outcome:
        """Compute the result on one state of the city; nothing but `state` and the inputs may enter it."""

    def types_read(self, pack: RulePack) -> Sequence[str]:
        """Return those of `reads` that these inputs need; for the seal to tell no more than was read."""
        del pack
        return self.reads

    def reach(self, pack: RulePack) -> Mapping[str, int]:
        """Return how far beyond the scope objects of a type are read too, in metres by feature type."""
        del pack
        return {}

    def compared(self) -> str | None:
        """Return the name of another rule pack that it judges by, beside its own."""
        return None

    def named(self) -> Mapping[str, Sequence[str]]:
        """Return the codes of objects that are read wherever they lie: the targets of the proposal, by type."""
        return _proposal.targets(self.proposal) if isinstance(self.proposal, Mapping) else {}

    def resolved(self, connection: sa.Connection, database: Database) -> Self:
        """Return it with a recorded proposal read out, and the state that one is pinned to: complete in itself."""
        if not isinstance(self.proposal, str):
            return self
        recorded = read_proposal(connection, database, self.proposal)
        as_of = recorded.base if self.as_of is None else self.as_of
        return replace(self, proposal=recorded.document, as_of=as_of)

    def execute(self, database: Database, *, use_live: bool = True) -> dict[str, Any]:
        """Compute on the state and the land that the inputs name, and seal."""
        return assess(database, self, use_live=use_live)

    @classmethod
    def document_schema(cls) -> dict[str, Any]:
        """Return the JSON Schema of the document: result, coverage, assessment."""
        result, assessment = super().document_schema()["properties"].values()
        coverage = {
            "type": "object",
            "title": "Coverage",
            "x-cim-title-zh": "数据覆盖",
            "description": "What was known, what was not, and what was assumed.",
        }
        opened = {**result, "properties": {**result["properties"], "why": WHY}}
        return table({"result": opened, "coverage": coverage, "assessment": assessment})


@cache
def _validator(process: type[Process]) -> Any:
    """Return what checks the inputs of a process; what each action of a proposal takes is checked when it is read."""
    from jsonschema import Draft202012Validator

    schema = _proposal.without_cases(process.input_schema())
    return Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)


def plain(value: Any) -> Any:
    """Return an input as JSON holds it: dates as text, tuples as lists, a shapely geometry as GeoJSON, 5.0 as 5."""
    match value:
        case datetime() | date():
            return value.isoformat()
        case shapely.Geometry():
            return plain(mapping(cast("Any", value)))
        case Mapping():
            return {str(name): plain(item) for name, item in value.items()}
        case list() | tuple() | set() | frozenset():
            items = [plain(item) for item in value]
            return sorted(items) if isinstance(value, (set, frozenset)) else items
        case float() if value.is_integer() and abs(value) <= MOST_WHOLE:  # JSON tells 5.0 and 5 apart no more than JCS
            return int(value)
        case _:
            return value


def table(schemas: Mapping[str, Any], **keywords: Any) -> dict[str, Any]:
    """Return the JSON Schema of an object with exactly these properties, all required."""
    return {
        "type": "object",
        "properties": dict(schemas),
        "required": list(schemas),
        "additionalProperties": False,
        **keywords,
    }


def _outline_of(box: Sequence[float]) -> dict[str, Any]:
    """Return a box as a GeoJSON polygon.

    Raises
    ------
    InvalidData : a minimum is not below its maximum.
    """
    half = len(box) // 2
    (west, south), (east, north) = box[:2], box[half : half + 2]
    if not (west < east and south < north):
        raise InvalidData(f"input scope: a box is west, south, east, north; got {', '.join(map(repr, box))}")
    return {
        "type": "Polygon",
        "coordinates": [[[west, south], [east, south], [east, north], [west, north], [west, south]]],
    }


def _required(declared: Any) -> bool:
    return declared.default is MISSING and declared.default_factory is MISSING


def _input_schema(declared: Any) -> dict[str, Any]:
    schema = dict(cast("Mapping[str, Any]", declared.metadata["schema"]))
    if not _required(declared) and declared.default is not None:
        schema["default"] = plain(declared.default)
    return schema


def _complaint(error: Any, given: Mapping[str, Any]) -> str:
    if not error.absolute_path:
        return str(error.message)
    name = error.absolute_path[0]
    received = repr(given[name])
    shown = received if len(received) <= SHOWN else received[:SHOWN] + " …"
    reason = str(error.message)
    return f"input {error.json_path.removeprefix('$.')}: {reason[:SHOWN]}; got {shown}"
