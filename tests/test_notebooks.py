"""Notebooks: saved with clean outputs, and, on real material, they still run."""

import json
import re
import tempfile
from pathlib import Path

import pytest
from helpers import needs_shared

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
COLAB = "https://colab.research.google.com/github/tlkeras/tlkeras/blob/main/notebooks/"

ABSOLUTE_PATH = re.compile(r"(?<![\w.:/])/(home|root|work|Users|tmp|private|usr|opt)/")

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)


def read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def code_cells(notebook: dict) -> list[dict]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def texts(output: dict) -> list[str]:
    """Returns everything that an output shows, pictures left out."""
    shown = {"text": output.get("text", ""), **output.get("data", {})}
    return ["".join(shown[kind]) for kind in shown if not kind.startswith("image/")]


def test_there_are_notebooks():
    assert NOTEBOOKS


@each_notebook
def test_is_a_notebook_of_format_4_for_python_3(path):
    notebook = read(path)
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    assert notebook["metadata"]["language_info"] == {"name": "python"}
    required = {"markdown": {"cell_type", "id", "metadata", "source"}}
    required["code"] = required["markdown"] | {"execution_count", "outputs"}
    for cell in notebook["cells"]:
        assert set(cell) == required[cell["cell_type"]]
    ids = [cell["id"] for cell in notebook["cells"]]
    assert len(ids) == len(set(ids))


@each_notebook
def test_has_a_colab_badge_for_itself(path):
    first = read(path)["cells"][0]
    assert first["cell_type"] == "markdown"
    badge = "".join(first["source"]).splitlines()[0]
    assert badge.startswith("[![Open in Colab](")
    assert badge.endswith(f"]({COLAB}{path.name})")


@each_notebook
def test_was_run_from_top_to_bottom_without_errors(path):
    cells = code_cells(read(path))
    counts = [cell["execution_count"] for cell in cells]
    assert counts == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert outputs
    for output in outputs:
        assert output["output_type"] != "error"
        assert output.get("name") != "stderr", texts(output)


@each_notebook
def test_shows_nothing_of_the_machine_it_ran_on(path):
    for cell in read(path)["cells"]:
        assert "execution" not in cell["metadata"], "time stamps"
        shown = [text for out in cell.get("outputs", []) for text in texts(out)]
        for text in ["".join(cell["source"]), *shown]:
            assert not ABSOLUTE_PATH.search(text), text
            assert str(Path.home()) not in text


@each_notebook
def test_holds_no_photographs_of_a_data_set(path):
    for cell in code_cells(read(path)):
        if "photographs" in cell["metadata"].get("tags", []):
            kinds = [kind for out in cell["outputs"] for kind in out.get("data", {})]
            assert not any(kind.startswith("image/") for kind in kinds)


@pytest.fixture
def empty_folder(monkeypatch):
    """A folder for all that a kernel writes, its own and temporary files included."""
    with tempfile.TemporaryDirectory() as folder:
        for variable in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "MPLCONFIGDIR"):
            monkeypatch.setenv(variable, str(Path(folder, variable)))
        monkeypatch.setenv("TLKERAS_CACHE", str(Path(folder, "cache")))
        for name in ("home", "temporary"):
            Path(folder, name).mkdir()
        monkeypatch.setenv("TMPDIR", str(Path(folder, "temporary")))
        # An inline backend draws the pictures of a notebook.
        monkeypatch.delenv("MPLBACKEND", raising=False)
        yield Path(folder, "home")


@pytest.mark.real
@each_notebook
def test_runs_and_learns(path, empty_folder, monkeypatch):
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    monkeypatch.setenv("KERAS_HOME", str(needs_shared("keras_home")))
    pictures = needs_shared("data", "ants_bees")
    monkeypatch.setenv("TLKERAS_NOTEBOOK_DATA", str(pictures))

    notebook = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(empty_folder)}}
    nbclient.NotebookClient(
        notebook, timeout=900, kernel_name="python3", resources=resources
    ).execute()

    table = "".join(text for out in last_outputs(notebook) for text in texts(out))
    accuracies = dict(re.findall(r"^(by hand|tlkeras) +\d+ +([\d.]+)", table, re.M))
    assert accuracies.keys() == {"by hand", "tlkeras"}
    assert all(float(accuracy) > 0.9 for accuracy in accuracies.values()), table
    assert list(empty_folder.iterdir()) == []


def last_outputs(notebook: dict) -> list[dict]:
    return [cell["outputs"] for cell in code_cells(notebook) if cell["outputs"]][-1]
