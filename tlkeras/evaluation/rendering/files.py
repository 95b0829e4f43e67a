"""Writing a report so that a final name never holds a half-written file."""

import contextlib
import json
import os
from pathlib import Path

from tlkeras._files import write_whole, written_whole
from tlkeras.evaluation.drawing import Drawing
from tlkeras.evaluation.rendering.html import page
from tlkeras.evaluation.rendering.pictures import pictures

# Endings of single files, which a report is not saved as.
_OTHER_FILES = (".csv", ".htm", ".json", ".pdf", ".png", ".txt")


def save(report: Drawing, path: str | os.PathLike) -> None:
    """Writes `report` to an HTML file or a folder; see `Report.save`."""
    path = Path(path)
    single = path.suffix.lower() == ".html"
    _check_path(path, single)
    folder = path if path.is_dir() else path.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(f"{str(folder)!r} may not be written to")
        if single:
            write_whole(path, page(report, pictures(report)))
        else:
            _write_folder(path, _files_of(report))
    except OSError as error:
        raise ValueError(
            f"The report cannot be written to {str(path)!r}: {error}. "
            "`path` must lie in a folder that can be written to."
        ) from error


def _check_path(path: Path, single: bool) -> None:
    wrong_kind = path.is_dir() if single else path.is_file()
    if wrong_kind or path.suffix.lower() in _OTHER_FILES:
        found = "a folder" if path.is_dir() else "a file"
        raise ValueError(
            "`path` must end in '.html' for a single file, or name a folder. "
            f"Received: path={str(path)!r}"
            + (f", which is {found}." if path.exists() else ".")
        )


def _files_of(report: Drawing) -> dict[str, str | bytes]:
    """Returns what a folder of a report holds, by file name."""
    drawn = pictures(report)
    figures = json.dumps(report.to_dict(), indent=2, ensure_ascii=False)
    return {
        "report.html": page(report, drawn),
        **{picture.file: picture.data for picture in drawn},
        "report.json": figures + "\n",
    }


def _write_folder(path: Path, files: dict[str, str | bytes]) -> None:
    """Writes a new folder, or file by file into an old one, where all else stays."""
    with contextlib.ExitStack() as stack:
        folder = path
        if not path.is_dir():
            folder = stack.enter_context(written_whole(path))
            folder.mkdir()
        for name, content in files.items():
            write_whole(folder / name, content)
