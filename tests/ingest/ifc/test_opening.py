"""Instances are parsed when they are asked for; damage in what is asked for is never read over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cim.errors import InvalidData
from ingest.ifc.process import Limits, run

LIMITS = Limits()


def damaged(house: Any, tmp_path: Path, old: str, new: str) -> Path:
    path = house.write(tmp_path / "house.ifc")
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return path


def test_a_damaged_place_of_a_wall_does_not_move_it(house: Any, tmp_path: Path) -> None:
    # Two numbers run together: the kernel would go on without the place and say so in its log only.
    path = damaged(house, tmp_path, "((0.,0.,-3000.))", "((0.,0..-3000.))")
    with pytest.raises(InvalidData, match=r"house\.ifc: the STEP text cannot be parsed"):
        run(path, LIMITS)


def test_damage_in_what_nobody_asks_for_does_no_harm(house: Any, tmp_path: Path) -> None:
    whole = run(house.write(tmp_path / "house.ifc"), LIMITS)
    house.file.create_entity("IfcCartesianPoint", Coordinates=[1234.0, 0.0, 0.0])
    found = run(damaged(house, tmp_path, "((1234.,0.,0.))", "((1234.,0..0.))"), LIMITS)
    assert found["buildings"][0]["outline"] == whole["buildings"][0]["outline"]


def test_a_reference_to_nothing_is_reported(house: Any, tmp_path: Path) -> None:
    wall = house.file.by_type("IfcWall")[0]
    shape = f"#{wall.Representation.id()}"
    path = damaged(house, tmp_path, f"{shape}=IFCPRODUCTDEFINITIONSHAPE", f"{shape}=IFXPRODUCTDEFINITIONSHAPE")
    assert "1 of" in "; ".join(run(path, LIMITS)["warnings"])
