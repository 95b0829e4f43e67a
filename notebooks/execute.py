"""Runs the notebooks of this folder and saves them with tidy outputs.

    python notebooks/execute.py [name.ipynb ...]

Without names it runs all of them. Outputs lose what only concerns the machine that
they ran on: TensorFlow's start-up messages, time stamps, the Python version. Outputs
of cells with the tag "photographs" lose their pictures: photographs from a data set
are not ours to publish. `--keep` leaves these in, and writes elsewhere.
"""

import argparse
import re
from pathlib import Path

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parent

# What TensorFlow writes to stderr before a program can set its log level.
LOG_LINE = re.compile(r"^(WARNING: All log messages before absl|[IWE]\d{4} ).*\n?", re.M)

NO_PHOTOGRAPHS = "(run this cell to see the photographs)\n"


def main() -> None:
    """Runs, tidies and saves the notebooks that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", type=Path)
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="write whole there")
    arguments = parser.parse_args()
    for path in arguments.notebooks or sorted(FOLDER.glob("*.ipynb")):
        notebook = execute(path)
        if arguments.keep:
            nbformat.write(notebook, arguments.keep / path.name)
            continue
        tidy(notebook)
        nbformat.write(notebook, path)


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
        if cell.cell_type != "code":
            continue
        tagged = "photographs" in cell.metadata.get("tags", [])
        outputs = [without_photograph(o) if tagged else o for o in cell.outputs]
        cell.outputs = [o for o in map(without_log_lines, outputs) if o is not None]


def without_log_lines(output: nbformat.NotebookNode) -> nbformat.NotebookNode | None:
    """Returns the output without TensorFlow's messages, `None` if none is left."""
    if output.get("name") != "stderr":
        return output
    output.text = LOG_LINE.sub("", output.text)
    return output if output.text.strip() else None


def without_photograph(output: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Returns a line of text in place of a picture."""
    if "image/png" not in output.get("data", {}):
        return output
    return nbformat.v4.new_output("stream", name="stdout", text=NO_PHOTOGRAPHS)


if __name__ == "__main__":
    main()
