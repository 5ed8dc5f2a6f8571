"""District inventory 片区现状清单: what stands in a piece of the city, in total and as a cube."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import sqlalchemy as sa

from cim.scenarios import _indicator as indicator
from cim.scenarios._base import Example, Outcome, Scenario, parameter, table
from cim.scenarios._filter import codes_where
from cim.scenarios._indicator import SQUARE_CENTIMETRES, Indicator, Ratio, label_of, step
from cim.scenarios._rules import RulePack
from cim.scenarios._state import State
from cim.scenarios._stock import opened_stock, people_parameters, read_stock, rules_of, stock_parameters
from cim.scenarios._why import Opened, Sum, Term

DIMENSIONS = ("decade", "structure", "usage", "height_class", "danger", "tenure")

MEASURES = {
    "n": indicator.schema("{building}", "Buildings", "建筑数量"),
    "footprint": indicator.schema("m2", "Footprint", "占地面积"),
    "gfa_above": indicator.schema("m2", "Gross floor area above ground", "地上建筑面积"),
    "gfa_below": indicator.schema("m2", "Gross floor area below ground", "地下建筑面积"),
    "dwellings": indicator.schema("{dwelling}", "Dwellings", "住宅套数"),
    "households": indicator.schema("{household}", "Households", "户数"),
}
_VALUE = {"type": ["string", "integer", "null"], "description": "null: unknown"}
OUTPUTS = table(
    {
        **MEASURES,
        "age": indicator.schema("a", "Mean age, weighted by floor area above ground", "平均房龄", fraction=True),
        "old_communities": table(
            {
                "n": indicator.schema("{building}", "Buildings of old communities", "老旧小区建筑数量"),
                "gfa_above": indicator.schema("m2", "Floor area of old communities", "老旧小区地上建筑面积"),
            },
            title="Old communities",
            **{"x-cim-title-zh": "老旧小区"},
        ),
        "cube": {
            "title": "Stock",
            "x-cim-title-zh": "建筑存量",
            "type": "array",
            "description": "Cells by one dimension each, then by all dimensions of group_by together",
            "items": table(
                {
                    "by": {
                        "type": "object",
                        "propertyNames": {"enum": list(DIMENSIONS)},
                        "additionalProperties": _VALUE,
                    },
                    **MEASURES,
                }
            ),
        },
        "objects": {
            "title": "Buildings",
            "x-cim-title-zh": "建筑清单",
            "type": "array",
            "description": "The buildings, by code; empty unless list_objects",
            "items": table({"code": {"type": "string"}, **dict.fromkeys(DIMENSIONS, _VALUE), **MEASURES}),
        },
    }
)

LOT = "POLYGON((500000 4320000,500020 4320000,500020 4320030,500000 4320030,500000 4320000))"
HOUSE = "POLYGON((500005 4320005,500015 4320005,500015 4320017,500005 4320017,500005 4320005))"
EXAMPLE = Example(
    text=(
        "On a lot of 20 × 30 m stands a brick house of 10 × 12 m with 3 storeys of 1985, 360 m² and 6 dwellings. "
        "On 2026-06-30 its stock is 1 building, 120 m² footprint, 360 m² floor area, 41 years old, and it is an old "
        "community 老旧小区."
    ),
    objects={
        "parcel": [{"code": "130629001001GB00001", "tenure": "state_owned", "geom": LOT}],
        "building": [
            {
                "code": "130629001001GB00001F00010000",
                "parcel_code": "130629001001GB00001",
                "usage": "residential",
                "structure": "mixed",
                "status": "in_use",
                "year_built": 1985,
                "storeys_above": 3,
                "storeys_below": 0,
                "gross_floor_area": 360.0,
                "dwellings": 6,
                "households": 5,
                "danger_grade": "B",
                "geom": HOUSE,
            }
        ],
    },
    inputs={"scope": ["130629001001GB00001"], "reference_date": "2026-06-30"},
    result={
        "n": {"value": 1, "unit": "{building}", "n": 1, "n_known": 1, "low": 1, "high": 1},
        "footprint": {"value": 120.0, "unit": "m2", "n": 1, "n_known": 1, "low": 120.0, "high": 120.0},
        "gfa_above": {"value": 360.0, "unit": "m2"},
        "gfa_below": {"value": 0.0, "unit": "m2", "n_known": 1},
        "dwellings": {"value": 6},
        "households": {"value": 5},
        "age": {"value": 41.0, "unit": "a", "num": 41 * 3_600_000, "den": 3_600_000},
        "old_communities": {"n": {"value": 1}, "gfa_above": {"value": 360.0}},
    },
)


@dataclass(frozen=True, kw_only=True)
class DistrictInventory(Scenario):
    """Counts, areas, dwellings, households and age of the buildings of a scope."""

    name: ClassVar[str] = "district-inventory"
    version: ClassVar[str] = "1.3.0"
    title: ClassVar[str] = "District inventory"
    title_zh: ClassVar[str] = "片区现状清单"
    description: ClassVar[str] = (
        "The existing building stock of a district: number, footprint, floor area above and below ground, dwellings, "
        "households, mean age weighted by floor area, and old communities; in total, by decade, structure, use, "
        "height class, danger grade and tenure of the parcel, and crossed. A building without geometry stands where "
        "its parcel lies."
    )
    description_zh: ClassVar[str] = (
        "片区内现状建筑的数量、占地面积、地上与地下建筑面积、住宅套数、户数、按建筑面积加权的平均房龄和老旧小区,"
        "按建成年代、结构、用途、层数类别、危险等级和宗地权属分组与交叉统计。"
    )
    reads: ClassVar[tuple[str, ...]] = ("building", "parcel")
    queries: ClassVar[tuple[str, ...]] = ("district_inventory", "building_stock")
    outputs: ClassVar[Mapping[str, Any]] = OUTPUTS
    example: ClassVar[Example] = EXAMPLE

    group_by: Sequence[str] = parameter(
        {"type": "array", "items": {"type": "string", "enum": list(DIMENSIONS)}, "uniqueItems": True},
        "分组维度",
        "Dimensions to cross; with fewer than two there is nothing to cross. Each dimension alone is always given.",
        default=("decade", "structure"),
    )
    filter: str | None = parameter(
        {"type": "string", "minLength": 1},
        "筛选条件",
        "CQL2 text about buildings, such as \"structure = 'brick_wood' AND storeys_above <= 3\".",
        default=None,
    )
    list_objects: bool = parameter(
        {"type": "boolean"}, "列出建筑", "Whether to list every building with its share.", default=False
    )

    def compute(self, state: State) -> Outcome:
        """Read the stock once and shape it."""
        codes = None if self.filter is None else codes_where(state, "building", self.filter)
        parameters = _parameters(state.pack, state.reference_date.year)
        rows = state.rows(
            "district_inventory",
            **parameters,
            membership=self.membership,
            group_by=list(self.group_by),
            list_objects=self.list_objects,
            codes=codes,
        )
        groups: defaultdict[str, list[sa.Row[Any]]] = defaultdict(list)
        for row in rows:
            groups[row.grouped].append(row)
        (total,) = groups["total"]
        labels = state.pack.limit("residential_height_classes", "storey_classes")["labels"]
        result = {
            **_measures(total),
            "age": _age(groups["built"], state.reference_date.year, state.pack.limit("unknown_year_built")),
            "old_communities": {
                "n": indicator.count("{building}", total.old, total.old_most, n=total.n, n_known=total.old_known),
                "gfa_above": indicator.area(
                    total.old_gfa, total.old_gfa_most, n=total.members, n_known=total.old_gfa_known
                ),
            },
            "cube": list(self._cells(groups, labels)),
            "objects": [
                {"code": row.code, **_values(row, DIMENSIONS, labels), **_measures(row)} for row in groups["object"]
            ],
        }
        coverage = {"scope": state.described(), "building": _coverage(total, groups)}
        return Outcome(result, coverage, lambda: self._why(state, result, codes))

    def _why(self, state: State, result: Mapping[str, Any], codes: Sequence[str] | None) -> Iterable[Opened]:
        """Open every number into the buildings of it; a cell of the cube into those of its values."""
        stock = read_stock(state, self.membership)
        rows = [row for row in stock.values() if codes is None or row.code in codes]
        pack, year = state.pack, state.reference_date.year
        yield from opened_stock("", pack, self.membership, rows)
        yield _opened_age(pack, year, rows)
        yield from _opened_old(pack, year, rows)
        values = {row.code: _dimensions(pack, year, row) for row in rows}
        for cell in result["cube"]:
            inside = [row for row in rows if cell["by"].items() <= values[row.code].items()]
            yield from opened_stock(step("/cube", label_of(cell, 0)), pack, self.membership, inside)
        for entry in result["objects"]:
            at = step("/objects", entry["code"])
            yield from opened_stock(at, pack, self.membership, [stock[entry["code"]]])

    def _cells(self, groups: Mapping[str, list[sa.Row[Any]]], labels: Sequence[str]) -> Iterable[dict[str, Any]]:
        for dimension in DIMENSIONS:
            for row in groups[dimension]:
                yield {"by": _values(row, (dimension,), labels), **_measures(row)}
        if len(self.group_by) > 1:
            chosen = [dimension for dimension in DIMENSIONS if dimension in self.group_by]
            for row in groups["cross"]:
                yield {"by": _values(row, chosen, labels), **_measures(row)}


def _parameters(pack: RulePack, year: int) -> dict[str, Any]:
    bins, old = pack.limit("year_bins"), pack.limit("old_community")
    return (
        stock_parameters(pack)
        | people_parameters(pack)
        | {
            "reference_year": year,
            "decade_origin": bins["origin"],
            "decade_years": bins["years"],
            "class_starts": pack.limit("residential_height_classes", "storey_classes")["from"],
            "old_year": old["year"],
            "old_usage": old["usage"],
        }
    )


def _measures(row: sa.Row[Any]) -> dict[str, Indicator]:
    return {
        "n": indicator.count("{building}", row.n, 0, n=row.n, n_known=row.n),
        "footprint": indicator.area(row.footprint, row.footprint_most, n=row.members, n_known=row.footprint_known),
        "gfa_above": indicator.area(row.gfa_above, row.gfa_above_most, n=row.members, n_known=row.gfa_above_known),
        "gfa_below": indicator.area(row.gfa_below, row.gfa_below_most, n=row.members, n_known=row.gfa_below_known),
        "dwellings": indicator.count(
            "{dwelling}", row.dwellings, row.dwellings_most, n=row.n, n_known=row.dwellings_known
        ),
        "households": indicator.count(
            "{household}", row.households, row.households_most, n=row.n, n_known=row.households_known
        ),
    }


def _values(row: sa.Row[Any], dimensions: Iterable[str], labels: Sequence[str]) -> dict[str, Any]:
    """Return the row's value per dimension; a height class by its label, None where it is unknown."""
    values = {dimension: getattr(row, dimension) for dimension in dimensions}
    if values.get("height_class") is not None:
        # width_bucket counts from 1; 0 would be below the first class, which starts at no storeys at all.
        values["height_class"] = labels[values["height_class"] - 1]
    return values


def _age(rows: Sequence[sa.Row[Any]], year: int, oldest: int) -> Indicator:
    """Return Σ(year - year built) · floor area ÷ Σ floor area; rows are sums of floor area by year built.

    Unknown years lie between `oldest`, or the oldest building known where that is older, and `year`; an unknown
    floor area weighs anything from nothing to its largest value.
    """
    known = [row for row in rows if row.built is not None]
    unknown = [row for row in rows if row.built is None]
    greatest_age = year - min([oldest, *(row.built for row in known)])
    value = _weigh((year - row.built, row.gfa_above) for row in known)

    def bound(age: int, *, highest: bool) -> Ratio:
        extra = _weigh((age, row.gfa_above) for row in unknown)
        optional = [((year - row.built) * row.gfa_above_most, row.gfa_above_most) for row in known]
        optional += [(age * row.gfa_above_most, row.gfa_above_most) for row in unknown]
        fixed = value[0] + extra[0], value[1] + extra[1]
        return indicator.extreme_mean(fixed, optional, highest=highest)

    return indicator.ratio(
        "a",
        value,
        [bound(0, highest=False), bound(greatest_age, highest=True)],
        n=sum(row.members for row in rows),
        n_known=sum(row.gfa_above_known for row in known),
    )


def _weigh(pairs: Iterable[tuple[int, int]]) -> Ratio:
    weighted = list(pairs)
    return sum(value * weight for value, weight in weighted), sum(weight for _, weight in weighted)


def _coverage(total: sa.Row[Any], groups: Mapping[str, Sequence[sa.Row[Any]]]) -> dict[str, Any]:
    """Count the buildings by what is unknown of them; those that touch the scope, and those that count in it."""
    unknown = {
        dimension: sum(row.members for row in groups[dimension] if getattr(row, dimension) is None)
        for dimension in DIMENSIONS
    }
    return {
        "members": total.members,
        "counted": total.n,
        "without_geometry": total.without_geometry,
        "without_status": total.without_status,
        "unknown": {
            **unknown,
            "gross_floor_area": total.members - total.gfa_above_known,
            "dwellings": total.n - total.dwellings_known,
            "households": total.n - total.households_known,
        },
    }


def _dimensions(pack: RulePack, year: int, row: sa.Row[Any]) -> dict[str, Any]:
    """Return what the cube counts a building by, as its cells have it."""
    bins, classes = pack.limit("year_bins"), pack.limit("residential_height_classes", "storey_classes")
    built = _built(year, row)
    storeys = row.storeys_above
    return {
        "decade": None if built is None else built - (built - bins["origin"]) % bins["years"],
        "structure": row.structure,
        "usage": row.usage,
        "height_class": None if storeys is None else classes["labels"][bisect_right(classes["from"], storeys) - 1],
        "danger": row.danger_grade,
        "tenure": row.tenure,
    }


def _built(year: int, row: sa.Row[Any]) -> int | None:
    """Return the year a building was built in; one to come is no year known."""
    return row.year_built if row.year_built is not None and row.year_built <= year else None


def _opened_age(pack: RulePack, year: int, rows: Sequence[sa.Row[Any]]) -> Opened:
    aged, areas = [], []
    for row in rows:
        built = _built(year, row)
        known = built is not None and row.gfa is not None
        area = row.gfa_most if row.gfa is None else row.gfa
        most = (year - (pack.limit("unknown_year_built") if built is None else built)) * area
        aged.append(Term("building", row.code, row.leaf, (year - (built or 0)) * row.gfa if known else None, most))
        areas.append(Term("building", row.code, row.leaf, row.gfa if known else None, area))
    num = Sum("age × gross_floor_area", "a.m2", tuple(aged), SQUARE_CENTIMETRES)
    formula = "Σ (year of the reference date - year_built) × gross_floor_area ÷ Σ gross_floor_area"
    rules = rules_of(pack, "existing_building", "unknown_year_built", "unknown_floor_area")
    return Opened("/age", formula, rules, num, Sum("gross_floor_area", "m2", tuple(areas)))


def _opened_old(pack: RulePack, year: int, rows: Sequence[sa.Row[Any]]) -> Iterable[Opened]:
    old = pack.limit("old_community")
    counts, areas = [], []
    for row in rows:
        built = _built(year, row)
        aged = None if built is None else built <= old["year"]
        facts = aged, None if row.usage is None else row.usage in old["usage"]
        if False in facts:
            continue
        sure = None not in facts
        if row.counted:
            counts.append(Term("building", row.code, row.leaf, 1 if sure else None, 1))
        most = row.gfa_most if row.gfa is None else row.gfa
        areas.append(Term("building", row.code, row.leaf, row.gfa if sure else None, most))
    rules = rules_of(pack, "old_community", "existing_building", "unknown_floor_area")
    formula = rules[0].formula
    yield Opened("/old_communities/n", formula, rules, Sum("old communities", "{building}", tuple(counts)))
    yield Opened("/old_communities/gfa_above", formula, rules, Sum("gross_floor_area", "m2", tuple(areas)))


SCENARIO = DistrictInventory
