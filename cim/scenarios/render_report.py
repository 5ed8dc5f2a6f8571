"""Render a report 评估报告: sealed results as a planner's document, a workbook, a table or a layer."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from cim.db.engine import Database
from cim.db.state import resolve
from cim.scenarios._base import Example, Process, parameter, table
from cim.scenarios._report import FORMATS, render
from cim.scenarios._seal import digest, sealed_state, software
from cim.scenarios._state import snapshot

OUTPUTS = table(
    {
        "media_type": {"enum": [one.media_type for one in FORMATS.values()]},
        "encoding": {"enum": ["utf-8", "base64"], "description": "How content holds the bytes of the file"},
        "content": {"type": "string"},
    },
    description="The file. Over HTTP it comes as it is, unless JSON is asked for.",
)
DOCUMENT = {
    "type": "object",
    "required": ["result", "coverage", "assessment"],
    "properties": {"result": {"type": "object"}, "coverage": {"type": "object"}, "assessment": {"type": "object"}},
}
EXAMPLE = Example(
    text=(
        "Inventory and density of a district, both sealed on one state, become one document: a map, the massing, the "
        "Spacemate chart, tables, and the seals with their QR codes. A document that was altered is refused."
    ),
    objects={},
    inputs={"documents": [{"result": {}, "coverage": {}, "assessment": {}}], "format": "html"},
    result={},
)


@dataclass(frozen=True, kw_only=True)
class RenderReport(Process):
    """Sealed documents as one file."""

    name: ClassVar[str] = "render-report"
    version: ClassVar[str] = "1.0.0"
    title: ClassVar[str] = "Render a report"
    title_zh: ClassVar[str] = "评估报告"
    description: ClassVar[str] = (
        "Sealed results as a planner's document (HTML; PDF on A4 with root and QR code on every page): map, massing "
        "before and after a proposal, Spacemate chart, rules as lights with their margins, tables, seals. Or as a "
        "workbook with numbers as numbers (XLSX), a table of all numbers (CSV), or a layer (GeoJSON). The map is read "
        "from the state that the first document is sealed to."
    )
    description_zh: ClassVar[str] = (
        "把已封签的结果排成规划文件(HTML 或每页带树根与二维码的 A4 PDF):现状图、方案前后体量、Spacemate 图、"
        "规则红绿灯与余量、指标表和封签;也可输出数值型 XLSX、CSV 或 GeoJSON。"
    )
    reads: ClassVar[tuple[str, ...]] = ()
    outputs: ClassVar[Mapping[str, Any]] = OUTPUTS
    rendered: ClassVar[bool] = True
    example: ClassVar[Example] = EXAMPLE

    documents: Sequence[Mapping[str, Any]] = parameter(
        {"type": "array", "minItems": 1, "maxItems": 50, "items": DOCUMENT},
        "评估文件",
        "What scenarios answered, whole, in the order of the report.",
    )
    format: str = parameter({"type": "string", "enum": list(FORMATS)}, "格式", "Format of the file.", default="pdf")

    def execute(self, database: Database, *, use_live: bool = True) -> dict[str, Any]:
        """Check every seal, read the map, and set the file."""
        del use_live  # a report holds no number of its own
        content = render(database, self.documents, self.format)
        form = FORMATS[self.format]
        result = {
            "media_type": form.media_type,
            "encoding": "utf-8" if form.is_text else "base64",
            "content": content.decode() if form.is_text else base64.b64encode(content).decode(),
        }
        with snapshot(database) as connection:
            head = resolve(connection, self.documents[0]["assessment"]["tree_size"], database.settings.log_dir)
            versions = software(connection)
        assessment = {
            "process": {"id": self.name, "version": self.version},
            **sealed_state(database, head),
            "inputs_hash": digest(self.inputs()),
            "software": versions,
            "result_hash": digest({"result": result}),
        }
        return {"result": result, "assessment": assessment}


SCENARIO = RenderReport
