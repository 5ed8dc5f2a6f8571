from __future__ import annotations

import re

import shapely

from ingest.plans import Plan, Room, draw

# A storey of 10 × 5 m with a hall of 6 × 5 m, a store of 2 × 5 m and a shaft too narrow for its number.
STOREY = shapely.box(500_000, 4_000_000, 500_010, 4_000_005)
HALL = Room("Hall <b>", "1.01", "living", 30.0, shapely.box(500_000, 4_000_000, 500_006, 4_000_005))
STORE = Room(None, "1.02", "storage", None, shapely.box(500_006, 4_000_000, 500_008, 4_000_005))
SHAFT = Room(None, "S", None, 0.5, shapely.box(500_009.9, 4_000_000, 500_010, 4_000_005))


def test_storeys_are_drawn_at_one_scale_with_their_rooms() -> None:
    ground = Plan("B1", "House", "Ground", 0.0, 50.0, STOREY, [HALL, STORE, SHAFT])
    upper = Plan("B1", "House", "Upper", 3.0, None, None, [])
    (building,) = draw([ground, upper], {"living": "Living", "storage": "Storage"})
    assert (building["name"], building["code"]) == ("House", "B1")
    assert building["legend"] == [(0, "Living"), (1, "Storage"), (2, "use not known")]
    first, second = building["storeys"]
    assert first["said"] == "+0.00 m · 50.0 m² · 3 rooms"
    assert (second["said"], second["svg"]) == ("+3.00 m", None)
    # 320 units for 10 m with 4 % free on either side: 29.44 units a metre; the view is 160 high, so 6.4 are free above.
    (outline,) = re.findall(r'class="storey" d="([^"]+)"', first["svg"])
    corners = {tuple(map(float, pair.split(","))) for pair in re.findall(r"[\d.]+,[\d.]+", outline)}
    assert corners == {(12.8, 6.4), (307.2, 6.4), (307.2, 153.6), (12.8, 153.6)}
    assert "<title>1.01, Hall &lt;b&gt;, Living, 30.0 m²</title>" in first["svg"]
    assert "<title>1.02, Storage</title>" in first["svg"]
    assert re.findall(r"<text [^>]+>([^<]+)</text>", first["svg"]) == ["1.01", "1.02"]


def test_a_use_has_one_colour_in_all_buildings_of_a_file() -> None:
    one = Plan("B1", "One", "0", 0.0, None, STOREY, [HALL])
    two = Plan("B2", "Two", "0", 0.0, None, STOREY, [STORE])
    legends = [building["legend"] for building in draw([one, two], {})]
    assert legends == [[(0, "living")], [(1, "storage")]]
    assert draw([], {}) == []
