"""Splits from tables: CSV files and pandas DataFrames."""

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tlkeras._validation import check_choice, check_int
from tlkeras.data.description import first_skipped, warn_of_skipped
from tlkeras.data.splits import Splits, make_splits
from tlkeras.data.splitting import PARTS, check_fractions
from tlkeras.data.table import Fault, Table, frame_table
from tlkeras.data.table_columns import (
    TableColumns,
    by_part,
    choose_columns,
    is_blank,
    parts_of_column,
)
from tlkeras.data.table_files import read_files
from tlkeras.data.table_labels import PartLabels, read_part_labels
from tlkeras.inputs.arrays import ArrayExamples
from tlkeras.inputs.examples import Examples
from tlkeras.inputs.pictures.decoding import (
    check_color_mode,
    check_fit,
    check_image_size,
)
from tlkeras.inputs.pictures.files import ImageFiles
from tlkeras.inputs.pictures.headers import read_headers
from tlkeras.inputs.texts.reading import NOT_UTF8, text_problem

if TYPE_CHECKING:
    import pandas

# How many lost classes a message names.
_SHOWN = 5

Path = str | os.PathLike
Columns = str | Sequence[str] | Mapping[str, str | Sequence[str]]


def from_csv(
    path: Path | Sequence[Path] | Mapping[str, Path | Sequence[Path]],
    *,
    text: Columns | None = None,
    image: str | Mapping[str, str] | None = None,
    label: Columns = "label",
    task: str | None = None,
    class_names: Sequence[str] | None = None,
    split: str | None = None,
    groups: str | None = None,
    image_size: int | tuple[int, int] = 224,
    color_mode: str = "rgb",
    fit: str = "crop",
    image_root: Path | None = None,
    batch_size: int = 32,
    validation_split: float = 0.15,
    test_split: float = 0.15,
    seed: int = 0,
    encoding: str = "utf-8",
    errors: str = "raise",
) -> Splits:
    """Makes `Splits` from CSV, TSV or JSON-lines files of texts or image paths.

    The ending says how a file is read: `.csv` (commas, quotes as in RFC 4180),
    `.tsv` (tabs; each line is a row and quotes are plain characters, as in GLUE),
    `.jsonl`, `.ndjson` or `.json` (one object per line); all also with `.gz`. The
    first line of `.csv` and `.tsv` names the columns. Only empty cells are missing:
    "NA", "null" and "None" are texts.

    Args:
        path: A file; several files with the same columns, to be joined; or a
            dictionary of either for `"train"`, `"val"` and `"test"`, where only
            `"train"` must be there.
        text: The column of texts, or two columns of pairs of texts; a dictionary by
            part where columns differ between files. By default the only column of
            texts beside the label.
        image: The column of image paths, in place of texts; may be a dictionary too.
        label: The column of labels, or several columns: 0 and 1 for each label
            (one-hot or multi-label), or regression targets; may be a dictionary too.
        task: `"classification"`, `"multi_label"` or `"regression"`. By default what
            the labels look like: numbers with fractions are regression targets.
        class_names: The classes, in the order of their ids. By default the sorted
            names in the training part, `"0"`, `"1"` and so on for whole numbers, or
            the label columns.
        split: A column that says `"train"`, `"val"` (also `"valid"`,
            `"validation"`) or `"test"`.
        groups: A column that says what belongs together, such as a patient. Examples
            of one group stay in one part, which is then only nearly as large as asked
            for.
        image_size: Side, or `(height, width)`, in pixels.
        color_mode: `"rgb"` or `"grayscale"`.
        fit: How pictures come to the shape of `image_size`: `"crop"` keeps the largest
            window in the middle, `"pad"` keeps all and fills up with black, `"stretch"`
            keeps all and distorts.
        image_root: The folder that image paths are relative to. By default that of
            the file itself.
        batch_size: Examples per batch.
        validation_split: Fraction for validation where there is no such part; 0 for
            none.
        test_split: Fraction for testing where there is no such part; 0 for none.
        seed: Seed of the split and of the order of training.
        encoding: The encoding of the files.
        errors: What to do with rows that cannot be used (no text, no label, an
            unknown label, a wrong number of cells): `"raise"`, or `"skip"` to leave
            them out with a warning and record them in `Splits.skipped`. Image files
            that cannot be read are always skipped, as in `image_folder`.

    Returns:
        The `Splits`. Texts are strings `(batch,)`, pairs `(batch, 2)`.

    Raises:
        ValueError: If a file or an argument is not as described, or a row cannot be
            used; the message names files and lines.

    Example:
    >>> import csv
    >>> with open("films.csv", "w", newline="") as file:
    ...     rows = [("a fine film", "good"), ("a dull film", "bad")] * 10
    ...     csv.writer(file).writerows([("review", "label"), *rows])
    >>> films = tl.from_csv("films.csv", text="review")
    >>> films.class_names
    ('bad', 'good')
    """
    check_int("batch_size", batch_size, 1)
    check_int("seed", seed, 0)
    check_fractions(validation_split, test_split)
    wanted = _check_wanted(
        _Wanted(
            text=text,
            image=image,
            label=label,
            task=task,
            class_names=class_names,
            split=split,
            groups=groups,
            image_size=image_size,
            color_mode=color_mode,
            fit=fit,
            image_root=image_root,
            errors=errors,
        )
    )
    tables = {
        part: read_files(_file_list(part, value), encoding)
        for part, value in by_part("path", path).items()
    }
    found = _read_tables(tables, wanted)
    used = sum(len(found.get(part, ())) for part in PARTS)
    warn_of_skipped(found["skipped"], used, "rows")
    return make_splits(
        **found,
        validation_split=validation_split,
        test_split=test_split,
        batch_size=batch_size,
        seed=seed,
    )


def from_dataframe(
    frame: "pandas.DataFrame | Mapping[str, pandas.DataFrame]",
    *,
    text: Columns | None = None,
    image: str | Mapping[str, str] | None = None,
    label: Columns = "label",
    task: str | None = None,
    class_names: Sequence[str] | None = None,
    split: str | None = None,
    groups: str | None = None,
    image_size: int | tuple[int, int] = 224,
    color_mode: str = "rgb",
    fit: str = "crop",
    image_root: Path = ".",
    batch_size: int = 32,
    validation_split: float = 0.15,
    test_split: float = 0.15,
    seed: int = 0,
    errors: str = "raise",
) -> Splits:
    """Makes `Splits` from a pandas DataFrame of texts or image paths.

    Args:
        frame: A DataFrame, or a dictionary of them for `"train"`, `"val"` and
            `"test"`, where only `"train"` must be there.
        text: As in `from_csv`.
        image: As in `from_csv`.
        label: As in `from_csv`.
        task: As in `from_csv`.
        class_names: As in `from_csv`.
        split: As in `from_csv`.
        groups: As in `from_csv`.
        image_size: Side, or `(height, width)`, in pixels.
        color_mode: `"rgb"` or `"grayscale"`.
        fit: How pictures come to the shape of `image_size`: `"crop"` keeps the largest
            window in the middle, `"pad"` keeps all and fills up with black, `"stretch"`
            keeps all and distorts.
        image_root: The folder that image paths are relative to.
        batch_size: Examples per batch.
        validation_split: Fraction for validation where there is no such part; 0 for
            none.
        test_split: Fraction for testing where there is no such part; 0 for none.
        seed: Seed of the split and of the order of training.
        errors: As in `from_csv`.

    Returns:
        The `Splits`. Texts are strings `(batch,)`, pairs `(batch, 2)`.

    Raises:
        ValueError: If the frame or an argument is not as described, or a row cannot
            be used; the message names rows by their position (`frame.iloc[3]`).

    Example:
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"text": ["fine", "dull"] * 10, "label": [1, 0] * 10})
    >>> films = tl.from_dataframe(frame, class_names=["bad", "good"])
    >>> films.class_names
    ('bad', 'good')
    """
    check_int("batch_size", batch_size, 1)
    check_int("seed", seed, 0)
    check_fractions(validation_split, test_split)
    wanted = _check_wanted(
        _Wanted(
            text=text,
            image=image,
            label=label,
            task=task,
            class_names=class_names,
            split=split,
            groups=groups,
            image_size=image_size,
            color_mode=color_mode,
            fit=fit,
            image_root=image_root,
            errors=errors,
        )
    )
    is_dict = isinstance(frame, Mapping)
    tables = {
        part: frame_table(value, f"frame[{part!r}]" if is_dict else "frame")
        for part, value in by_part("frame", frame).items()
    }
    found = _read_tables(tables, wanted)
    used = sum(len(found.get(part, ())) for part in PARTS)
    warn_of_skipped(found["skipped"], used, "rows")
    return make_splits(
        **found,
        validation_split=validation_split,
        test_split=test_split,
        batch_size=batch_size,
        seed=seed,
    )


class _Wanted(NamedTuple):
    """The checked arguments that say what to read from tables."""

    text: Any
    image: Any
    label: Any
    task: str | None
    class_names: Sequence[str] | None
    split: str | None
    groups: str | None
    image_size: tuple[int, int]
    color_mode: str
    fit: str
    image_root: Path | None
    errors: str


def _check_wanted(wanted: _Wanted) -> _Wanted:
    """Returns the arguments with `image_size` as a pair, or raises `ValueError`."""
    check_color_mode(wanted.color_mode)
    check_fit(wanted.fit)
    check_choice("errors", wanted.errors, ("raise", "skip"))
    if wanted.text is not None and wanted.image is not None:
        raise ValueError(
            "Pass `text` or `image`, not both. Received: "
            f"text={wanted.text!r}, image={wanted.image!r}."
        )
    return wanted._replace(image_size=check_image_size(wanted.image_size))


def _file_list(part: str, value: Any) -> list[Path]:
    files = [value] if isinstance(value, str | os.PathLike) else value
    is_list = isinstance(files, list | tuple)
    if is_list and files and all(isinstance(f, str | os.PathLike) for f in files):
        return list(files)
    raise ValueError(
        "`path` must be a file, a list of files, or a dictionary of them for 'train', "
        f"'val' and 'test'. Received: {value!r} for {part!r}."
    )


def _read_tables(tables: dict[str, Table], wanted: _Wanted) -> dict[str, Any]:
    """Returns what `make_splits` needs to know of the tables.

    Raises:
        ValueError: If columns are not there, or rows cannot be used and should not
            be skipped.
    """
    if wanted.split is not None:
        tables = parts_of_column(tables, wanted.split)
    columns = choose_columns(
        tables, wanted.text, wanted.image, wanted.label, wanted.split, wanted.groups
    )
    tables, labels, skipped = _usable_rows(tables, columns, wanted)
    parts: dict[str, Examples] = {}
    groups: dict[str, list] = {}
    for part, table in tables.items():
        cells = [table.columns[name] for name in columns[part].inputs]
        rows: Sequence[int] = range(len(table))
        if wanted.image is None:
            parts[part] = _text_examples(cells, labels.values[part])
        else:
            parts[part], rows, unreadable = _image_examples(
                table, cells[0], labels.values[part], wanted
            )
            skipped += unreadable
        for name in columns[part].groups:
            groups[part] = [table.columns[name][row] for row in rows]
    if wanted.image is not None and labels.task == "classification":
        _check_readable_classes(parts["train"], labels)
    return {
        **parts,
        "task": labels.task,
        "class_names": labels.class_names,
        "image_size": None if wanted.image is None else wanted.image_size,
        "skipped": skipped,
        "groups": groups or None,
    }


def _usable_rows(
    tables: dict[str, Table], columns: dict[str, TableColumns], wanted: _Wanted
) -> tuple[dict[str, Table], PartLabels, list[tuple[str, str]]]:
    """Returns the rows that can be used, their labels, and what is skipped."""
    given = tables
    faults = {part: list(table.faults) for part, table in tables.items()}

    def without(tables: dict[str, Table], problems: dict) -> dict[str, Table]:
        return {
            part: _drop(table, problems[part], faults[part])
            for part, table in tables.items()
        }

    problems = {
        part: _cell_problems(table, columns[part], wanted.image is not None)
        for part, table in tables.items()
    }
    tables = without(tables, problems)
    # What labels mean may hang on a row that is left out: that one is said first.
    _check_skipped(_located(given, faults), tables, wanted.errors)
    labels = _read_labels(tables, columns, wanted)
    values = {
        part: labels.values[part][[why is None for why in labels.reasons[part]]]
        for part in tables
    }
    tables = without(tables, labels.reasons)
    skipped = _located(given, faults)
    _check_skipped(skipped, tables, wanted.errors)
    return tables, labels._replace(values=values), skipped


def _read_labels(
    tables: dict[str, Table], columns: dict[str, TableColumns], wanted: _Wanted
) -> PartLabels:
    cells = {
        part: [table.columns[name] for name in columns[part].labels]
        for part, table in tables.items()
    }
    is_parsed = all(table.is_parsed for table in tables.values())
    return read_part_labels(
        cells, columns["train"].labels, is_parsed, wanted.class_names, wanted.task
    )


def _cell_problems(
    table: Table, columns: TableColumns, is_image: bool
) -> list[str | None]:
    """Returns for each row what makes it unusable, before labels are read."""
    problems: list[str | None] = [None] * len(table)
    input_problem = _path_problem if is_image else text_problem
    checks = [
        *((name, _label_problem) for name in columns.labels),
        *((name, input_problem) for name in columns.inputs),
        *((name, _group_problem) for name in columns.groups),
    ]
    for name, problem_of in checks:
        for row, cell in enumerate(table.columns[name]):
            problem = problem_of(cell)
            if problem:
                problems[row] = f"{problem} in column {name!r}"
    return problems


def _label_problem(cell: Any) -> str | None:
    if is_blank(cell):
        return "has no label"
    # What a text must be, a class name must be too.
    return text_problem(cell) if isinstance(cell, str) else None


def _group_problem(cell: Any) -> str | None:
    return "has no group" if is_blank(cell) else None


def _path_problem(cell: Any) -> str | None:
    if is_blank(cell):
        return "has no image path"
    if not isinstance(cell, str | os.PathLike):
        return f"has {cell!r} in place of an image path"
    return None


def _drop(table: Table, problems: Sequence[str | None], faults: list[Fault]) -> Table:
    """Returns the rows without a problem; the others are added to `faults`."""
    if not any(problems):
        return table
    faults += [table.fault(row, why) for row, why in enumerate(problems) if why]
    return table.select([row for row, why in enumerate(problems) if why is None])


def _located(
    tables: dict[str, Table], faults: dict[str, list[Fault]]
) -> list[tuple[str, str]]:
    """Returns where each fault is, and its reason, part by part and line by line."""
    return [
        tables[part].located(fault) for part in tables for fault in sorted(faults[part])
    ]


def _check_skipped(
    skipped: Sequence[tuple[str, str]], tables: dict[str, Table], errors: str
) -> None:
    if skipped and errors == "raise":
        total = len(skipped) + sum(map(len, tables.values()))
        is_encoding = any(reason.startswith(NOT_UTF8) for _, reason in skipped)
        hint = " For files in another encoding pass `encoding`." * is_encoding
        raise ValueError(
            f"{len(skipped)} of {total} rows cannot be used: {first_skipped(skipped)}. "
            f"Mend them, or pass errors='skip' to leave them out.{hint}"
        )
    for part, table in tables.items():
        if not len(table):
            raise ValueError(
                f"No row can be used in the part {part!r}: {first_skipped(skipped)}."
            )


def _text_examples(cells: Sequence[Sequence[str]], labels: np.ndarray) -> ArrayExamples:
    columns = [np.array(column, dtype=object) for column in cells]
    texts = columns[0] if len(columns) == 1 else np.stack(columns, axis=1)
    return ArrayExamples(texts, labels)


def _image_examples(
    table: Table, cells: Sequence[str], labels: np.ndarray, wanted: _Wanted
) -> tuple[ImageFiles, np.ndarray, list[tuple[str, str]]]:
    """Returns the files that can be decoded, their rows, and why others cannot."""
    folders = [os.path.dirname(source) for source in table.sources]
    if wanted.image_root is not None:
        folders = [os.path.expanduser(os.fsdecode(wanted.image_root))] * len(folders)
    folders = [os.path.abspath(folder) for folder in folders]
    paths = [
        os.path.join(folders[source], os.fsdecode(cell))
        for source, cell in zip(table.source_of, cells, strict=True)
    ]
    headers, reasons = read_headers(paths)
    unreadable = [
        (path, reason) for path, reason in zip(paths, reasons, strict=True) if reason
    ]
    names = [os.path.relpath(path, folders[0]) for path in paths]
    files = ImageFiles(
        folders[0],
        names,
        headers,
        labels,
        wanted.image_size,
        wanted.color_mode,
        wanted.fit,
    )
    readable = np.flatnonzero([reason is None for reason in reasons])
    return files.select(readable), readable, unreadable


def _check_readable_classes(train: ImageFiles, labels: PartLabels) -> None:
    """Checks that no class of training is lost with files that cannot be read."""
    lost = np.setdiff1d(labels.values["train"], train.labels)
    if len(lost):
        names = [labels.class_names[i] for i in lost[:_SHOWN]]
        raise ValueError(
            f"No readable image for the classes {names} below {train.root!r}. Mend "
            "the files, the paths or `image_root`, or leave out the rows."
        )
