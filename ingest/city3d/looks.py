"""How the surfaces of an object look: materials and textures, with what they need of the file, numbered anew.

A geometry names, by theme, a material for each surface and a texture with its coordinates for each ring, as numbers
of the file's `appearance`. What is kept of that is what the object uses, in the order in which it does.

Source
------
OGC 20-072r5, CityJSON Community Standard 2.0, 5 "Appearance object".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

LOOKS = ("material", "texture")
# Members of an appearance that name a theme to be shown first.
_DEFAULTS = ("default-theme-material", "default-theme-texture")


class _Used:
    """Members of one list, in the order in which they are asked for."""

    def __init__(self, members: Any) -> None:
        self._members = members or []
        self._known: dict[int, int] = {}

    def number(self, old: int | None) -> int | None:
        """Return the new number of a member; None stays None."""
        if old is None:
            return None
        if not 0 <= old < len(self._members):
            raise IndexError(f"it names {old} of {len(self._members)}")
        return self._known.setdefault(old, len(self._known))

    def members(self) -> list[Any]:
        """Return the members asked for."""
        return [self._members[old] for old in self._known]


def looks_of(
    geometries: Iterable[Mapping[str, Any]], appearance: Mapping[str, Any]
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the looks of each geometry, numbered anew, and the appearance that these are numbers of.

    Both are empty where nothing has looks. Themes are sorted by name, whatever their order in the file.

    Raises
    ------
    AttributeError, IndexError, KeyError, TypeError, ValueError : they make no sense.
    """
    materials, textures = _Used(appearance.get("materials")), _Used(appearance.get("textures"))
    corners = _Used(appearance.get("vertices-texture"))
    found: list[dict[str, Any]] = []
    for geometry in geometries:
        looks: dict[str, Any] = {}
        if geometry.get("material"):
            looks["material"] = {t: _material(said, materials) for t, said in sorted(geometry["material"].items())}
        if geometry.get("texture"):
            looks["texture"] = {
                theme: {"values": _texture(said["values"], textures, corners)}
                for theme, said in sorted(geometry["texture"].items())
            }
        found.append(looks)
    kept = {"materials": materials, "textures": textures, "vertices-texture": corners}
    used: dict[str, Any] = {name: members for name, some in kept.items() if (members := some.members())}
    if used:
        used |= {name: appearance[name] for name in _DEFAULTS if name in appearance}
    return found, used


def _material(said: Mapping[str, Any], materials: _Used) -> dict[str, Any]:
    if "value" in said:
        return {"value": materials.number(said["value"])}
    return {"values": _numbers(said["values"], materials)}


def _numbers(values: Any, materials: _Used) -> Any:
    return [_numbers(v, materials) for v in values] if isinstance(values, list) else materials.number(values)


def _texture(values: Any, textures: _Used, corners: _Used) -> Any:
    if values is None:
        return None
    if not isinstance(values, list):
        raise TypeError(f"a texture's values are lists, found {values!r}")
    if any(isinstance(value, list) for value in values):
        return [_texture(value, textures, corners) for value in values]
    return [textures.number(values[0]), *(corners.number(n) for n in values[1:])] if values else []
