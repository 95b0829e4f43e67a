"""Writing a report so that a final name never holds a half-written file."""

import json
import os
import tempfile
from pathlib import Path

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
    parent = path if path.is_dir() else path.parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
        # Made first: a place that cannot be written to shows before any work.
        with tempfile.TemporaryDirectory(dir=parent, prefix=".report-") as staging:
            _publish(_write(report, Path(staging), single), path)
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


def _write(report: Drawing, staging: Path, single: bool) -> Path:
    """Writes everything below `staging` and returns what to publish."""
    drawn = pictures(report)
    html = page(report, drawn)
    if single:
        target = staging / "report.html"
        target.write_text(html, encoding="utf-8")
        return target
    target = staging / "report"
    target.mkdir()
    (target / "report.html").write_text(html, encoding="utf-8")
    for picture in drawn:
        (target / picture.file).write_bytes(picture.data)
    figures = json.dumps(report.to_dict(), indent=2, ensure_ascii=False)
    (target / "report.json").write_text(figures + "\n", encoding="utf-8")
    return target


def _publish(written: Path, path: Path) -> None:
    """Moves what was written to its final name, file by file into an old folder."""
    if not path.is_dir():
        written.replace(path)
        return
    for file in written.iterdir():
        file.replace(path / file.name)
