"""The tables of a report: the numbers of a result with their titles, in both languages."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cim.scenarios._indicator import label_of
from cim.scenarios._report._material import Material, Number

KEEP = "keep"  # the action of what is left as it is
LONGEST = 30  # entries of a list that a page shows; the workbook has all
UNITS = {
    "m2": "m²",
    "m2/m2": "",
    "m/m2": "m/m²",
    "m": "m",
    "a": "年 a",
    "%": "%",
    "1": "",
    "{building}": "栋",
    "{dwelling}": "套",
    "{household}": "户",
    "{storey}": "层",
    "{person}": "人",
    "CNY": "元",
    "{offence}": "处",
    "{space}": "个",
}
LABELS = ("by", "code", "rule", "kind", "name", "id", "class", "criterion")  # what stands at the head of a row already
FRACTIONS = {"m2": 1, "a": 1, "%": 1, "m2/m2": 3, "m/m2": 4, "{storey}": 2}  # decimals of what is no count
# Words of lists that have no codelist and no title of their own.
WORDS = {
    "rank": "名次 rank",
    "leaf": "日志序号 leaf",
    "p_top_k": "前列概率 P(top k)",
    "score": "得分 score",
    "ring": "半径 ring (m)",
    "minutes": "步行 minutes",
    "facilities": "设施数 facilities",
    "action": "措施 action",
    "phase": "分期 phase",
    "benefit": "消除需求 benefit (m²)",
    "cost": "费用 cost (元)",
    "class": "权属 tenure",
    "type": "类型 type",
    "property": "属性 property",
    "least": "下限 least",
    "most": "上限 most",
    "swing": "影响 swing",
    "criterion": "指标 criterion",
    "weight": "权重 weight",
    "text": "说明 text",
    "text_zh": "中文说明",
    "formula": "公式 formula",
    "confidence": "可信度 confidence",
    "cluster": "片区 cluster",
    "buildings": "建筑数 buildings",
    "by_phase": "分期 By phase",
    "by_tenure": "按权属 By tenure",
    "criteria": "评价指标 Criteria",
    "ranking": "优选排序 Ranking",
    "clusters": "成片 Clusters",
    "owner": "自有 owner",
    "tenant": "租赁 tenant",
    "unknown": "未知 unknown",
    "contribution": "贡献 contribution",
}
DIMENSIONS = {
    "decade": "建成年代 decade",
    "structure": "结构 structure",
    "usage": "用途 use",
    "height_class": "层数类别 storeys",
    "danger": "危险等级 danger",
    "tenure": "权属 tenure",
}


@dataclass(frozen=True, slots=True)
class Cell:
    """A number as a page shows it, and beneath it what the unknown leaves open."""

    value: str
    note: str = ""
    words: bool = False


@dataclass(frozen=True, slots=True)
class Column:
    """The head of a column; words stand to the left, numbers to the right."""

    title: str
    words: bool = False


Rows = Sequence[tuple[str, Sequence[Cell]]]
# Entries of a list with their labels, by the dimensions they count by.
Groups = Mapping[tuple[str, ...], Sequence[tuple[str, Mapping[str, Any]]]]


@dataclass(frozen=True, slots=True)
class Table:
    """A table: its title, its columns, and groups of rows of a label and cells; a group may have a title."""

    title: str
    columns: Sequence[Column]
    groups: Sequence[tuple[str, Rows]]
    note: str = ""


def _comparison(proposals: Sequence[Mapping[str, Any]], fields: Mapping[str, Any]) -> Table:
    """Return what each proposal makes of every indicator: as it is, then after and change of each."""
    heads = ["现状 before"] + [text for one in proposals for text in (str(one["name"]), "Δ")]
    rows = []
    for part in ("balance", "ratios"):
        for name in proposals[0][part]:
            schema = fields[part]["properties"][name]
            schema = schema if "title" in schema else schema["properties"]["before"]
            cells = [cell(proposals[0][part][name]["before"])]
            for one in proposals:
                after, change = one[part][name]["after"], one[part][name]["change"]
                shown = cell(change) if isinstance(change, Mapping) else Cell(figure(change, after["unit"]))
                cells += [cell(after), shown]
            rows.append((" ".join(filter(None, [schema.get("x-cim-title-zh"), schema["title"]])), cells))
    return Table("方案比较 Comparison", [Column(head) for head in heads], [("", rows)])


def tables(material: Material) -> Iterator[Table]:
    """Yield the tables of a result: its own numbers, parts beside each other, then every list."""
    lists = {name for name, value in material.result.items() if isinstance(value, list)}
    groups: defaultdict[tuple[str, ...], list[Number]] = defaultdict(list)
    for number in material.numbers():
        if number.path[0] not in lists:
            groups[number.path[:-1]].append(number)
    own = groups.pop((), [])
    if own:
        rows = list(zip(_titles(own), ([cell(n.indicator)] for n in own), strict=True))
        yield Table("指标 Indicators", [Column("数值 value")], [("", rows)])
    if groups:
        yield _beside(material, groups)
    if proposals := material.result.get("proposals"):
        yield _comparison(proposals, material.schema["properties"]["proposals"]["items"]["properties"])
    yield from _surveys(material)
    for name in material.result:
        if name in lists and name not in ("rules", "proposals", "why"):
            yield from (table for table in _listed(material, name) if table.columns)
    yield from _opened(material)


def _opened(material: Material) -> Iterator[Table]:
    """Yield every number opened: what each object contributes to it."""
    for line in material.result.get("why", ()):
        groups: list[tuple[str, Rows]] = []
        for side in (line["num"], line["den"]):
            if side is not None:
                unit = UNITS.get(side["measured_in"], side["measured_in"])
                shown = [
                    (str(t["code"]), [Cell(str(t["type"]), words=True), Cell(figure(t["leaf"])), _share(t)])
                    for t in side["terms"][:LONGEST]
                ]
                groups.append((f"{side['title']} ({unit})" if unit else side["title"], shown))
        heads = [Column("类型 type", words=True), Column("日志序号 leaf"), Column("贡献 contribution")]
        longest = max(len(side["terms"]) for side in (line["num"], line["den"] or line["num"]))
        more = f" · 共 {longest} 项，此处列前 {LONGEST} 项 first {LONGEST} of {longest}" if longest > LONGEST else ""
        clauses = "；".join(f"{rule['id']} {rule['clause']} {rule['source']}".strip() for rule in line["rules"])
        yield Table(f"数值说明 Why {line['at']}", heads, groups, f"{line['formula']}{more} · {clauses}")


def _share(term: Mapping[str, Any]) -> Cell:
    value = term["contribution"]
    return Cell("未知" if value is None else figure(value))


def _beside(material: Material, groups: Mapping[tuple[str, ...], Sequence[Number]]) -> Table:
    titles: dict[str, str] = {}
    cells: defaultdict[str, dict[tuple[str, ...], Cell]] = defaultdict(dict)
    for path, numbers in groups.items():
        for number, title in zip(numbers, _titles(numbers), strict=True):
            titles[number.path[-1]] = title
            cells[number.path[-1]][path] = cell(number.indicator)
    rows = [(title, [cells[name].get(path, Cell("")) for path in groups]) for name, title in titles.items()]
    return Table("分项指标 By part", [Column(_part_title(material, path)) for path in groups], [("", rows)])


def _part_title(material: Material, path: Sequence[str]) -> str:
    schema: Mapping[str, Any] = material.schema
    for name in path:
        schema = schema.get("properties", {}).get(name, {})
    title, title_zh = schema.get("title"), schema.get("x-cim-title-zh")
    return " ".join(filter(None, [title_zh, title])) or " / ".join(path)


def _listed(material: Material, name: str) -> Iterator[Table]:
    """Yield a list as a table; what counts by dimension is grouped by them, and crossed a table of its own."""
    items = [item for item in material.result[name] if isinstance(item, Mapping)]
    items.sort(key=lambda item: item.get("action") == KEEP)  # what is done comes first
    schema = material.schema.get("properties", {}).get(name, {})
    own = " ".join(filter(None, [schema.get("x-cim-title-zh"), schema.get("title")]))
    title = own or WORDS.get(name) or name.replace("_", " ")
    fields = schema.get("items", {}).get("properties", {})
    split: defaultdict[tuple[str, ...], list[tuple[str, Mapping[str, Any]]]] = defaultdict(list)
    for position, item in enumerate(items):
        by = item.get("by")
        if isinstance(by, Mapping):
            label = " · ".join(material.label(dimension, value) for dimension, value in by.items())
            split[tuple(by)].append((label, item))
        else:
            label = _label(material, item, position)
            split[()].append(("" if label == str(position) else label, item))
    single: Groups = {by: entries for by, entries in split.items() if len(by) == 1}
    if single:
        yield _table(material, f"{title} · 按维度 by dimension", fields, single)
    for by, entries in split.items():
        if by not in single:
            crossed = " × ".join(DIMENSIONS.get(dimension, dimension) for dimension in by)
            yield _table(material, " · ".join(filter(None, [title, crossed])), fields, {(): entries})


def _label(material: Material, item: Mapping[str, Any], position: int) -> str:
    """Return what stands at the head of an entry's row."""
    for name in ("kind", "criterion"):
        if isinstance(item.get(name), str):
            return material.label(name, item[name])
    if isinstance(item.get("class"), str):
        return str(WORDS.get(item["class"], item["class"]))
    return label_of(item, position)


def _table(
    material: Material,
    title: str,
    fields: Mapping[str, Any],
    groups: Groups,
) -> Table:
    """Return entries as rows: words first, then numbers; not more than LONGEST a group."""
    every = [item for entries in groups.values() for _, item in entries]
    numbers = [name for name in fields if any(_is_number(item.get(name)) for item in every)]
    plain = [name for name in fields if name not in numbers and name not in LABELS]
    plain = [name for name in plain if any(isinstance(item.get(name), str | int | float) for item in every)]
    words = {name for name in plain if any(isinstance(item.get(name), str) for item in every)}

    def shown(name: str, item: Mapping[str, Any]) -> Cell:
        value = item.get(name)
        if name in words or name in DIMENSIONS:
            return Cell(material.label(name, value, short=True), words=True)
        return Cell("是" if value is True else "否" if value is False else figure(value))

    rows = [
        (
            " ".join(DIMENSIONS.get(dimension, dimension) for dimension in by),
            [
                (
                    label,
                    [shown(name, item) for name in plain]
                    + [
                        cell(item[name], with_unit=False) if _is_number(item.get(name)) else Cell("–")
                        for name in numbers
                    ],
                )
                for label, item in entries[:LONGEST]
            ],
        )
        for by, entries in groups.items()
    ]
    longest = max((len(entries) for entries in groups.values()), default=0)
    note = f"共 {longest} 项，此处列前 {LONGEST} 项 · first {LONGEST} of {longest}" if longest > LONGEST else ""
    columns = [
        Column(DIMENSIONS.get(name) or _field(name, fields[name]), name in words or name in DIMENSIONS)
        for name in plain
    ]
    return Table(title, columns + [Column(_field(name, fields[name])) for name in numbers], rows, note)


def _surveys(material: Material) -> Iterator[Table]:
    """Yield what to survey for each rule, and for the first of a ranking, that nobody can decide yet."""
    rules = material.result.get("rules", ())
    top = material.result.get("top_k") or {}
    found = [(rule["rule"], rule) for rule in rules if rule.get("survey")]
    found += [(f"前 {top['k']} 名 first {top['k']}", top)] if isinstance(top, Mapping) and top.get("survey") else []
    for name, one in found:
        fields: dict[str, Any] = {key: {} for key in ("type", "property", "least", "most", "swing")}
        groups: Groups = {(): [(item["code"], item) for item in one["survey"]]}
        chance = f"调查后可判定的概率 decided in {one['chance']:.0%} of draws"
        yield replace(_table(material, f"待核查对象 To survey · {name}", fields, groups), note=chance)


def _is_number(value: Any) -> bool:
    return isinstance(value, Mapping) and "value" in value and "unit" in value


def _field(name: str, schema: Mapping[str, Any]) -> str:
    unit = UNITS.get(schema.get("x-ogc-unit", ""), schema.get("x-ogc-unit", ""))
    title = schema.get("x-cim-title-zh") or schema.get("title") or WORDS.get(name) or name.replace("_", " ")
    if title == WORDS.get(name):
        return str(title)
    return f"{title} ({unit})" if unit else str(title)


def _titles(numbers: Sequence[Number]) -> list[str]:
    """Return the titles of some numbers; where two have the same, their names tell them apart."""
    titles = [" ".join(filter(None, [number.title_zh, number.title])) for number in numbers]
    return [
        f"{title} · {number.path[-1].replace('_', ' ')}" if titles.count(title) > 1 else title
        for title, number in zip(titles, numbers, strict=True)
    ]


def cell(indicator: Mapping[str, Any], *, with_unit: bool = True) -> Cell:
    """Return how a page shows an indicator: its value, and where something is unknown the interval and the count."""
    unit = UNITS.get(indicator["unit"], indicator["unit"]) if with_unit else ""
    value = figure(indicator["value"], indicator["unit"])
    if indicator["value"] is None:
        value = "无定义" if indicator.get("status") == "undefined" else "未知"
        if indicator.get("suppressed"):
            return Cell("不公布", "户数过少 too few to be told")
    elif unit:
        value = f"{value} {unit}"
    if indicator["n_known"] >= indicator["n"]:
        return Cell(value)
    low, high = (figure(indicator[end], indicator["unit"]) for end in ("low", "high"))
    return Cell(value, f"{low}–{high} · 已知 {indicator['n_known']}/{indicator['n']}")


def figure(value: float | int | None, unit: str = "") -> str:
    """Return a number with thousands separated and no more decimals than its unit is read with."""
    if value is None:
        return "–"
    if isinstance(value, int) and unit not in FRACTIONS:
        return f"{value:,}"
    decimals = 0 if unit == "m2" and abs(value) >= 1000 else FRACTIONS.get(unit, 3)
    return f"{value:,.{decimals}f}"
