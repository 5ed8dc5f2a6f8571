"""Instances of templates: geometries that stand elsewhere once, for many objects, each at a place and turned its way.

Source
------
OGC 20-072r5, CityJSON Community Standard 2.0, 3.4 "Geometry templates".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ingest.city3d.feature import DEPTHS, CityObject, Feature, Frame, Notes
from ingest.city3d.keep import compact
from ingest.city3d.looks import LOOKS

INSTANCE = "GeometryInstance"


class Templates:
    """The templates of one file.

    Parameters
    ----------
    said : member `geometry-templates` of the file, empty where it has none
    appearance : what the materials and textures of templates are numbers of
    """

    def __init__(
        self, said: Mapping[str, Any], appearance: Mapping[str, Any] | None, frame: Frame, notes: Notes
    ) -> None:
        self._templates = said.get("templates") or []
        self._vertices = said.get("vertices-templates") or []
        self._appearance = appearance
        self._frame = frame
        self._notes = notes

    def placed(self, feature: Feature) -> Feature:
        """Return the feature with a geometry of its own for each instance it has of a template.

        Raises
        ------
        AttributeError, IndexError, KeyError, TypeError, ValueError : an instance makes no sense.
        """
        if not any(g["type"] == INSTANCE for one in feature.objects.values() for g in one.get("geometry") or ()):
            return feature
        # Of a whole document's vertices those that its other geometries use, and no copy of all.
        own = {name: one | {"geometry": _others(one)} for name, one in feature.objects.items()}
        vertices = list(compact(Feature(feature.id, own, feature.vertices)).vertices)
        objects = {name: self._with_geometry(one, vertices, feature) for name, one in feature.objects.items()}
        return Feature(feature.id, objects, vertices, feature.appearance)

    def _with_geometry(self, one: CityObject, vertices: list[Any], feature: Feature) -> CityObject:
        given = one.get("geometry") or ()
        if not any(g["type"] == INSTANCE for g in given):
            return one
        return one | {"geometry": [self._geometry(g, vertices, feature) if g["type"] == INSTANCE else g for g in given]}

    def _geometry(self, instance: Mapping[str, Any], vertices: list[Any], feature: Feature) -> dict[str, Any]:
        """Return the geometry an instance stands for; its vertices are added to those of the feature."""
        number = instance["template"]
        if not 0 <= number < len(self._templates):
            raise IndexError(f"it is an instance of template {number} of {len(self._templates)}")
        template = self._templates[number]
        if template["type"] not in DEPTHS:
            raise ValueError(f"template {number} is a {template['type']}")
        matrix = np.array(instance["transformationMatrix"], dtype=float).reshape(4, 4)
        (place,) = instance["boundaries"]
        if not 0 <= place < len(feature.vertices):
            raise IndexError(f"it stands at vertex {place} of {len(feature.vertices)}")
        known: dict[int, int] = {}
        boundaries = _renumbered(template["boundaries"], known, len(vertices), len(self._vertices))
        corners = np.array([self._vertices[n] for n in known], dtype=float).reshape(-1, 3)
        turned = np.column_stack([corners, np.ones(len(corners))]) @ matrix.T
        # The scale of the file divides out: the place is a vertex of it, the template is in units of the CRS.
        moved = turned[:, :3] / np.array(self._frame.scale) + np.array(feature.vertices[place], dtype=float)
        vertices += moved.tolist()
        geometry = {**template, "boundaries": boundaries}
        if feature.appearance is not self._appearance and any(look in template for look in LOOKS):
            self._notes.add("{n} instances of templates whose materials and textures are left out")
            geometry = {name: value for name, value in geometry.items() if name not in LOOKS}
        return geometry


def _others(one: CityObject) -> list[Any]:
    return [g for g in one.get("geometry") or () if g["type"] != INSTANCE]


def _renumbered(boundaries: Any, known: dict[int, int], start: int, count: int) -> Any:
    """Return boundaries with numbers of their own, from `start` on, in the order of use; `known` notes which is which.

    There are `count` vertices to name.
    """
    if isinstance(boundaries, list):
        return [_renumbered(one, known, start, count) for one in boundaries]
    if not 0 <= boundaries < count:
        raise IndexError(f"a template names vertex {boundaries} of {count}")
    return known.setdefault(boundaries, start + len(known))
