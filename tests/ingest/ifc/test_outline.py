from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

from rich.console import Console

from cim.db.engine import Database
from ingest.ifc.outline import METHODS
from ingest.pipeline import ingest
from ingest.report import show


def test_what_was_understood_is_told_as_a_tree(database: Database, house: Any, tmp_path: Path) -> None:
    house.map_conversion(Eastings=500_000.25)
    report = ingest(database, [house.write(tmp_path / "h.ifc")])
    written = io.StringIO()
    show(report, Console(file=written, width=200))
    tree = written.getvalue().partition("\nh.ifc\n")[2].splitlines()[:7]
    assert [line.strip("│├└─ ") for line in tree] == [
        "site Site",
        "building House: footprint 120.0 m², height 6.3 m, eaves 6.3 m, ridge 6.3 m,"
        " floor area 240.0 m² and 120.0 m² below ground from outlines of storeys",
        "placed by map conversion, LoGeoRef 50, ± 0.5 m, ground at 8.5 m",
        "level, no storey, Roof: at +6.00 m",
        "storey 2, Upper floor: at +3.00 m, floor area 120.0 m²",
        "storey 1, Ground floor: at +0.00 m, floor area 120.0 m², 1 room of 107.2 m² net",
        "storey -1, Basement: at -2.80 m, floor area 120.0 m²",
    ]
    # What was shown once is shown again, though nothing is read.
    again = ingest(database, [tmp_path / "h.ifc"])
    assert again.files[0].layers[0].understood == report.files[0].layers[0].understood


def test_every_way_to_a_place_that_the_docs_name_has_words() -> None:
    docs = Path(__file__).resolve().parents[3] / "docs" / "models.md"
    table = docs.read_text(encoding="utf-8").partition("`georeference_method`")[2].partition("\n\n")[0]
    # The second column holds the methods, also several in a row.
    methods = {name for row in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", row.split("|")[2])}
    assert methods == set(METHODS)
