"""What words of a model mean in the codelists: use of buildings and rooms, load-bearing structure, years.

A word list takes only what leaves no doubt; everything else stays unmapped, and the words stay in `attributes`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

# Words of an occupancy type (values of the codelist building_usage).
_BUILDING_WORDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "residential": ("residential", "dwelling", "apartment", "housing", "wohn", "住宅", "居住"),
        "office": ("office", "büro", "办公"),
        "commercial": ("retail", "shop", "commercial", "商业", "商铺"),
        "education": ("school", "education", "kindergarten", "schule", "学校", "教育", "幼儿园"),
        "medical": ("hospital", "clinic", "krankenhaus", "医院", "医疗", "卫生"),
        "culture_sport": ("museum", "library", "theatre", "theater", "sport", "文化", "体育"),
        "industrial": ("factory", "industrial", "industrie", "工业", "厂房"),
        "warehouse": ("warehouse", "仓储", "仓库"),
    }
)
# Words of the name of a room (values of the codelist space_usage), in English, German, Dutch and Chinese.
_ROOM_WORDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "kitchen": ("kitchen", "küche", "keuken", "厨房"),
        "sanitary": (
            "bath", "bathroom", "toilet", "wc", "restroom", "shower", "badkamer", "badezimmer", "bad",
            "卫生间", "厕所", "浴室",
        ),
        "living": (
            "living", "bedroom", "dining", "wohnen", "wohnzimmer", "schlafzimmer", "schlafen", "kind", "gäste",
            "woonkamer", "slaapkamer", "卧室", "客厅", "起居", "餐厅", "住宅",
        ),
        "office": ("office", "büro", "buero", "kantoor", "study", "办公"),
        "meeting": ("meeting", "conference", "besprechung", "会议"),
        "teaching": ("classroom", "lecture", "teaching", "unterricht", "klassenzimmer", "教室"),
        "medical": ("treatment", "examination", "patient", "ward", "behandlung", "诊室", "病房"),
        "retail": ("shop", "retail", "store front", "verkauf", "winkel", "商铺", "店铺"),
        "assembly": ("auditorium", "assembly hall", "versammlung", "礼堂"),
        "production": ("workshop", "production", "werkstatt", "车间"),
        "storage": ("storage", "closet", "pantry", "abstell", "lager", "keller", "berging", "储藏", "库房"),
        "parking": ("parking", "garage", "car park", "parkeren", "停车", "车库"),
        "circulation": (
            "hall", "hallway", "corridor", "stair", "lobby", "foyer", "vestibule", "entrance", "lift", "elevator",
            "flur", "diele", "treppe", "galerie", "gang", "走廊", "楼梯", "门厅", "电梯", "过道",
        ),
        "technical": (
            "utility", "mechanical", "electrical", "plant room", "boiler", "technik", "heizung", "设备", "机房", "配电",
        ),
        "outdoor": ("balcony", "terrace", "patio", "deck", "balkon", "terrasse", "阳台", "露台"),
    }
)  # fmt: skip
# What the use of a room (codelist space_usage) makes of a storey (codelist building_usage); others serve any use.
_USE_BY_ROOM: Mapping[str, str] = MappingProxyType(
    {
        "living": "residential", "office": "office", "meeting": "office", "teaching": "education", "medical": "medical",
        "retail": "commercial", "production": "industrial",
    }
)  # fmt: skip
# Words of the type or name of a zone that is a unit of a building.
_UNIT_WORDS = (
    "apartment", "flat", "dwelling", "dwelling unit", "housing unit", "residential unit", "wohnung", "wohneinheit",
    "woning", "appartement", "户", "住户", "套房", "住宅套型",
)  # fmt: skip
# The first that is found holds: concrete blocks are masonry, reinforced concrete (Stahlbeton, 钢筋混凝土) is concrete.
_MATERIAL_WORDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "masonry": ("brick", "masonry", "block", "ziegel", "mauer", "kalksandstein", "砖", "砌"),
        "concrete": ("concrete", "beton", "混凝土", "cast-in", "cast in place"),
        "steel": ("steel", "stahl", "staal", "钢"),
        "wood": ("wood", "timber", "holz", "hout", "lumber", "plywood", "木"),
    }
)
# Shares of elements with a known material, above which they are the structure, and above which they belong to it.
_MOST, _SOME = 0.8, 0.2
_YEAR = re.compile(r"(?<!\d)(1\d{3}|2[01]\d{2})(?!\d)")


def usage_of(occupancy: str | None) -> str | None:
    """Return the building use that an occupancy type names beyond doubt; None if it names none or several."""
    return _one_of(_BUILDING_WORDS, (occupancy or "").casefold())


def room_use_of(*names: str | None) -> str | None:
    """Return the use that the first telling of some names of a room has; None if none names exactly one."""
    for name in names:
        # Whole words, as "bath" must not be found in Bathurst; Chinese has no spaces between them.
        said = (name or "").casefold()
        found = [use for use, words in _ROOM_WORDS.items() if any(_is_word(word, said) for word in words)]
        if len(found) == 1:
            return found[0]
    return None


def storey_use_of(rooms: Iterable[tuple[str | None, float | None]]) -> str | None:
    """Return the main use (codelist building_usage) of a storey, from use (codelist space_usage) and area of its rooms.

    That which four fifths of the area have where the use tells, `mixed` where two or more have a fifth each; None where
    no room tells, or one of those that do has no area.
    """
    areas: dict[str, float] = {}
    for room, area in rooms:
        use = _USE_BY_ROOM.get(room or "")
        if use is not None:
            if area is None:
                return None
            areas[use] = areas.get(use, 0.0) + area
    total = sum(areas.values())
    shares = {use: area / total for use, area in areas.items() if total > 0}
    main = [use for use, share in shares.items() if share >= _MOST]
    if main:
        return main[0]
    return "mixed" if sum(share >= _SOME for share in shares.values()) > 1 else None


def is_unit(*names: str | None) -> bool:
    """Return whether one of the names of a zone says that it is a dwelling or another unit of a building."""
    return any(_is_word(word, (name or "").casefold()) for name in names for word in _UNIT_WORDS)


def structure_of(materials: Iterable[str]) -> str | None:
    """Return the load-bearing structure (codelist structure) that materials of bearing elements add up to.

    Parameters
    ----------
    materials : one name for each wall, column, beam and slab that has a material

    Returns
    -------
    None where less than half of them are known, or no structure of the list holds four fifths of those known.
    """
    kinds = [_material_of(name.casefold()) for name in materials]
    counts = Counter(kind for kind in kinds if kind is not None)
    known = sum(counts.values())
    if known == 0 or known < len(kinds) / 2:
        return None
    share = {kind: counts[kind] / known for kind in _MATERIAL_WORDS}
    for structure, parts in (
        ("reinforced_concrete", ("concrete",)),
        ("steel", ("steel",)),
        ("steel_concrete", ("steel", "concrete")),
        ("mixed", ("masonry", "concrete")),
        ("brick_wood", ("masonry", "wood")),
    ):
        if sum(share[part] for part in parts) >= _MOST and all(share[part] >= _SOME for part in parts):
            return structure
    return "other" if share["wood"] >= _MOST else None


def year_of(value: Any) -> int | None:
    """Return the one year (1000 to 2199) that a label names; None where there is none or several."""
    years = set(_YEAR.findall(str(value))) if value is not None else set()
    return int(years.pop()) if len(years) == 1 else None


def _one_of(words: Mapping[str, tuple[str, ...]], said: str) -> str | None:
    found = [value for value, signs in words.items() if any(sign in said for sign in signs)]
    return found[0] if len(found) == 1 else None


def _material_of(said: str) -> str | None:
    return next((kind for kind, signs in _MATERIAL_WORDS.items() if any(sign in said for sign in signs)), None)


def _is_word(word: str, said: str) -> bool:
    if not word.isascii() and not any(character.isascii() and character.isalpha() for character in word):
        return word in said
    return re.search(rf"(?<![^\W\d_]){re.escape(word)}(?![^\W\d_])", said) is not None
