"""What is drawn of buildings from their triangles, storeys, footprint, roof and shell; processes may share in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from ingest.footprint import Fabric, Plan, Roof, Triangles
from ingest.ifc.sharing import Task, do_all
from ingest.ifc.storeys import Floor, Level, floors
from ingest.shell import shell

# What a building takes however small it is, in triangles.
_EACH = 300
# Buildings that take less than so many triangles are drawn in the time that it takes to start a process for some.
_LEAST = 8000


@dataclass(frozen=True, slots=True)
class Subject:
    """What there is to draw of a building: triangles of its elements (n, 3, 3), metres; the levels of its storeys."""

    bodies: Sequence[Triangles]
    levels: Sequence[Level]


@dataclass(frozen=True, slots=True)
class Outside:
    """The form of a building: its plan and roof; height of the ground and of the highest point, metres."""

    ground: float
    top: float
    plan: Plan
    roof: Roof | None


@dataclass(frozen=True, slots=True)
class Drawing:
    """The floors of a building, one a level; its outside, and triangles that can be reached from outdoors, if any."""

    floors: list[Floor] = field(default_factory=list)
    outside: Outside | None = None
    shell: Triangles | None = None


def draw_all(subjects: Sequence[Subject], cores: int = 1) -> list[Drawing]:
    """Draw buildings, in up to so many processes side by side."""
    sizes = [_EACH + sum(map(len, subject.bodies)) for subject in subjects]
    plans, shells = [], []
    for subject, size in zip(subjects, sizes, strict=True):
        # The plans of a building share the cuts that they are made of, so they stay together.
        plans.append(Task(partial(_plans, subject), size * (1 + len(subject.levels))))
        shells.append(Task(partial(_shell, subject), size))
    found = do_all([*plans, *shells], cores if sum(sizes) >= _LEAST else 1)
    pairs = zip(found[: len(plans)], found[len(plans) :], strict=True)
    return [replace(drawing, shell=other.shell) for drawing, other in pairs]


def _plans(subject: Subject) -> Drawing:
    if not subject.bodies:
        return Drawing(floors(subject.levels, None))
    fabric = Fabric(np.concatenate(subject.bodies))
    built = floors(subject.levels, fabric)
    low, high = float(fabric.low.min()), float(fabric.high.max())
    ground = next((floor.elevation for floor in built if floor.number == 1), None)
    # Some exporters place storeys at zero and the geometry at its height above the sea.
    ground = ground if ground is not None and low - 0.5 <= ground < high else low
    plan = fabric.plan(ground)
    roof = None if plan.outline.is_empty else fabric.roof(plan.outline, ground)
    return Drawing(built, Outside(ground, high, plan, roof))


def _shell(subject: Subject) -> Drawing:
    return Drawing(shell=shell(np.concatenate(subject.bodies)) if subject.bodies else None)
