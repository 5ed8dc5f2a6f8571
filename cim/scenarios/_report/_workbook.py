"""Results as a workbook: numbers as numbers, each with its unit, and the state that they hold for."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from cim.scenarios._indicator import label_of
from cim.scenarios._report._material import Material
from cim.scenarios._report._page import seal_rows

# Excel's names of number formats, by UCUM unit.
FORMATS = {"m2": "#,##0.0000", "a": "0.0", "%": "0.00"}


def xlsx(materials: Sequence[Material]) -> bytes:
    """Return the sheets Summary, Indicators, Constraints, Objects, Interventions, Rules, Provenance, but empty ones."""
    import xlsxwriter  # slow to load, and few results leave so

    out = io.BytesIO()
    # Text stays text: a name that begins with = is no formula, and an address no link.
    options = {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
    book = xlsxwriter.Workbook(out, options)
    # The same document gives the same bytes: dated as the state is, not as the clock says.
    sealed_on = datetime.fromisoformat(materials[0].seal["as_of"]).replace(tzinfo=None)
    book.set_properties({"title": materials[0].name, "created": sealed_on})
    sheets = {
        "Summary": _summary(materials),
        "Indicators": _indicators(materials),
        "Constraints": _constraints(materials),
        "Objects": _objects(materials),
        "Interventions": _interventions(materials),
        "Rules": _rules(materials),
        "Provenance": _provenance(materials),
    }
    head = book.add_format({"bold": True, "bg_color": "#E4E7EB", "bottom": 1, "text_wrap": True, "valign": "top"})
    formats = {unit: book.add_format({"num_format": shape}) for unit, shape in FORMATS.items()}
    for name, rows in sheets.items():
        columns, *data = rows
        if data:
            _sheet(book.add_worksheet(name), columns, data, head, formats)
    book.close()
    return out.getvalue()


def _sheet(
    sheet: Any, columns: Sequence[str], data: Sequence[Sequence[Any]], head: Any, formats: Mapping[str, Any]
) -> None:
    units = [i for i, column in enumerate(columns) if column == "unit"]
    for column, name in enumerate(columns):
        sheet.write_string(0, column, name, head)
        longest = max([len(name), *(len(str(row[column])) for row in data[:200] if row[column] is not None)])
        sheet.set_column(column, column, min(max(longest * 1.2 + 2, 8), 60))
    for number, row in enumerate(data, start=1):
        shape = formats.get(row[units[0]]) if units else None
        for column, value in enumerate(row):
            match value:
                case bool():
                    sheet.write_boolean(number, column, value)
                case int() | float():
                    sheet.write_number(number, column, value, shape if isinstance(value, float) else None)
                case None:
                    pass
                case _:
                    sheet.write_string(number, column, str(value))
    sheet.freeze_panes(1, 0)
    sheet.autofilter(0, 0, len(data), len(columns) - 1)


Rows = list[Sequence[Any]]


def _summary(materials: Sequence[Material]) -> Rows:
    rows: Rows = [("process", "title", "title_zh", "value", "unit")]
    for material in materials:
        process = material.seal["process"]["id"]
        rows.append((process, "Land", "范围", material.name, None))
        rows.append((process, "Reference date", "基准日期", material.seal["reference_date"], None))
        lists = {name for name, value in material.result.items() if isinstance(value, list)}
        for number in material.numbers():
            if number.path[0] not in lists:
                way = " / ".join([*number.path[:-1], number.title])
                rows.append((process, way, number.title_zh, number.indicator["value"], number.indicator["unit"]))
    return rows


def _indicators(materials: Sequence[Material]) -> Rows:
    names = ("value", "unit", "low", "high", "n", "n_known", "num", "den")
    rows: Rows = [("process", "at", "title", "title_zh", *names)]
    for material in materials:
        for number in material.numbers():
            shown = (number.indicator.get(name) for name in names)
            rows.append((material.seal["process"]["id"], number.at, number.title, number.title_zh, *shown))
    return rows


def _constraints(materials: Sequence[Material]) -> Rows:
    names = ("limit", "margin", "clause", "text_zh", "text")
    rows: Rows = [("rule", "status", "value", "unit", "low", "high", *names, "offenders")]
    for material in materials:
        for rule in material.result.get("rules", []):
            value = rule["value"] or {}
            shown = (value.get(name) for name in ("value", "unit", "low", "high"))
            offenders = ", ".join(label_of(one, place) for place, one in enumerate(rule.get("offenders", [])))
            rest = (rule.get(name) for name in names)
            rows.append((rule["rule"], rule["status"], *shown, *rest, offenders))
    return rows


def _objects(materials: Sequence[Material]) -> Rows:
    """Return every entry with a code of every list, a column for each value; the unit stands in the column's name."""
    columns: dict[str, None] = {}
    found: list[dict[str, Any]] = []
    for material in materials:
        for name, items in material.result.items():
            for item in items if isinstance(items, list) else []:
                if isinstance(item, Mapping) and isinstance(item.get("code"), str):
                    entry = {"process": material.seal["process"]["id"], "list": name, **dict(_flat(item))}
                    columns |= dict.fromkeys(entry)
                    found.append(entry)
    return [tuple(columns), *(tuple(entry.get(column) for column in columns) for entry in found)]


def _flat(item: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    for name, value in item.items():
        if isinstance(value, Mapping) and "value" in value and "unit" in value:
            yield f"{name} ({value['unit']})", value["value"]
        elif value is None or isinstance(value, str | int | float):
            yield name, value


def _interventions(materials: Sequence[Material]) -> Rows:
    rows: Rows = [("process", "target", "action", "phase", "parameter", "value")]
    for material in materials:
        proposal = material.seal["inputs"].get("proposal")
        for one in proposal["interventions"] if isinstance(proposal, Mapping) else []:
            params = {k: v for k, v in one.get("params", {}).items() if k != "geometry"} or {"": None}
            for name, value in params.items():
                rows.append(
                    (material.seal["process"]["id"], one["target"], one["action"], one.get("phase", 1), name, value)
                )
    return rows


def _rules(materials: Sequence[Material]) -> Rows:
    names = ("id", "clause", "text_zh", "text", "source", "formula", "limit", "confidence", "enabled", "force", "scope")
    packs = {material.pack.sha256: material.pack for material in materials}
    rows: Rows = [("pack", *names)]
    for pack in packs.values():
        rows += [
            (pack.name, *(v if isinstance(v := getattr(rule, n), bool | int | float) else str(v) for n in names))
            for rule in pack.rules.values()
        ]
    return rows


def _provenance(materials: Sequence[Material]) -> Rows:
    rows: Rows = [("process", "name", "value")]
    for material in materials:
        rows += [(material.seal["process"]["id"], name, value) for _, name, value in seal_rows(material.seal)]
    return rows
