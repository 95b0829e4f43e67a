"""Runs the notebooks of this folder and saves them with tidy outputs.

    python notebooks/execute.py [notebooks/name.ipynb ...]

Without names it runs all of them. Where a cell fails, the notebook stays as it was.
Outputs lose what only concerns the machine that they ran on: TensorFlow's start-up
messages, time stamps, the Python version. Outputs of cells with the tag "photographs"
lose their pictures: the photographs of a data set are not ours to publish. The picture
of the cell with the tag "index" is kept in `images/`, for the table in `README.md`.
"""

import argparse
import base64
import re
from pathlib import Path

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parent

# What TensorFlow writes to stderr before a program can set its log level, and LiteRT
# and its converter whatever the level is.
LOG_LINE = re.compile(
    r"^(WARNING: All log messages before absl|[IWE]\d{4} |INFO: Created TensorFlow Lite"
    r"|fully_quantize: ).*\n?",
    re.M,
)

# The colours and bold type of Keras' progress bars.
TERMINAL_CODE = re.compile(r"\x1b\[[0-9;]*m")

NO_PHOTOGRAPHS = "(run this cell to see the photographs)\n"


def main() -> None:
    """Runs, tidies and saves the notebooks that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", type=Path)
    for path in parser.parse_args().notebooks or sorted(FOLDER.glob("*.ipynb")):
        notebook = execute(path)
        tidy(notebook)
        nbformat.write(notebook, path)
        picture = index_picture(notebook)
        (path.parent / "images" / f"{path.stem}.png").write_bytes(picture)


def execute(path: Path) -> nbformat.NotebookNode:
    """Returns the notebook with new outputs; raises where a cell does."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=1800,
        kernel_name="python3",
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(path.resolve().parent)}},
    )
    return client.execute()


def tidy(notebook: nbformat.NotebookNode) -> None:
    """Removes, in place, what only concerns this machine and what is not ours."""
    notebook.metadata.language_info = {"name": "python"}
    for cell in notebook.cells:
        if cell.cell_type == "code":
            tidied = [tidy_output(output, cell) for output in cell.outputs]
            cell.outputs = [output for output in tidied if output is not None]


def tidy_output(
    output: nbformat.NotebookNode, cell: nbformat.NotebookNode
) -> nbformat.NotebookNode | None:
    """Returns what of one output is kept, `None` if nothing is."""
    if output.output_type == "stream":
        output.text = LOG_LINE.sub("", TERMINAL_CODE.sub("", output.text))
        return output if output.text.strip() else None
    is_picture = "image/png" in output.get("data", {})
    if is_picture and "photographs" in cell.metadata.get("tags", []):
        return nbformat.v4.new_output("stream", name="stdout", text=NO_PHOTOGRAPHS)
    return output


def index_picture(notebook: nbformat.NotebookNode) -> bytes:
    """Returns the first picture of the cell with the tag "index", a PNG file."""
    (cell,) = [x for x in notebook.cells if "index" in x.metadata.get("tags", [])]
    data = [output.get("data", {}) for output in cell.outputs]
    return base64.b64decode(next(x["image/png"] for x in data if "image/png" in x))


if __name__ == "__main__":
    main()
