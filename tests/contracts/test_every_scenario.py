"""What every scenario promises, whatever it computes: a new one is tested by being in its folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from cim.db.engine import Database
from cim.db.script import FOLDER
from cim.errors import InvalidData
from cim.scenarios import OUTPUT, Scenario, canonical, describe, run, scenario, scenarios
from cim.scenarios._indicator import numbers

Processes = pytest.mark.parametrize("scenario_id", scenarios())
Scenarios = pytest.mark.parametrize("scenario_id", [n for n, s in scenarios().items() if issubclass(s, Scenario)])


@pytest.fixture
def example(database: Database, put: Callable[..., int], scenario_id: str) -> dict[str, Any]:
    """Load the scenario's worked example and answer its inputs."""
    put(database, scenario(scenario_id).example.objects)
    return dict(scenario(scenario_id).example.inputs)


# A report is made of documents that a city has sealed, which no example can hold; tests of reports make their own.
@pytest.mark.parametrize("scenario_id", sorted(scenarios().keys() - {"render-report"}))
def test_its_worked_example_works(database: Database, example: dict[str, Any], scenario_id: str) -> None:
    document = run(database, scenario_id, example)
    assert_contains(document["result"], scenario(scenario_id).example.result, scenario_id)
    schema = describe(scenario(scenario_id))["outputs"][OUTPUT]["schema"]
    Draft202012Validator(schema).validate(json.loads(canonical(document)))


@Scenarios
def test_twice_gives_the_same_bytes(database: Database, example: dict[str, Any], scenario_id: str) -> None:
    document = run(database, scenario_id, example)
    assert canonical(run(database, scenario_id, example)) == canonical(document)
    assert canonical(run(database, scenario_id, example, use_live=False)) == canonical(document)
    assert canonical(run(database, scenario_id, document["assessment"]["inputs"])) == canonical(document)


@Scenarios
def test_a_whole_number_may_be_written_with_a_point(
    database: Database, example: dict[str, Any], scenario_id: str
) -> None:
    def pointed(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: pointed(item) for name, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [pointed(item) for item in value]
        return float(value) if type(value) is int else value

    inputs = scenario(scenario_id).from_inputs(example).inputs()
    assert canonical(run(database, scenario_id, pointed(inputs))) == canonical(run(database, scenario_id, inputs))


@Scenarios
def test_its_answer_is_verified_from_what_a_file_holds_of_it(
    database: Database, example: dict[str, Any], scenario_id: str
) -> None:
    document = json.loads(canonical(run(database, scenario_id, example)))
    verified = run(database, "verify-assessment", {"document": document})["result"]
    assert (verified["status"], [c for c in verified["checks"] if not c["passed"]]) == ("valid", [])


@Scenarios
def test_every_number_carries_its_unit(database: Database, example: dict[str, Any], scenario_id: str) -> None:
    document = run(database, scenario_id, example)
    indicators = list(walk(document["result"]))
    assert indicators
    for indicator in indicators:
        assert {"value", "unit", "n", "n_known", "low", "high"} <= indicator.keys()
        assert indicator["unit"]


@Scenarios
def test_every_number_opens_into_what_it_adds_up(
    database: Database, example: dict[str, Any], adds_up: Callable[..., None], scenario_id: str
) -> None:
    """Value = factor × Σ num ÷ Σ den, exactly: the contributions are read from the file as they were written."""
    given = example | ({"list_objects": True} if "list_objects" in scenario(scenario_id).input_schema() else {})
    plain = run(database, scenario_id, given)
    explained = run(database, scenario_id, given | {"explain": ["/"]})
    verified = run(database, "verify-assessment", {"document": json.loads(canonical(explained))})
    assert verified["result"]["status"] == "valid"
    assert explained["result"].keys() - plain["result"].keys() == {"why"}
    assert explained["result"] | plain["result"] == explained["result"]
    adds_up(json.loads(canonical(explained))["result"])


@Scenarios
def test_one_number_is_opened_by_where_it_stands(database: Database, example: dict[str, Any], scenario_id: str) -> None:
    first = next(at for at, _ in numbers(run(database, scenario_id, example)["result"]))
    result = run(database, scenario_id, example | {"explain": [first]})["result"]
    assert [line["at"] for line in result["why"]] == [first]
    with pytest.raises(InvalidData, match=r"no number at /nowhere; there are /"):
        run(database, scenario_id, example | {"explain": ["/nowhere"]})


@Processes
def test_its_description_is_an_ogc_process(scenario_id: str) -> None:
    description = describe(scenario(scenario_id))
    json.dumps(description)
    assert description["id"] == scenario_id
    assert description["version"].count(".") == 2
    for key in ("title", "description", "x-cim-title-zh", "x-cim-description-zh"):
        assert description[key]
    assert description["jobControlOptions"] == ["sync-execute", "async-execute", "dismiss"]
    assert list(description["outputs"]) == [OUTPUT]
    for declared in description["inputs"].values():
        assert declared["description"]
        assert declared["x-cim-title-zh"]
        assert declared["minOccurs"] in (0, 1)
        Draft202012Validator.check_schema(declared["schema"])
        if "default" in declared["schema"]:
            Draft202012Validator(declared["schema"]).validate(declared["schema"]["default"])
    forms = description["outputs"][OUTPUT]["schema"]["oneOf"]
    for form in forms:
        Draft202012Validator.check_schema(form)
    assert {"result", "assessment"} <= forms[0]["properties"].keys()
    Draft202012Validator(scenario(scenario_id).input_schema()).validate(description["x-cim-example"]["inputs"])


@Processes
def test_its_inputs_are_checked(scenario_id: str) -> None:
    wanted = scenario(scenario_id)
    good = dict(wanted.example.inputs)
    assert wanted.from_inputs(good).inputs() | good == wanted.from_inputs(good).inputs()
    with pytest.raises(InvalidData, match="has no input nonsense"):
        wanted.from_inputs(good | {"nonsense": 1})
    for required in wanted.input_schema()["required"]:
        with pytest.raises(InvalidData, match=required):
            wanted.from_inputs({name: value for name, value in good.items() if name != required})
    for name, schema in wanted.input_schema()["properties"].items():
        if "enum" in schema:
            with pytest.raises(InvalidData, match=name):
                wanted.from_inputs(good | {name: "no such value"})


@Scenarios
def test_it_reads_only_what_it_says(database: Database, scenario_id: str) -> None:
    """The types it names exist, and its queries ask for no other: the read set would miss them."""
    reads = scenario(scenario_id).reads
    for name in reads:
        database.dictionary.type(name)
    folder = FOLDER / "queries" / "scenarios"
    names = scenario(scenario_id).queries or (scenario_id.replace("-", "_"),)
    text = "".join((folder / f"{name}.sql").read_text(encoding="utf-8") for name in names)
    asked = {name for name in database.dictionary.types if f"city.{name}_at(" in text or f"city.{name} " in text}
    assert asked == set(reads)


def walk(value: Any) -> Iterator[Mapping[str, Any]]:
    """Yield every mapping with a value and a unit."""
    if isinstance(value, Mapping):
        if "unit" in value:
            yield value
        else:
            for item in value.values():
                yield from walk(item)
    elif isinstance(value, list):
        for item in value:
            yield from walk(item)


def assert_contains(actual: Any, expected: Any, path: str) -> None:
    """Compare what `expected` names; numbers must be equal."""
    if isinstance(expected, Mapping):
        for name, item in expected.items():
            assert name in actual, f"{path}.{name} is missing"
            assert_contains(actual[name], item, f"{path}.{name}")
    elif isinstance(expected, list):
        assert len(actual) == len(expected), path
        for i, (found, item) in enumerate(zip(actual, expected, strict=True)):
            assert_contains(found, item, f"{path}[{i}]")
    else:
        assert actual == expected, path
