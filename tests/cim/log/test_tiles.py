"""The log's folder: the C2SP examples, growth in any steps, damage, and a kill between any two steps."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cim.errors import AuditFailed, CimError, Conflict, InvalidData, NotFound
from cim.log.tiles import TileReader, TileWriter, read_bundle, tile_path, write_bundle
from cim.log.tree import Tree, leaf_hashes

LEAVES = [f"entry {i}".encode() for i in range(70_000)]
HASHES = leaf_hashes(LEAVES)
TREE = Tree(HASHES)


def publish(folder: Path, old: int, new: int, leaves: Sequence[bytes] = LEAVES) -> None:
    hashes = HASHES if leaves is LEAVES else leaf_hashes(leaves)
    root = TREE.root(new) if leaves is LEAVES else Tree(hashes[:new]).root()
    TileWriter(folder).publish(old, new, root, lambda a, b: hashes[a:b], lambda a, b: leaves[a:b])


def files(folder: Path) -> dict[str, bytes]:
    found = (path for path in (folder / "tile").rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published log of 70,000 leaves, the size of the specification's example."""
    folder = tmp_path_factory.mktemp("large")
    publish(folder, 0, 70_000)
    return folder


# ---------------------------------------------------------------- paths and bundles


@pytest.mark.parametrize(
    ("level", "index", "width", "path"),
    [
        (0, 0, 256, "tile/0/000"),
        (0, 1234067, 256, "tile/0/x001/x234/067"),  # https://c2sp.org/tlog-tiles
        (0, 1234067, 8, "tile/0/x001/x234/067.p/8"),
        (2, 999, 1, "tile/2/999.p/1"),
        (1, 1000, 256, "tile/1/x001/000"),
        ("entries", 273, 112, "tile/entries/273.p/112"),
    ],
)
def test_paths(level: int | str, index: int, width: int, path: str) -> None:
    assert tile_path(level, index, width) == path


@pytest.mark.parametrize(("index", "width"), [(-1, 256), (0, 0), (0, 257)])
def test_paths_that_cannot_be(index: int, width: int) -> None:
    with pytest.raises(InvalidData):
        tile_path(0, index, width)


def test_a_bundle_is_length_and_bytes() -> None:
    assert write_bundle([b"", b"abc"]) == b"\0\0\0\3abc"
    assert read_bundle(b"\0\0\0\3abc") == [b"", b"abc"]
    assert read_bundle(write_bundle([b"x" * 65_535])) == [b"x" * 65_535]
    with pytest.raises(InvalidData):
        write_bundle([b"x" * 65_536])


@pytest.mark.parametrize("data", [b"\0", b"\0\3ab", b"\0\1a\0", b"\0\0\0\3abc\1"])
def test_a_bundle_that_ends_early_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidData):
        read_bundle(data)


# ---------------------------------------------------------------- what is written


def test_70000_leaves_make_the_files_of_the_specification(large: Path) -> None:
    full = {name: len(data) for name, data in files(large).items() if name.startswith("tile/0/") and ".p/" not in name}
    assert len(full) == 273
    assert set(full.values()) == {8192}
    others = {n: len(d) // 32 for n, d in files(large).items() if not n.startswith("tile/entries/") and n not in full}
    assert others == {"tile/0/273.p/112": 112, "tile/1/000": 256, "tile/1/001.p/17": 17, "tile/2/000.p/1": 1}
    bundles = [name for name in files(large) if name.startswith("tile/entries/")]
    assert len(bundles) == 274
    assert "tile/entries/273.p/112" in bundles


def test_256_leaves_make_one_full_tile_and_one_of_width_one(tmp_path: Path) -> None:
    publish(tmp_path, 0, 256)
    assert sorted(files(tmp_path)) == ["tile/0/000", "tile/1/000.p/1", "tile/entries/000"]
    assert files(tmp_path)["tile/1/000.p/1"] == TREE.root(256)


def test_an_empty_tree_makes_no_tile(tmp_path: Path) -> None:
    publish(tmp_path, 0, 0)
    assert files(tmp_path) == {}


@settings(deadline=None, max_examples=15)
@given(st.lists(st.sampled_from([1, 2, 100, 255, 256, 257, 300, 1000]), min_size=1, max_size=5))
def test_growth_in_steps_writes_what_one_step_writes_and_keeps_partial_tiles(
    tmp_path_factory: pytest.TempPathFactory, steps: list[int]
) -> None:
    grown, once = tmp_path_factory.mktemp("grown"), tmp_path_factory.mktemp("once")
    sizes = [sum(steps[: i + 1]) for i in range(len(steps))]
    for old, new in zip([0, *sizes], sizes, strict=False):
        publish(grown, old, new)
    publish(once, 0, sizes[-1])
    assert files(once).items() <= files(grown).items()
    extra = files(grown).keys() - files(once).keys()
    assert all(".p/" in name for name in extra)
    reader = TileReader(grown)
    for size in sizes:
        assert reader.root(size) == TREE.root(size)


def test_growth_across_a_tile_of_level_one(tmp_path: Path, large: Path) -> None:
    for old, new in ((0, 65_000), (65_000, 65_536), (65_536, 65_537), (65_537, 70_000)):
        publish(tmp_path, old, new)
    assert files(large).items() <= files(tmp_path).items()


def test_publishing_again_changes_nothing(tmp_path: Path) -> None:
    publish(tmp_path, 0, 600)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "tile").rglob("*")}
    publish(tmp_path, 0, 600)
    publish(tmp_path, 600, 600)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "tile").rglob("*")} == before


def test_a_missing_tile_is_written_again_byte_for_byte(tmp_path: Path) -> None:
    publish(tmp_path, 0, 600)
    before = files(tmp_path)
    (tmp_path / "tile/0/001").unlink()
    publish(tmp_path, 0, 600)
    assert files(tmp_path) == before


# ---------------------------------------------------------------- what is refused


def test_hashes_that_do_not_lead_to_the_root_write_nothing(tmp_path: Path) -> None:
    changed = [*HASHES[:5], HASHES[6], *HASHES[6:300]]
    with pytest.raises(Conflict, match="nothing was published"):
        TileWriter(tmp_path).publish(0, 300, TREE.root(300), lambda a, b: changed[a:b], lambda a, b: LEAVES[a:b])
    assert files(tmp_path) == {}


def test_too_few_hashes_write_nothing(tmp_path: Path) -> None:
    with pytest.raises(Conflict, match="300 hashes"):
        TileWriter(tmp_path).publish(0, 300, TREE.root(299), lambda a, b: HASHES[a:299], lambda a, b: LEAVES[a:b])
    assert files(tmp_path) == {}


def test_an_entry_changed_before_it_is_published_is_not_published(tmp_path: Path) -> None:
    changed = [*LEAVES[:290], b"another", *LEAVES[291:300]]
    with pytest.raises(Conflict, match="from leaf 0 to 299 does not hash"):
        TileWriter(tmp_path).publish(0, 300, TREE.root(300), lambda a, b: HASHES[a:b], lambda a, b: changed[a:b])
    assert not any(b"another" in data for data in files(tmp_path).values())


def test_entries_that_are_missing_are_not_passed_over(tmp_path: Path) -> None:
    with pytest.raises(Conflict, match="does not hash to its leaf"):
        TileWriter(tmp_path).publish(0, 300, TREE.root(300), lambda a, b: HASHES[a:b], lambda a, b: LEAVES[a:299])


def test_a_tile_is_never_rewritten_with_other_bytes(tmp_path: Path) -> None:
    publish(tmp_path, 0, 300)
    before = files(tmp_path)
    with pytest.raises(Conflict, match="is there with other bytes"):
        publish(tmp_path, 0, 300, [b"another history"] * 300)
    assert files(tmp_path) == before


def test_growth_on_a_damaged_tile_is_refused(tmp_path: Path) -> None:
    publish(tmp_path, 0, 600)
    tile = tmp_path / "tile/1/000.p/2"
    tile.write_bytes(b"\0" + tile.read_bytes()[1:])
    with pytest.raises(Conflict, match="nothing was published"):
        publish(tmp_path, 600, 700)


def test_growth_where_the_earlier_tiles_are_gone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Conflict, match="cim log rebuild"):
        publish(tmp_path, 600, 700)


def test_a_log_does_not_shrink(tmp_path: Path) -> None:
    with pytest.raises(InvalidData):
        publish(tmp_path, 300, 299)


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "tile").write_text("a file")
    with pytest.raises(CimError, match="cannot be written: Not a directory"):
        publish(tmp_path, 0, 300)


# ---------------------------------------------------------------- reading


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_the_folder_gives_the_proofs_of_the_tree(large: Path, data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 70_000))
    index = data.draw(st.integers(0, size - 1))
    old = data.draw(st.integers(1, size))
    reader = TileReader(large, cached_tiles=8)
    assert reader.root(size) == TREE.root(size)
    assert reader.inclusion(index, size) == TREE.inclusion(index, size)
    assert reader.consistency(old, size) == TREE.consistency(old, size)
    assert reader.leaf_hash(index) == HASHES[index]
    assert reader.entry(index) == LEAVES[index]


def test_one_reader_follows_a_growing_log(tmp_path: Path) -> None:
    reader = TileReader(tmp_path)
    for old, new in ((0, 10), (10, 11), (11, 256), (256, 300), (300, 700)):
        publish(tmp_path, old, new)
        assert reader.root(new) == TREE.root(new)
        assert reader.entry(new - 1) == LEAVES[new - 1]
        assert reader.inclusion(old, new) == TREE.inclusion(old, new)


def test_what_is_not_published_is_not_found(tmp_path: Path) -> None:
    reader = TileReader(tmp_path)
    with pytest.raises(NotFound, match="nothing was published"):
        reader.checkpoint()
    publish(tmp_path, 0, 300)
    asks: list[Callable[[], object]] = [
        lambda: reader.root(301),
        lambda: reader.inclusion(0, 301),
        lambda: reader.consistency(300, 301),
        lambda: reader.leaf_hash(300),
        lambda: reader.entry(300),
        lambda: reader.entry(1_000_000),
    ]
    for ask in asks:
        with pytest.raises(NotFound):
            ask()
    for ask in (lambda: reader.leaf_hash(-1), lambda: reader.entry(-1), lambda: reader.inclusion(300, 300)):
        with pytest.raises(InvalidData):
            ask()


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b"\0", lambda _: b""])
def test_a_damaged_file_is_told_and_not_used(tmp_path: Path, change: Callable[[bytes], bytes]) -> None:
    publish(tmp_path, 0, 300)
    for name in ("tile/0/000", "tile/entries/000"):
        path = tmp_path / name
        path.write_bytes(change(path.read_bytes()))
    reader = TileReader(tmp_path)
    with pytest.raises(AuditFailed, match="tile/0/000"):
        reader.inclusion(5, 300)
    with pytest.raises(AuditFailed, match="tile/entries/000"):
        reader.entry(0)


def test_the_checkpoint_is_replaced_whole(tmp_path: Path) -> None:
    writer, reader = TileWriter(tmp_path), TileReader(tmp_path)
    writer.publish_checkpoint("first — note, rather long\n")
    writer.publish_checkpoint("second\n")
    assert reader.checkpoint() == "second\n"


# ---------------------------------------------------------------- killed at any step

# Publishes in a child process that kills itself at its n-th file operation, for n = 1, 2, … until it gets through.
# After each kill every file under its name must be whole, and a second run must finish the work.
CRASH = """
import os, shutil, signal, sys
from pathlib import Path
from cim.log.tiles import TileReader, TileWriter
from cim.log.tree import Tree, leaf_hashes

folder, leaves = Path(sys.argv[1]), [b"entry %d" % i for i in range(600)]
hashes = leaf_hashes(leaves)
root = {size: Tree(hashes[:size]).root() for size in (300, 600)}

def publish(old, new):
    TileWriter(folder).publish(old, new, root[new], lambda a, b: hashes[a:b], lambda a, b: leaves[a:b])
    TileWriter(folder).publish_checkpoint("size %d" % new)

def die_at(step):
    left = [step]
    def hook(event, arguments):
        if event in ("open", "os.rename", "os.mkdir", "os.remove"):
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)

def files():
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

def check():
    for name, data in files().items():
        if name.startswith("tile/") and "entries" not in name:
            width = int(name.rpartition("/")[2]) if ".p/" in name else 256
            assert len(data) == 32 * width, name
    size = int(TileReader(folder).checkpoint().split()[1])
    assert TileReader(folder).root(size) == root[size]
    assert [TileReader(folder).entry(i) for i in range(size)] == leaves[:size]

publish(0, 300)
publish(300, 600)
finished, kills = files(), 0
while True:
    shutil.rmtree(folder)
    publish(0, 300)
    if (child := os.fork()) == 0:
        die_at(kills + 1)
        publish(300, 600)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    check()
    publish(300, 600)
    assert files() == finished
    if status == 0:
        break
    assert status == -signal.SIGKILL, status
    kills += 1
print(kills)
"""


def test_killed_at_any_step_a_second_run_finishes(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", CRASH, str(tmp_path / "log")], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) > 20
