"""Every notebook runs top to bottom on the sample district, loaded by the ingest. Outputs are not kept in the files."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from cim.city import City
from cim.settings import Settings
from ingest import Options, ingest, mapping

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.fixture
def sample(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Load the sample district and make it the city that `cim.connect()` opens."""
    city = City(settings)
    mappings = mapping.load(sorted((ROOT / "sample_data" / "mappings").glob("*.json")), city.database.dictionary)
    report = ingest(city.database, [ROOT / "sample_data" / "data"], Options(mappings=mappings))
    assert [(file.path, file.error) for file in report.files if file.error] == []
    city.sequence(60.0)
    city.close()
    assert settings.database_url is not None
    monkeypatch.setenv("CIM_DATABASE_URL", settings.database_url)
    monkeypatch.setenv("CIM_HOME", str(settings.home))
    monkeypatch.setenv("CIM_ORIGIN", settings.origin)
    # A proxy that nothing listens at: whatever reached for the network would fail.
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs_top_to_bottom(path: Path, sample: None, tmp_path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    errors = [o for cell in notebook.cells for o in cell.get("outputs", []) if o.output_type == "error"]
    warned = [o.text for cell in notebook.cells for o in cell.get("outputs", []) if o.get("name") == "stderr"]
    assert not errors
    assert not warned
    pictures = [o for cell in notebook.cells for o in cell.get("outputs", []) if "image/png" in o.get("data", {})]
    assert pictures


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_stored_without_outputs(path: Path) -> None:
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None


def test_there_are_notebooks() -> None:
    assert NOTEBOOKS
