"""The notebooks run from top to bottom on the demonstration's site."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).resolve().parents[2] / "notebooks").glob("*.ipynb"))


@pytest.mark.slow
@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.name)
def test_notebook_runs_on_the_demonstration_site(
    file: Path, demo_site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every cell runs without error, and the pictures are drawn."""
    monkeypatch.setenv("METRIAGE_SITE", str(demo_site))
    monkeypatch.setenv("PYTHONPATH", str(file.parents[1]))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = nbformat.read(file, as_version=4)

    NotebookClient(notebook, timeout=120, kernel_name="python3").execute(cwd=str(tmp_path))

    kinds = {kind for cell in notebook.cells for output in cell.get("outputs", []) for kind in output.get("data", {})}
    assert "image/png" in kinds
