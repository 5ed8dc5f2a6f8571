"""The report as a page (HTML) and as a document (PDF, A4)."""

from __future__ import annotations

import subprocess
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import which
from typing import Any

from cim.errors import CimError
from cim.scenarios._indicator import label_of
from cim.scenarios._report import _figures as figures
from cim.scenarios._report._material import Material, Number

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
}
LABELS = ("by", "code", "rule", "kind", "name", "id")  # what stands at the head of a row already
FRACTIONS = {"m2": 1, "a": 1, "%": 1, "m2/m2": 3, "m/m2": 4, "{storey}": 2}  # decimals of what is no count
DIMENSIONS = {
    "decade": "建成年代 decade",
    "structure": "结构 structure",
    "usage": "用途 use",
    "height_class": "层数类别 storeys",
    "danger": "危险等级 danger",
    "tenure": "权属 tenure",
}
LIGHTS = {
    "pass": ("#2e9e6b", "符合 pass"),
    "fail": ("#c0392b", "不符合 fail"),
    "not_assessed": ("#e0a800", "无法判定 not assessed"),
    "exempt": ("#5d8aa8", "豁免 exempt"),
    "undefined": ("#9aa5b1", "不适用 undefined"),
}
FONTS = (
    "no font on this machine has Chinese characters, which would become boxes; install one, such as Debian's "
    "fonts-noto-cjk, which tools/setup.sh does, or take --format html"
)


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


def html(materials: Sequence[Material]) -> bytes:
    """Return the report as one HTML file that needs no other."""
    import jinja2  # slow to load, as is all that only reports need

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")), autoescape=True, trim_blocks=True
    )
    first = materials[0]
    proposed = next((material for material in materials if material.branches), first)
    return (
        environment.get_template("report.html")
        .render(
            first=first,
            css=(Path(__file__).with_name("templates") / "report.css").read_text(encoding="utf-8"),
            parts=[_part(material) for material in materials],
            plan=figures.plan(first),
            massings=figures.massings(proposed),
            actions=figures.action_keys(proposed),
            qr=_qr(first.seal),
        )
        .encode()
    )


def pdf(materials: Sequence[Material]) -> bytes:
    """Return the report as PDF, A4, with root and QR on every page.

    Raises
    ------
    CimError : the libraries it is set with are missing, or a font with Chinese characters is.
    """
    _check_fonts()
    try:
        import weasyprint
    except OSError as error:
        raise CimError(
            f"a PDF needs Pango, which is missing: {error}; run tools/setup.sh, or take --format html"
        ) from error
    return bytes(weasyprint.HTML(string=html(materials).decode()).write_pdf())


def _check_fonts() -> None:
    lister = which("fc-list")
    if lister is None:
        raise CimError(FONTS)
    found = subprocess.run([lister, ":lang=zh-cn", "family"], capture_output=True, text=True, check=False)  # noqa: S603
    if not found.stdout.strip():
        raise CimError(FONTS)


def _part(material: Material) -> dict[str, Any]:
    points, arrows = list(_densities(material.result)), list(_moves(material.result))
    return {
        "material": material,
        "tables": list(tables(material)),
        "rules": [_rule(rule) for rule in material.result.get("rules", [])],
        "spacemate": figures.spacemate(points, arrows) if points else None,
        "qr": _qr(material.seal),
        "seal": list(seal_rows(material.seal)),
    }


def _densities(result: Mapping[str, Any]) -> Iterator[tuple[str, float, float, bool]]:
    """Yield label, GSI, FSI and whether it is a whole, of everything in a result that has both."""
    names = {"net": "净 net", "gross": "毛 gross"}
    for position, proposal in enumerate(result.get("proposals", ())):
        ends = ("before", "after") if position == 0 else ("after",)
        for end in ends:
            gsi, far = (proposal["ratios"][name][end]["value"] for name in ("gsi", "far"))
            if gsi is not None and far is not None:
                yield "现状 before" if end == "before" else str(proposal["name"]), gsi, far, True
    wholes = [(names.get(name, name), one, True) for name, one in result.items() if isinstance(one, Mapping)]
    listed = [("", one, False) for items in result.values() if isinstance(items, list) for one in items]
    for label, one, whole in wholes + listed:
        if isinstance(one, Mapping) and {"gsi", "far"} <= one.keys():
            gsi, far = one["gsi"]["value"], one["far"]["value"]
            if gsi is not None and far is not None:
                yield label, gsi, far, whole


def _moves(result: Mapping[str, Any]) -> Iterator[tuple[tuple[float, float], tuple[float, float]]]:
    """Yield where each compared proposal moves the whole: GSI and FSI before and after."""
    for proposal in result.get("proposals", ()):
        ends = [tuple(proposal["ratios"][name][end]["value"] for name in ("gsi", "far")) for end in ("before", "after")]
        if all(value is not None for end in ends for value in end):
            yield (ends[0][0], ends[0][1]), (ends[1][0], ends[1][1])


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
        if name in lists and name not in ("rules", "proposals"):
            yield from (table for table in _listed(material, name) if table.columns)


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
    schema = material.schema.get("properties", {}).get(name, {})
    title = " ".join(filter(None, [schema.get("x-cim-title-zh"), schema.get("title") or name.replace("_", " ")]))
    fields = schema.get("items", {}).get("properties", {})
    split: defaultdict[tuple[str, ...], list[tuple[str, Mapping[str, Any]]]] = defaultdict(list)
    for position, item in enumerate(items):
        by = item.get("by")
        if isinstance(by, Mapping):
            label = " · ".join(material.label(dimension, value) for dimension, value in by.items())
            split[tuple(by)].append((label, item))
        else:
            label = label_of(item, position)
            split[()].append(("" if label == str(position) else label, item))
    single: Groups = {by: entries for by, entries in split.items() if len(by) == 1}
    if single:
        yield _table(material, f"{title} · 按维度 by dimension", fields, single)
    for by, entries in split.items():
        if by not in single:
            crossed = " × ".join(DIMENSIONS.get(dimension, dimension) for dimension in by)
            yield _table(material, " · ".join(filter(None, [title, crossed])), fields, {(): entries})


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
        fields: dict[str, Any] = {key: {} for key in ("property", "least", "most", "swing")}
        groups: Groups = {(): [(item["code"], item) for item in one["survey"]]}
        chance = f"调查后可判定的概率 decided in {one['chance']:.0%} of draws"
        yield replace(_table(material, f"待核查建筑 To survey · {name}", fields, groups), note=chance)


def _is_number(value: Any) -> bool:
    return isinstance(value, Mapping) and "value" in value and "unit" in value


def _field(name: str, schema: Mapping[str, Any]) -> str:
    unit = UNITS.get(schema.get("x-ogc-unit", ""), schema.get("x-ogc-unit", ""))
    title = schema.get("x-cim-title-zh") or schema.get("title") or name.replace("_", " ")
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


def _rule(rule: Mapping[str, Any]) -> dict[str, Any]:
    value = rule.get("value")
    indicator = value if isinstance(value, Mapping) else {}
    colour, label = LIGHTS.get(rule["status"], LIGHTS["undefined"])
    unit = indicator.get("unit", "")
    return {
        **rule,
        "colour": colour,
        "label": label,
        "shown": cell(indicator) if indicator else Cell("–"),
        "limit_shown": figure(rule.get("limit"), unit),
        "margin_shown": figure(rule.get("margin"), unit),
        "gauge": figures.gauge(indicator.get("value"), indicator.get("low"), indicator.get("high"), rule.get("limit")),
    }


def seal_rows(seal: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield what a seal says: name in both languages, and the value as text."""
    process, pack, read = seal["process"], seal["rule_pack"], seal["read_set"]
    yield "日志 log", "origin", str(seal["origin"])
    yield "树大小 tree size", "tree_size", str(seal["tree_size"])
    yield "树根 root", "root", str(seal["root"])
    yield "状态时间 state of", "as_of", str(seal["as_of"])
    yield "基准日期 reference date", "reference_date", str(seal["reference_date"])
    yield "方案 proposal", "proposal_root", str(seal.get("proposal_root") or "–")
    yield "规则包 rule pack", "rule_pack", f"{pack['name']} {pack['version']}, {pack['sha256']}"
    yield "程序 process", "process", f"{process['id']} {process['version']}"
    yield "输入摘要 inputs", "inputs_hash", str(seal["inputs_hash"])
    yield "所读记录 records read", "read_set", f"{read['objects']}, {read['sha256']}"
    yield "软件 software", "software", ", ".join(f"{name} {value}" for name, value in sorted(seal["software"].items()))
    yield "结果摘要 result", "result_hash", str(seal["result_hash"])


def _qr(seal: Mapping[str, Any]) -> str:
    """Return the QR code of what names an assessment anywhere: log, tree size, root, result."""
    import segno

    named = "\n".join(str(seal[name]) for name in ("origin", "tree_size", "root", "result_hash"))
    return segno.make(named, error="m").svg_inline(scale=1, border=2, omitsize=True)
