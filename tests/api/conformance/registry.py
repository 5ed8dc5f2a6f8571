"""What is asserted: functions that take the API, listed by class and requirement."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.api.conformance.client import Api

SPEC = "http://www.opengis.net/spec/"
Check = Callable[[Api], None]


class NotApplicable(Exception):
    """The API offers nothing that an assertion could be tried on."""


@dataclass(frozen=True, slots=True)
class Assertion:
    """A check with the conformance class (below SPEC) and the requirements it comes from."""

    conformance: str
    requirements: tuple[str, ...]
    check: Check

    @property
    def names(self) -> list[str]:
        """Return what the requirements are called in the standards."""
        return [f"/{self.conformance.replace('/conf/', '/req/')}{one}" for one in self.requirements]


ASSERTIONS: list[Assertion] = []


def requirement(conformance: str, *names: str) -> Callable[[Check], Check]:
    """List the function as the check of some requirements of a class, such as `/fc-response`."""

    def listed(check: Check) -> Check:
        ASSERTIONS.append(Assertion(conformance, names, check))
        return check

    return listed


def need(fact: object, otherwise: str) -> None:
    """Raise AssertionError where something does not hold; plain asserts would be lost under `python -O`."""
    if not fact:
        raise AssertionError(otherwise)
