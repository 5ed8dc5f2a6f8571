from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from rich.console import Console

from cim.db.engine import Database
from ingest.pipeline import ingest
from ingest.report import show


def test_what_was_understood_is_told_as_a_tree(database: Database, house: Any, tmp_path: Path) -> None:
    house.map_conversion(Eastings=500_000.25)
    report = ingest(database, [house.write(tmp_path / "h.ifc")])
    written = io.StringIO()
    show(report, Console(file=written, width=200))
    tree = written.getvalue().partition("Site\n")[2].splitlines()[:6]
    assert [line.strip("│├└─ ") for line in tree] == [
        "House: footprint 120.0 m², height 6.3 m, eaves 6.3 m, ridge 6.3 m, floor area 240.0 m², below ground 120.0 m²,"
        " by storey_outlines",
        "place: map_conversion, LoGeoRef 50, ± 0.5 m, ground at 8.5 m",
        "Roof: no floor, at +6.00 m",
        "Upper floor: number 2, at +3.00 m, floor area 120.0 m²",
        "Ground floor: number 1, at +0.00 m, floor area 120.0 m², 1 space, net 107.2 m²",
        "Basement: number -1, at -2.80 m, floor area 120.0 m²",
    ]
    # What was shown once is shown again, though nothing is read.
    again = ingest(database, [tmp_path / "h.ifc"])
    assert again.files[0].layers[0].understood == report.files[0].layers[0].understood
