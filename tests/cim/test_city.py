"""The SDK's one door, on a real database: read, write, look back, prove."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import geopandas as gpd
import pandas as pd
import pytest
import sqlalchemy as sa
from shapely import MultiPolygon, Polygon, box
from shapely.geometry import Point

from cim.city import City
from cim.db.logstore import LogStore
from cim.db.write import WriteCounts
from cim.errors import Conflict, CrsError, InvalidCode, InvalidData, InvalidFilter, InvalidProof, NotFound
from cim.export import export_features
from cim.log.verify import verify_proof
from cim.settings import Settings

PARCEL = "340123002004GB00011"
HOUSE = f"{PARCEL}F00010000"
SHED = f"{PARCEL}F00020000"
SQUARE = box(500000, 4300000, 500010, 4300010)


@pytest.fixture
def city(settings: Settings) -> Iterator[City]:
    with City(settings) as city:
        yield city


def frame(codes: list[str], shapes: list[object], crs: object = 4548, **columns: list[object]) -> gpd.GeoDataFrame:
    return gpd.GeoDataFrame(columns, index=pd.Index(codes, name="code"), geometry=shapes, crs=crs)


@pytest.fixture
def built(city: City) -> City:
    """A house and a shed, sequenced at tree size 3 (the dictionary's entry comes first)."""
    city.write("building", frame([HOUSE], [SQUARE], name=["甲"], year_built=[1978], height=[9.5]))
    city.write("building", frame([SHED], [box(500020, 4300000, 500025, 4300005)], name=["乙"], height=[3.0]))
    assert city.sequence().size == 3
    return city


def test_features_come_as_a_frame_by_code_with_their_state(built: City) -> None:
    found = built.features("building")
    assert list(found.index) == [HOUSE, SHED]
    assert found.crs == "EPSG:4548"
    assert found.loc[HOUSE, "name"] == "甲"
    assert found.loc[HOUSE].geom.equals(MultiPolygon([SQUARE]))
    head = built.tree_head()
    assert found.attrs == {"tree_size": 3, "tree_root": head.root.hex()}


def test_an_empty_answer_keeps_its_columns(built: City) -> None:
    found = built.features("building", where="height > 100")
    assert len(found) == 0
    assert {"name", "height", "attributes"} <= set(found.columns)


@pytest.mark.parametrize(
    ("selection", "codes"),
    [
        ({"bbox": (500000, 4300000, 500005, 4300005)}, [HOUSE]),
        ({"bbox": (500012, 4300000, 500015, 4300005)}, []),
        ({"where": "year_built < 1980"}, [HOUSE]),
        ({"where": "year_built IS NULL AND name = '乙'"}, [SHED]),
        ({"limit": 1}, [HOUSE]),
        ({"where": "S_INTERSECTS(geom, POINT(117.0002 38.83))", "limit": 5}, []),
    ],
)
def test_features_are_selected(built: City, selection: dict[str, object], codes: list[str]) -> None:
    assert list(built.features("building", **selection).index) == codes  # type: ignore[arg-type]


def test_a_box_may_come_in_degrees(built: City) -> None:
    west, south, east, north = built.features("building").to_crs(4490).total_bounds
    found = built.features("building", bbox=(west, south, east, north), bbox_crs="EPSG:4490")
    assert len(found) == 2


def test_as_of_sees_the_old_state(built: City) -> None:
    old = built.features("building", as_of=3)
    built.write("building", frame([HOUSE], [box(500000, 4300000, 500020, 4300010)], height=[12.0]))
    built.sequence()
    assert built.get(HOUSE).properties["height"] == 12.0
    assert built.get(HOUSE, as_of=3).properties["height"] == 9.5
    assert built.get(HOUSE).geometry.area == 200
    pd.testing.assert_frame_equal(built.features("building", as_of=3), old)
    assert built.features("building", as_of=2).index.tolist() == [HOUSE]
    assert built.features("building", as_of=1).empty


def test_as_of_takes_checkpoints_and_instants(built: City) -> None:
    checkpoint = built.checkpoint().partition("\n\n")[0] + "\n"
    before = datetime.now(UTC)
    built.write("building", pd.DataFrame({"height": [12.0]}, index=[HOUSE]))
    built.sequence()
    assert built.get(HOUSE, as_of=checkpoint).properties["height"] == 9.5
    assert built.get(HOUSE, as_of=before).properties["height"] == 9.5
    assert built.get(HOUSE, as_of=before.isoformat()).properties["height"] == 9.5
    assert built.get(HOUSE, as_of=datetime.now(UTC)).properties["height"] == 12.0


@pytest.mark.parametrize(
    ("as_of", "error", "message"),
    [
        (4, NotFound, "0 to 3"),
        (-1, NotFound, "no tree size -1"),
        ("9" * 5000, NotFound, "no tree size of 5000 digits"),
        ("soon", InvalidData, "tree size, an RFC 3339 instant or a checkpoint"),
        ("2026-01-01T00:00:00", InvalidData, "no time zone"),
        (datetime(1999, 1, 1, tzinfo=UTC), NotFound, "did not exist yet"),
        ("example.org/test\n2\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n", InvalidProof, "its root differs"),
    ],
)
def test_a_state_that_is_not_ours_is_refused(built: City, as_of: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        built.features("building", as_of=as_of)  # type: ignore[arg-type]


def test_the_root_between_two_heads_is_that_of_the_tiles(built: City) -> None:
    """Sizes 1 to 3 were one batch: only 3 has a recorded head."""
    with built.database.engine.connect() as connection:
        hashes = connection.execute(sa.text("SELECT hash FROM cim.leaf ORDER BY idx")).scalars().all()
    assert built.tree_head(1).root == bytes(hashes[0])


def test_unsequenced_changes_leave_the_answer_unpinned(built: City) -> None:
    built.write("building", pd.DataFrame({"height": [12.0]}, index=[HOUSE]))
    assert built.features("building").attrs == {"tree_size": None, "tree_root": None}
    assert built.get(HOUSE).leaf is None


def test_history_tells_who_and_why(built: City) -> None:
    built.write("building", pd.DataFrame({"height": [12.0]}, index=[HOUSE]), actor="li.wei", reason="survey")
    built.sequence()
    entries = built.history(HOUSE)
    assert [(e.rev, e.op, e.leaf) for e in entries] == [(1, "insert", 1), (2, "update", 3)]
    assert (entries[1].actor, entries[1].reason) == ("li.wei", "survey")
    assert entries[1].body is not None
    assert entries[1].body["height"] == 12


def test_a_proof_verifies_with_nothing_but_the_key(built: City) -> None:
    proof = built.proof(HOUSE)
    verified = verify_proof(proof, built.publisher.signer.verifier.to_text())
    assert (verified.index, verified.size, verified.entry["code"]) == (1, 3, HOUSE)
    assert verified.entry["body"] == {"name": "甲", "year_built": 1978, "height": 9.5}
    assert verified.root == built.tree_head().root
    with pytest.raises(InvalidProof):
        verify_proof(proof.replace("index 1\n", "index 2\n"), built.publisher.signer.verifier.to_text())


def test_an_old_revision_is_proved_in_the_new_tree(built: City) -> None:
    built.write("building", pd.DataFrame({"height": [12.0]}, index=[HOUSE]))
    built.sequence()
    key = built.publisher.signer.verifier.to_text()
    assert verify_proof(built.proof(HOUSE), key).entry["rev"] == 2
    assert verify_proof(built.proof(HOUSE, as_of=3), key).entry["rev"] == 1


def test_writing_what_is_there_changes_nothing(built: City) -> None:
    assert built.write("building", built.features("building")) == WriteCounts(0, 0, 2)
    assert built.sequence().size == 3


def test_columns_not_given_stay_and_nulls_clear(built: City) -> None:
    built.write("building", pd.DataFrame({"name": [None]}, index=[HOUSE]))
    found = built.get(HOUSE)
    assert "name" not in found.properties
    assert found.properties["height"] == 9.5
    assert found.geometry is not None


def test_attributes_are_kept_key_by_key(built: City) -> None:
    built.write("building", pd.DataFrame({"attributes": [{"survey": 7, "colour": "red"}]}, index=[HOUSE]))
    built.write("building", pd.DataFrame({"attributes": [{"colour": "grey"}]}, index=[HOUSE]))
    assert built.get(HOUSE).properties["attributes"] == {"survey": 7, "colour": "grey"}


def test_geometry_is_transformed_and_snapped(city: City) -> None:
    shape = gpd.GeoSeries([box(500000.00049, 4300000, 500010, 4300010)], crs=4548).to_crs(4490)
    city.write("building", frame([HOUSE], list(shape), crs=4490))
    stored = city.get(HOUSE).geometry
    assert stored.bounds == (500000.0, 4300000.0, 500010.0, 4300010.0)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (frame(["nonsense"], [SQUARE]), InvalidCode, "cn-bdcdyh"),
        (frame([HOUSE, HOUSE], [SQUARE, SQUARE]), InvalidCode, "stands twice"),
        (frame([HOUSE], [SQUARE], colour=["red"]), InvalidData, "no column colour"),
        (frame([HOUSE], [SQUARE], height=["tall"]), InvalidData, "height must be number"),
        (frame([HOUSE], [SQUARE], height=[-5.0]), InvalidData, "building_height_valid"),
        (frame([HOUSE], [SQUARE], usage=["castle"]), InvalidData, "building_usage_valid"),
        (frame([HOUSE], [SQUARE], crs=None), CrsError, "no CRS"),
        (frame([HOUSE], [SQUARE], crs=2435), CrsError, "Beijing 1954"),
        (frame([HOUSE], [Polygon([(0, 0), (9, 9), (9, 0), (0, 9)])]), InvalidData, "Self-intersection"),
        (frame([HOUSE], [Point(500000, 4300000)]), InvalidData, "Point"),
    ],
)
def test_what_cannot_be_written_is_refused_whole(
    built: City, given: gpd.GeoDataFrame, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        built.write("building", given)
    assert built.sequence().size == 3


def test_unknown_things_are_named(built: City) -> None:
    with pytest.raises(NotFound, match="no feature type 'castle'; there are"):
        built.features("castle")
    with pytest.raises(NotFound, match="no object has the code 'x'"):
        built.get("x")
    with pytest.raises(InvalidFilter, match="colour"):
        built.features("building", where="colour = 'red'")


def test_a_code_that_two_types_know_needs_the_type(built: City) -> None:
    with built.database.engine.begin() as connection:
        connection.execute(sa.text("INSERT INTO city.unit (code, name) VALUES (:code, '101')"), {"code": HOUSE})
    with pytest.raises(Conflict, match="building, unit"):
        built.get(HOUSE)
    assert built.get(HOUSE, type_name="unit").properties == {"name": "101"}


def test_codes_are_resolved_and_proposed(built: City) -> None:
    (found,) = built.resolve("340123 002004 gb00011 f00010000")
    assert (found.type, found.code) == ("building", HOUSE)
    assert built.resolve("nothing") == []
    assert built.mint("cn-bdcdyh", PARCEL) == [f"{PARCEL}F00030000"]


@pytest.mark.parametrize("suffix", [".gpkg", ".geojson", ".fgb", ".parquet"])
def test_an_export_is_of_one_state_and_says_which(built: City, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"buildings{suffix}"
    state = export_features(built, "building", path)
    assert (state["features"], state["tree_size"]) == (2, 3)
    read = gpd.read_parquet(path) if suffix == ".parquet" else gpd.read_file(path)
    assert sorted(read["code"]) == [HOUSE, SHED]
    assert sorted(read.geometry.area.round(3)) == [25.0, 100.0]
    assert path.with_name(f"buildings{suffix}.state.json").is_file()
    with pytest.raises(InvalidData, match="exists"):
        export_features(built, "building", path)


@pytest.mark.parametrize("suffix", [".gpkg", ".geojson", ".fgb", ".parquet"])
def test_an_export_that_fails_leaves_nothing_and_says_why(built: City, tmp_path: Path, suffix: str) -> None:
    with pytest.raises(InvalidData, match=r"cannot write .*nowhere"):
        export_features(built, "building", tmp_path / "nowhere" / f"buildings{suffix}")
    in_the_way = tmp_path / f"buildings{suffix}.state.json"
    in_the_way.mkdir()
    with pytest.raises(InvalidData, match=r"cannot write .*: Is a directory"):
        export_features(built, "building", tmp_path / f"buildings{suffix}")
    assert list(tmp_path.glob("*buildings*")) == [in_the_way]
    assert list(tmp_path.glob(f".*{suffix}*")) == []


def test_status_counts_objects_and_lag(built: City) -> None:
    before = datetime.now(UTC)
    built.write("building", pd.DataFrame({"height": [12.0]}, index=[HOUSE]))
    status = built.status()
    assert status["objects"]["building"] == 2
    assert (status["tree_size"], status["unsequenced"]) == (3, 1)
    assert before < datetime.fromisoformat(status["oldest_unsequenced"]) < datetime.now(UTC)
    assert 0 < status["lag_seconds"] < (datetime.now(UTC) - before).total_seconds()
    assert status["held_back_by"] is None
    built.sequence()
    lag = built.lag()
    assert (lag.revisions, lag.oldest, lag.seconds, lag.held_back_by) == (0, None, 0.0, None)
    assert str(lag) == "the log holds every committed revision"


def test_the_transaction_that_the_log_waits_for_is_named(built: City) -> None:
    url = sa.make_url(str(built.settings.database_url)).update_query_dict({"application_name": "nightly import"})
    other = sa.create_engine(url)
    with other.connect() as open_one:
        process = open_one.execute(sa.text("SELECT pg_backend_pid()")).scalar_one()
        open_one.execute(sa.text("INSERT INTO city.building (code) VALUES ('slow')"))
        built.write("building", pd.DataFrame({"height": [12.0]}, index=[HOUSE]))
        size = built.sequence(0.0).size
        lag = built.lag()
        assert (size, lag.revisions) == (3, 1)
        assert f"(process {process}, nightly import, since " in str(lag.held_back_by)
        assert str(lag).startswith("1 committed revisions have no leaf yet, the oldest since ")
        open_one.rollback()
    other.dispose()
    assert built.sequence(300).size == 4


def test_a_sequencer_that_does_not_queue_leaves_the_work_to_the_one_at_work(built: City) -> None:
    built.write("building", pd.DataFrame({"height": [12.0]}, index=[HOUSE]))
    with built.database.engine.connect() as other:
        with LogStore(other).exclusive():
            assert built.sequence(0.0, queue=False).size == 3
        with LogStore(other).exclusive_if_free() as free:
            assert free
            with LogStore(other).exclusive():
                pass
            assert built.sequence(0.0, queue=False).size == 3
    assert built.sequence(300, queue=False).size == 4
