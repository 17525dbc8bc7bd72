"""The notebooks of the documentation run from top to bottom, and hold what they printed."""

import re

import pytest
from repository import ROOT

nbformat = pytest.importorskip("nbformat", reason="nbclient is in the test extra")
from nbclient import NotebookClient  # noqa: E402

PAGES = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))


def _code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def _texts(cells):
    """Return what each cell printed, figures of measured or rounded values taken out.

    A kernel may send what a cell prints in one piece or in several.
    """
    texts = []
    for cell in cells:
        printed = "".join(
            output.get("text") or output.get("data", {}).get("text/plain", "")
            for output in cell.outputs
            if output.get("name") != "stderr"
        )
        texts.append(re.sub(r"\d[\d.e+-]*", "0", printed))
    return texts


@pytest.mark.slow
def test_notebooks_run_and_print_what_is_stored(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    stored = [nbformat.read(page, 4) for page in PAGES]
    fresh = [nbformat.read(page, 4) for page in PAGES]
    assert len(PAGES) == 2
    # One kernel, which forgets all names between the two: most of the time is the import of TensorFlow.
    forget = nbformat.v4.new_code_cell("%reset -f")
    cells = [*fresh[0].cells, forget, *fresh[1].cells]
    for number, cell in enumerate(cells):
        cell.id = f"cell-{number}"  # unique in each notebook, not in both together
    both = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(both, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    for one, other in zip(stored, fresh, strict=True):
        assert _texts(_code(one)) == _texts(_code(other))
    assert list(tmp_path.iterdir()) == []


def test_the_five_lines_are_five():
    notebook = nbformat.read(next(page for page in PAGES if page.stem == "load_weights"), 4)
    cells = notebook.cells
    place = next(n for n, cell in enumerate(cells) if cell.source.startswith("## The five lines"))
    assert len(cells[place + 1].source.splitlines()) <= 5 + 1  # the last one only shows a number
