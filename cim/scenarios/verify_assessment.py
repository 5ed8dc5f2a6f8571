"""Verify an assessment 评估核验: recompute a sealed result and say whether it holds, still holds, or never did."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import sqlalchemy as sa

from cim.db.engine import Database
from cim.db.state import TreeHead, resolve
from cim.errors import CimError, NotFound
from cim.scenarios._base import Example, Process, Scenario, parameter, table
from cim.scenarios._indicator import numbers
from cim.scenarios._reads import changes, reading
from cim.scenarios._registry import scenarios
from cim.scenarios._rules import rule_packs
from cim.scenarios._seal import assess, digest, sealed_state, software, state_of
from cim.scenarios._state import snapshot

STATUSES = ("valid", "stale", "invalid", "undecided")
_PACK = {"type": "object", "required": ["name", "sha256"]}
SEALED = {
    "process": {"type": "object", "required": ["id", "version"]},
    "origin": {"type": "string"},
    "tree_size": {"type": "integer", "minimum": 1},
    "root": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
    "rule_pack": _PACK,
    "compared_with": {**_PACK, "type": ["object", "null"]},
    "inputs": {"type": "object"},
    "inputs_hash": {"type": "string"},
    "read_set": {"type": "object", "required": ["objects", "sha256", "leaves"]},
    "software": {"type": "object"},
    "result_hash": {"type": "string"},
}
_TEXT = {"type": ["string", "null"]}
_LEAF = {"type": ["integer", "null"], "minimum": 0}
_NUMBER = {"type": ["number", "null"]}
OUTPUTS = table(
    {
        "status": {
            "enum": list(STATUSES),
            "description": "valid: recomputed alike, and nothing it read has changed. stale: recomputed alike, but "
            "what it read has changed since. invalid: it is not what was computed. undecided: rules or software "
            "differ from those it was computed with, so it cannot be recomputed here.",
        },
        "checks": {
            "type": "array",
            "items": table(
                {"check": {"type": "string"}, "passed": {"type": "boolean"}, "expected": _TEXT, "found": _TEXT}
            ),
        },
        "changes": {
            "type": "array",
            "description": "What became of the objects it read, by type and code",
            "items": table(
                {
                    "type": {"type": "string"},
                    "code": {"type": "string"},
                    "change": {"enum": ["superseded", "gone", "new"]},
                    "leaf": _LEAF,
                    "superseded_by": _LEAF,
                }
            ),
        },
        "differences": {
            "type": ["array", "null"],
            "description": "Numbers that are others today, by where they stand in the result; null where today's "
            "city has no answer",
            "items": table({"at": {"type": "string"}, "unit": {"type": "string"}, "sealed": _NUMBER, "now": _NUMBER}),
        },
    }
)

_FAR = {"unit": "m2/m2", "n": 1, "n_known": 1, "num": 3_600_000, "den": 6_000_000, "decimals": 6}
EXAMPLE = Example(
    text=(
        "Somebody raised the sealed floor area ratio of a lot from 0.6 to 0.9. The digest of the result is no longer "
        "the sealed one, so the assessment is invalid, whatever the state of the city."
    ),
    objects={},
    inputs={
        "document": {
            "result": {"far": {**_FAR, "value": 0.9, "low": 0.9, "high": 0.9}},
            "coverage": {},
            "assessment": {
                "process": {"id": "density-indicators", "version": "1.0.0"},
                "origin": "example.org/city",
                "tree_size": 1,
                "root": "0" * 64,
                "rule_pack": {"name": "cn-renewal", "sha256": "0" * 64},
                "compared_with": None,
                "inputs": {},
                # SHA-256 of "{}"
                "inputs_hash": "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
                "read_set": {"objects": 0, "sha256": "0" * 64, "leaves": []},
                "software": {},
                "result_hash": "0" * 64,
            },
        }
    },
    result={"status": "invalid", "changes": [], "differences": []},
)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was compared."""

    check: str
    expected: Any
    found: Any

    @property
    def passed(self) -> bool:
        """Whether both are the same."""
        return bool(self.expected == self.found)

    def as_json(self) -> dict[str, Any]:
        """Return it as the result holds it, both sides as text."""
        expected, found = (None if v is None else str(v) for v in (self.expected, self.found))
        return {"check": self.check, "passed": self.passed, "expected": expected, "found": found}


@dataclass(frozen=True, kw_only=True)
class VerifyAssessment(Process):
    """Recompute what a seal says and compare; list what changed since."""

    name: ClassVar[str] = "verify-assessment"
    version: ClassVar[str] = "1.0.0"
    title: ClassVar[str] = "Verify an assessment"
    title_zh: ClassVar[str] = "评估核验"
    description: ClassVar[str] = (
        "Recomputes a sealed result from the log, on the state, rules and inputs that its seal names, and compares "
        "every digest. It is stale when a leaf that it read is superseded, or an object has come to its land: each "
        "is listed, with the numbers that are others today."
    )
    description_zh: ClassVar[str] = (
        "按封签所载的状态、规则和输入从日志重新计算并逐项比对摘要;所读记录被替换或范围内新增对象时判为过期,"
        "并列出变化的对象和数值。"
    )
    reads: ClassVar[tuple[str, ...]] = ()
    outputs: ClassVar[Mapping[str, Any]] = OUTPUTS
    example: ClassVar[Example] = EXAMPLE

    document: Mapping[str, Any] = parameter(
        table(
            {
                "result": {"type": "object"},
                "coverage": {"type": "object"},
                "assessment": {"type": "object", "properties": SEALED, "required": list(SEALED)},
            }
        ),
        "评估文件",
        "What a scenario answered, whole: result, coverage and assessment.",
    )

    def execute(self, database: Database, *, use_live: bool = True) -> dict[str, Any]:
        """Check the digests, then recompute from the log, then look for what changed since."""
        sealed = self.document["assessment"]
        with snapshot(database) as connection:
            now = resolve(connection, None, database.settings.log_dir)
            known = _known(sealed)
            versions = software(connection, known.libraries if known else ())
            claims = [*_digests(self.document), *_city(database, connection, sealed)]
            asked = _asked(sealed)
            context = _context(database, sealed, versions)
            repeated = _repeat(database, self.document, asked) if all(c.passed for c in claims) else []
            status = "valid"
            if not all(check.passed for check in claims):
                status = "invalid"
            elif not all(check.passed for check in repeated):
                status = "invalid" if all(check.passed for check in context) else "undecided"
            changed: list[dict[str, Any]] = []
            differences: list[dict[str, Any]] | None = []
            if status == "valid" and asked is not None:
                changed = _changed(database, connection, asked, now)
                status = "stale" if changed else "valid"
                differences = _differences(database, asked, self.document, now, use_live) if changed else []
        result = {
            "status": status,
            "checks": [check.as_json() for check in (*claims, *context, *repeated)],
            "changes": changed,
            "differences": differences,
        }
        seal = {
            "process": {"id": self.name, "version": self.version},
            **sealed_state(database, now),
            "inputs_hash": digest(self.inputs()),
            "software": versions,
            "result_hash": digest({"result": result}),
        }
        return {"result": result, "assessment": seal}


def _digests(document: Mapping[str, Any]) -> Iterator[Check]:
    """Compare the document with itself."""
    sealed = document["assessment"]
    answer = {"result": document["result"], "coverage": document["coverage"]}
    yield Check("result_hash", sealed["result_hash"], digest(answer))
    yield Check("inputs_hash", sealed["inputs_hash"], digest(sealed["inputs"]))
    yield Check("inputs.as_of", sealed["tree_size"], sealed["inputs"].get("as_of"))
    yield Check("inputs.rule_pack", sealed["rule_pack"]["name"], sealed["inputs"].get("rule_pack"))
    other = sealed["compared_with"]
    yield Check("inputs.compare_with", other and other["name"], sealed["inputs"].get("compare_with"))


def _city(database: Database, connection: sa.Connection, sealed: Mapping[str, Any]) -> Iterator[Check]:
    """Compare the state that it names with the log."""
    yield Check("origin", sealed["origin"], database.settings.origin)
    try:
        root = resolve(connection, sealed["tree_size"], database.settings.log_dir).root.hex()
    except NotFound:
        root = None
    yield Check("root", sealed["root"], root)


def _context(database: Database, sealed: Mapping[str, Any], versions: Mapping[str, str]) -> list[Check]:
    """Compare what it was computed with: process, rules and the software that clips."""
    process, known = sealed["process"], _known(sealed)
    folder = database.settings.dictionary
    here = rule_packs(*([folder] if folder else []))
    packs = {name: sealed[name] for name in ("rule_pack", "compared_with") if sealed[name] is not None}
    return [
        Check("process", f"{process['id']} {process['version']}", f"{known.name} {known.version}" if known else None),
        *(
            Check(name, pack["sha256"], here[pack["name"]].sha256 if pack["name"] in here else None)
            for name, pack in packs.items()
        ),
        *(
            Check(f"software.{name}", sealed["software"][name], versions.get(name))
            for name in sorted(sealed["software"])
        ),
    ]


def _known(sealed: Mapping[str, Any]) -> type[Process] | None:
    """Return the process that it was sealed by, in that version if it is kept."""
    known = scenarios().get(sealed["process"]["id"])
    return known and known.of_version(sealed["process"]["version"])


def _asked(sealed: Mapping[str, Any]) -> Scenario | None:
    """Return the scenario with the sealed inputs; None where there is none that takes them."""
    known = _known(sealed)
    if known is None or not issubclass(known, Scenario):
        return None
    try:
        return known.from_inputs(sealed["inputs"])
    except CimError:
        return None


def _repeat(database: Database, document: Mapping[str, Any], asked: Scenario | None) -> list[Check]:
    """Compute it again, from the log alone, and compare result, read set and the whole seal."""
    sealed = document["assessment"]
    try:
        again = None if asked is None else assess(database, asked, use_live=False)["assessment"]
    except CimError as error:
        return [Check("recomputed", sealed["result_hash"], f"cannot be recomputed: {error}")]
    if again is None:
        return [Check("recomputed", sealed["result_hash"], None)]
    rest = {name: {k: v for k, v in seal.items() if k != "software"} for name, seal in (("s", sealed), ("a", again))}
    return [
        Check("recomputed", sealed["result_hash"], again["result_hash"]),
        Check("read_set", sealed["read_set"]["sha256"], again["read_set"]["sha256"]),
        Check("assessment", digest(rest["s"]), digest(rest["a"])),
    ]


def _changed(database: Database, connection: sa.Connection, asked: Scenario, now: TreeHead) -> list[dict[str, Any]]:
    """Return what became of what was read: on the land as it was sealed, which is read itself if it has a record."""
    state = state_of(connection, database, asked, use_live=False)
    return changes(database, connection, reading(asked, state), state.head.size, now.size)


def _differences(
    database: Database, asked: Scenario, document: Mapping[str, Any], now: TreeHead, use_live: bool
) -> list[dict[str, Any]] | None:
    """Return the indicators that today's city gives otherwise, on the same day and rules; None if it gives none."""
    try:
        again = type(asked).from_inputs(asked.inputs() | {"as_of": now.size, "explain": []})
        today = assess(database, again, use_live=use_live)
    except CimError:
        return None
    before, after = dict(numbers(document["result"])), dict(numbers(today["result"]))
    found = []
    for at in sorted(before.keys() | after.keys()):
        sealed, current = before.get(at, {}), after.get(at, {})
        if sealed.get("value") != current.get("value"):
            unit = (sealed or current)["unit"]
            found.append({"at": at, "unit": unit, "sealed": sealed.get("value"), "now": current.get("value")})
    return found


SCENARIO = VerifyAssessment
