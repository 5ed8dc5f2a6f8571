"""Settings come from the environment and a `.env` file, and go on to processes of our own as they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from cim.errors import InvalidData
from cim.settings import Settings


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("CIM_SRID", "mercator"),
        ("CIM_SRID", "1000000"),
        ("CIM_SRID", "٤٥٤٨"),
        ("CIM_ORIGIN", "https://example.org/log"),
        ("CIM_ORIGIN", "two words"),
        ("CIM_ORIGIN", "bell\a"),
        ("CIM_ORIGIN", "\udcff"),
        ("CIM_API_WRITE", "maybe"),
        ("CIM_CODE_SCHEMES", "building"),
        ("CIM_OIDC_ISSUER", "https://id.example.org"),
    ],
)
def test_a_value_of_the_wrong_form_is_named(variable: str, value: str) -> None:
    with pytest.raises(InvalidData, match=variable):
        Settings.from_environment({variable: value})


def test_an_unknown_variable_is_named() -> None:
    with pytest.raises(InvalidData, match="unknown setting CIM_ORIGINN; known: CIM_HOME, "):
        Settings.from_environment({"CIM_ORIGINN": "city.example.org"})


def test_the_environment_goes_before_the_file(folder: Path) -> None:
    (folder / ".env").write_text('# ours\nCIM_SRID="4547"\nCIM_ORIGIN = city.example.org\nPATH=/x\n', encoding="utf-8")
    found = Settings.from_environment({"CIM_SRID": "EPSG:4549"})
    assert (found.srid, found.origin) == (4549, "city.example.org")


def test_a_file_that_is_no_text_is_named(folder: Path) -> None:
    (folder / ".env").write_bytes(b"CIM_SRID=\xff\n")
    with pytest.raises(InvalidData, match=r"\.env cannot be read as UTF-8 text"):
        Settings.from_environment({})


@pytest.mark.parametrize(("value", "public"), [(None, None), ("*", None), ("building, parcel", {"building", "parcel"})])
def test_collections_are_public_unless_some_are_named(value: str | None, public: set[str] | None) -> None:
    environment = {} if value is None else {"CIM_API_PUBLIC": value}
    assert Settings.from_environment(environment).api_public == public


@pytest.mark.parametrize("value", ["", " ", ","])
def test_an_empty_list_publishes_nothing_and_lets_no_page_call(value: str) -> None:
    found = Settings.from_environment({"CIM_API_PUBLIC": value, "CIM_API_ORIGINS": value})
    assert (found.api_public, found.api_origins) == (frozenset(), frozenset())


def test_settings_survive_the_way_into_another_process(folder: Path) -> None:
    every = {
        "CIM_HOME": str(folder / "home"),
        "CIM_DATABASE_URL": "postgresql://city@db.example.org/city",
        "CIM_SRID": "4549",
        "CIM_ORIGIN": "city.example.org/log",
        "CIM_FILES": "s3://bucket/city",
        "CIM_DICTIONARY": str(folder / "dictionary"),
        "CIM_CODE_SCHEMES": "building=nl-bag,parcel=cn-bdcdyh",
        "CIM_API_WRITE": "if-match",
        "CIM_API_PUBLIC": "",
        "CIM_API_DATABASE_URL": "postgresql://reader@db.example.org/city",
        "CIM_API_RATE": "no",
        "CIM_API_ORIGINS": "",
        "CIM_OIDC_ISSUER": "https://id.example.org",
        "CIM_OIDC_AUDIENCE": "city",
    }
    found = Settings.from_environment(every)
    assert found.variables() == every
    assert Settings.from_environment(found.variables()) == found
    assert Settings.from_environment(Settings.from_environment({}).variables()) == Settings.from_environment({})
