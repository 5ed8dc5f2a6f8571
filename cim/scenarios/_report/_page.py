"""The report as a page (HTML) and as a document (PDF, A4)."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from shutil import which
from typing import Any

from cim.errors import CimError
from cim.scenarios._report import _figures as figures
from cim.scenarios._report._material import Material
from cim.scenarios._report._tables import UNITS, Cell, cell, figure, tables

# What the first page tells of every result that has it: where it stands, in which order it is read.
HIGHLIGHTS = (
    "n",
    "gfa_above",
    "households",
    "age",
    "net/far",
    "net/gsi",
    "gross/green_ratio",
    "households/displaced",
    "households/rehoused",
    "parks/share",
    "benefit",
    "cost",
)
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


def html(materials: Sequence[Material]) -> bytes:
    """Return the report as one HTML file that needs no other."""
    import jinja2  # slow to load, as is all that only reports need

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")), autoescape=True, trim_blocks=True
    )
    first = materials[0]
    seals = [list(seal_rows(material.seal)) for material in materials]
    common = [row for row in seals[0] if all(row in rows for rows in seals)] if len(seals) > 1 else []
    proposed = next((material for material in materials if material.branches), first)
    return (
        environment.get_template("report.html")
        .render(
            first=first,
            css=(Path(__file__).with_name("templates") / "report.css").read_text(encoding="utf-8"),
            parts=[
                _part(material) | {"seal": [row for row in rows if row not in common]}
                for material, rows in zip(materials, seals, strict=True)
            ],
            common=common,
            highlights=list(dict(reversed([shown for one in materials for shown in highlights(one)])).items())[::-1],
            lights=_lights(materials),
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
    }


def highlights(material: Material) -> Iterator[tuple[str, Cell]]:
    """Yield what the first page tells of a result: titles and numbers."""
    found = {number.at: number for number in material.numbers() if number.at in HIGHLIGHTS}
    for at in (at for at in HIGHLIGHTS if at in found):
        yield " ".join(filter(None, [found[at].title_zh, found[at].title])), cell(found[at].indicator)


def _lights(materials: Sequence[Material]) -> list[dict[str, Any]]:
    """Return the rules of the first result that judges a proposal or the city by them."""
    judged = next((m for m in materials if m.seal["process"]["id"] == "check-constraints"), None)
    return [] if judged is None else [_rule(rule) for rule in judged.result["rules"]]


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
        "left": cell(rule["capacity_left"]) if rule.get("capacity_left", {}).get("n") else None,
        "limit_shown": _with_unit(rule.get("limit"), unit),
        "margin_shown": _with_unit(rule.get("margin"), unit),
        "gauge": figures.gauge(indicator.get("value"), indicator.get("low"), indicator.get("high"), rule.get("limit")),
    }


def _with_unit(value: float | int | None, unit: str) -> str:
    shown = UNITS.get(unit, unit)
    return figure(value, unit) if value is None or not shown else f"{figure(value, unit)} {shown}"


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
    if (other := seal.get("compared_with")) is not None:
        yield "对比规则包 compared with", "compared_with", f"{other['name']} {other['version']}, {other['sha256']}"
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
