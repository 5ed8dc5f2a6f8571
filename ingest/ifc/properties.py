"""Property sets, quantities, classification and addresses of a model's objects, as plain data in SI units."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

# The quantity classes we take, the attribute of the value, and the kind of unit it is given in.
_QUANTITIES = {
    "IfcQuantityArea": ("AreaValue", "AREAUNIT"),
    "IfcQuantityLength": ("LengthValue", "LENGTHUNIT"),
    "IfcQuantityVolume": ("VolumeValue", "VOLUMEUNIT"),
    "IfcQuantityCount": ("CountValue", None),
}
# What authoring tools put in when nobody wrote an address.
_TEMPLATES = ("enter address here", "introduzca dirección aquí")


@dataclass(frozen=True, slots=True)
class Units:
    """SI units per unit of the project: metres, square metres, cubic metres."""

    length: float
    area: float
    volume: float

    @classmethod
    def of(cls, model: Any) -> Units:
        """Read the units of a model; what it does not assign counts as metres."""
        import ifcopenshell.util.unit

        scales = {"LENGTHUNIT": 1.0, "AREAUNIT": 1.0, "VOLUMEUNIT": 1.0}
        for unit in assigned_units(model):
            kind = attribute(unit, "UnitType")
            if kind in scales:
                scales[kind] = float(ifcopenshell.util.unit.get_unit_scale(unit))
        return cls(*scales.values())

    def scale(self, kind: str | None) -> float:
        """Return SI units per unit of that kind (LENGTHUNIT, AREAUNIT, VOLUMEUNIT), 1 for None."""
        return {"LENGTHUNIT": self.length, "AREAUNIT": self.area, "VOLUMEUNIT": self.volume}.get(kind or "", 1.0)


def assigned_units(model: Any) -> tuple[Any, ...]:
    """Return the units that the first project of a model assigns."""
    projects = model.by_type("IfcProject")
    assignment = projects[0].UnitsInContext if projects else None
    return assignment.Units if assignment else ()


def property_sets(entity: Any) -> dict[str, dict[str, Any]]:
    """Return the property sets of an object: name of the set → name of the property → value as JSON knows it.

    Values stand in the units of the project, as written. Empty sets and empty values are left out.
    """
    import ifcopenshell.util.element

    found: dict[str, dict[str, Any]] = {}
    for name, properties in ifcopenshell.util.element.get_psets(entity, psets_only=True).items():
        values = {k: plain(v) for k, v in properties.items() if k != "id"}
        kept = {k: v for k, v in values.items() if v not in (None, "", [], {})}
        if kept:
            found[name or "unnamed"] = kept
    return found


def quantities(entity: Any, units: Units) -> dict[str, float]:
    """Return the quantities of an object by name in SI units; of one named twice the first, zeros left out.

    Zero is what exporters write for a quantity they did not compute.
    """
    found: dict[str, float] = {}
    for definition in _definitions(entity):
        if definition.is_a("IfcElementQuantity"):
            for quantity in definition.Quantities or ():
                value = _quantity(quantity, units)
                if value:
                    found.setdefault(quantity.Name, value)
    return found


def find_property(sets: Mapping[str, Mapping[str, Any]], *names: str) -> Any | None:
    """Return the first property with one of these names, whatever its set and letter case; None without."""
    wanted = {name.casefold() for name in names}
    for properties in sets.values():
        for name, value in properties.items():
            if name.casefold() in wanted:
                return value
    return None


def classifications(entity: Any) -> list[dict[str, str]]:
    """Return the classification references of an object: system, code and name, those that are given."""
    found: list[dict[str, str]] = []
    for relation in getattr(entity, "HasAssociations", ()):
        if not relation.is_a("IfcRelAssociatesClassification"):
            continue
        reference = relation.RelatingClassification
        system = getattr(reference, "ReferencedSource", None)
        entry = {
            "system": text(getattr(system, "Name", None)),
            "code": text(getattr(reference, "Identification", None) or getattr(reference, "ItemReference", None)),
            "name": text(reference.Name),
        }
        found.append({k: v for k, v in entry.items() if v})
    return [entry for entry in found if entry]


def material(entity: Any) -> str | None:
    """Return the material of an element, that of its thickest layer or first part; None without one."""
    import ifcopenshell.util.element

    found: Any = ifcopenshell.util.element.get_material(entity, should_skip_usage=True)
    if found is None:
        return None
    if found.is_a("IfcMaterialLayerSet"):
        layers = [layer for layer in found.MaterialLayers or () if layer.Material is not None]
        found = max(layers, key=lambda layer: layer.LayerThickness or 0.0).Material if layers else None
    elif found.is_a("IfcMaterialList"):
        found = (found.Materials or (None,))[0]
    elif found.is_a("IfcMaterialConstituentSet") or found.is_a("IfcMaterialProfileSet"):
        parts = getattr(found, "MaterialConstituents", None) or getattr(found, "MaterialProfiles", None) or ()
        found = next((part.Material for part in parts if part.Material is not None), None)
    return text(getattr(found, "Name", None))


def address(entity: Any) -> str | None:
    """Return an IfcPostalAddress on one line, lines first, country last; None if empty or a template."""
    if entity is None:
        return None
    parts = [
        *(entity.AddressLines or ()),
        entity.PostalBox,
        entity.Town,
        entity.Region,
        entity.PostalCode,
        entity.Country,
    ]
    said = [text(part) for part in parts]
    line = ", ".join(part for part in said if part and part.casefold() not in _TEMPLATES)
    return line or None


def attribute(entity: Any, name: str) -> Any | None:
    """Return an attribute, forward or inverse, that not all schemas and classes have; None where it has none.

    What it lacks, the library looks for among the derived ones, which takes long.
    """
    return getattr(entity, name) if entity.get_attribute_category(name) else None


def text(value: Any) -> str | None:
    """Return a label without surrounding blanks, None where nothing is left."""
    cleaned = str(value).replace("\x00", "").strip() if value is not None else ""
    return cleaned or None


def unique(names: Iterable[str]) -> list[str]:
    """Return names with a counter after those that come again: `a`, `b`, `a#2`."""
    seen: Counter[str] = Counter()
    result = []
    for name in names:
        seen[name] += 1
        result.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return result


def plain(value: Any) -> Any:
    """Return a value as JSON knows it; what JSON cannot say (NaN, references) becomes text or None."""
    if isinstance(value, str):
        return text(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items() if k not in ("id", "type")}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(v) for v in value]
    return text(value)


def _definitions(entity: Any) -> Iterator[Any]:
    for relation in getattr(entity, "IsDefinedBy", ()):
        if relation.is_a("IfcRelDefinesByProperties"):
            definition = relation.RelatingPropertyDefinition
            # IFC4 allows a set of definitions in the place of one.
            yield from (definition[0] if definition.is_a("IfcPropertySetDefinitionSet") else (definition,))


def _quantity(quantity: Any, units: Units) -> float | None:
    import ifcopenshell.util.unit

    if quantity.is_a() not in _QUANTITIES:
        return None
    attribute, kind = _QUANTITIES[quantity.is_a()]
    value = getattr(quantity, attribute)
    own = quantity.Unit
    scale = ifcopenshell.util.unit.get_unit_scale(own) if own is not None else units.scale(kind)
    return float(value) * float(scale) if value is not None and math.isfinite(value) else None
