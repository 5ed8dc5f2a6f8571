"""The report as a page (HTML) and as a document (PDF, A4)."""

from __future__ import annotations

import subprocess
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import which
from typing import Any

from cim.errors import CimError
from cim.scenarios._report import _figures as figures
from cim.scenarios._report._material import Material, Number, label_of

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
}
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


Rows = Sequence[tuple[str, Sequence[Cell]]]
# Entries of a list with their labels, by the dimensions they count by.
Groups = Mapping[tuple[str, ...], Sequence[tuple[str, Mapping[str, Any]]]]


@dataclass(frozen=True, slots=True)
class Table:
    """A table: its title, its columns, and groups of rows of a label and cells; a group may have a title."""

    title: str
    columns: Sequence[str]
    groups: Sequence[tuple[str, Rows]]
    note: str = ""


def html(materials: Sequence[Material]) -> bytes:
    """Return the report as one HTML file that needs no other."""
    import jinja2  # slow to load, as is all that only reports need

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")), autoescape=True, trim_blocks=True
    )
    first = materials[0]
    proposed = next((material for material in materials if material.after is not None), first)
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
    points = list(_densities(material.result))
    return {
        "material": material,
        "tables": list(tables(material)),
        "rules": [_rule(rule) for rule in material.result.get("rules", [])],
        "spacemate": figures.spacemate(points) if points else None,
        "qr": _qr(material.seal),
        "seal": list(seal_rows(material.seal)),
    }


def _densities(result: Mapping[str, Any]) -> Iterator[tuple[str, float, float, bool]]:
    """Yield label, GSI, FSI and whether it is a whole, of everything in a result that has both."""
    names = {"net": "净 net", "gross": "毛 gross"}
    wholes = [(names.get(name, name), one, True) for name, one in result.items() if isinstance(one, Mapping)]
    listed = [("", one, False) for items in result.values() if isinstance(items, list) for one in items]
    for label, one, whole in wholes + listed:
        if isinstance(one, Mapping) and {"gsi", "far"} <= one.keys():
            gsi, far = one["gsi"]["value"], one["far"]["value"]
            if gsi is not None and far is not None:
                yield label, gsi, far, whole


def tables(material: Material) -> Iterator[Table]:
    """Yield the tables of a result: its own numbers, parts beside each other, then every list."""
    lists = {name for name, value in material.result.items() if isinstance(value, list)}
    groups: defaultdict[tuple[str, ...], list[Number]] = defaultdict(list)
    for number in material.numbers():
        if number.path[0] not in lists:
            groups[number.path[:-1]].append(number)
    own = groups.pop((), [])
    if own:
        yield Table("指标 Indicators", ["数值 value"], [("", [(_title(n), [cell(n.indicator)]) for n in own])])
    if groups:
        yield _beside(material, groups)
    for name in material.result:
        if name in lists and name != "rules":
            yield from (table for table in _listed(material, name) if table.columns)


def _beside(material: Material, groups: Mapping[tuple[str, ...], Sequence[Number]]) -> Table:
    titles: dict[str, str] = {}
    cells: defaultdict[str, dict[tuple[str, ...], Cell]] = defaultdict(dict)
    for path, numbers in groups.items():
        for number in numbers:
            titles[number.path[-1]] = _title(number)
            cells[number.path[-1]][path] = cell(number.indicator)
    rows = [(title, [cells[name].get(path, Cell("")) for path in groups]) for name, title in titles.items()]
    return Table("分项指标 By part", [_part_title(material, path) for path in groups], [("", rows)])


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
            split[()].append((label_of(item, position), item))
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
    words = [name for name in fields if name not in numbers and name not in ("by", "code", "rule", "kind", "id")]
    words = [name for name in words if any(isinstance(item.get(name), str | int | float) for item in every)]
    rows = [
        (
            " ".join(DIMENSIONS.get(dimension, dimension) for dimension in by),
            [
                (
                    label,
                    [Cell(material.label(name, item.get(name), short=True), words=True) for name in words]
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
    note = f"共 {longest} 项,此处列前 {LONGEST} 项 · first {LONGEST} of {longest}" if longest > LONGEST else ""
    columns = [DIMENSIONS.get(name, name.replace("_", " ")) for name in words] + [
        _field(fields[name]) for name in numbers
    ]
    return Table(title, columns, rows, note)


def _is_number(value: Any) -> bool:
    return isinstance(value, Mapping) and "value" in value and "unit" in value


def _field(schema: Mapping[str, Any]) -> str:
    unit = UNITS.get(schema.get("x-ogc-unit", ""), schema.get("x-ogc-unit", ""))
    return " ".join(
        filter(None, [schema.get("x-cim-title-zh") or schema.get("title", ""), f"({unit})" if unit else ""])
    )


def _title(number: Number) -> str:
    return " ".join(filter(None, [number.title_zh, number.title]))


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
