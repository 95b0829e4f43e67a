"""Splits from tables: CSV files and pandas DataFrames."""

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tlkeras._validation import (
    as_list,
    check_choice,
    check_path,
    in_order,
    is_blank,
)
from tlkeras.data.heads import about_head, of_heads
from tlkeras.data.skipped import first_skipped, warn_of_skipped
from tlkeras.data.splits import Splits, make_splits
from tlkeras.data.splitting import PARTS, check_splitting
from tlkeras.data.table import Fault, Table, frame_table
from tlkeras.data.table_columns import (
    TableColumns,
    by_part,
    choose_columns,
    parts_of_column,
)
from tlkeras.data.table_files import read_files
from tlkeras.inputs import (
    Cells,
    Input,
    Pictures,
    ReadExamples,
    Sounds,
    Tables,
    Texts,
)
from tlkeras.inputs import Columns as ColumnsOfTable
from tlkeras.inputs.tables.cells import as_number, as_seconds
from tlkeras.inputs.texts.reading import NOT_UTF8, text_problem
from tlkeras.outputs.cells import CellLabels, read_cells
from tlkeras.problem import Problem

if TYPE_CHECKING:
    import keras
    import pandas

# How many lost classes a message names.
_SHOWN = 5

Path = str | os.PathLike
Columns = str | Sequence[str] | Mapping[str, str | Sequence[str]]
# Of labels, by head too.
LabelColumns = Columns | Mapping[str, Columns]


def from_csv(
    path: Path | Sequence[Path] | Mapping[str, Path | Sequence[Path]],
    *,
    text: Columns | None = None,
    image: str | Mapping[str, str] | None = None,
    audio: str | Mapping[str, str] | None = None,
    features: str | Sequence[str] | Mapping[str, str] | ColumnsOfTable | None = None,
    text_backbone: "Path | keras.Model | None" = None,
    text_length: int = 64,
    label: LabelColumns = "label",
    task: str | Mapping[str, str] | None = None,
    class_names: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
    split: str | None = None,
    groups: str | None = None,
    time: str | None = None,
    image_size: int | tuple[int, int] = 224,
    color_mode: str = "rgb",
    fit: str = "crop",
    image_root: Path | None = None,
    sample_rate: int = 16_000,
    seconds: float = 1.0,
    audio_root: Path | None = None,
    batch_size: int = 32,
    validation_split: float = 0.15,
    test_split: float = 0.15,
    seed: int = 0,
    encoding: str = "utf-8",
    errors: str = "raise",
) -> Splits:
    """Makes `Splits` from CSV, TSV or JSON-lines files: texts, images, sounds, rows.

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
            A path may lack its ending, as the ids of many data sets do.
        audio: The column of paths of sound files, in place of texts, as `image`.
        features: In place of texts, the columns that are numbers, categories, dates
            and, with `text_backbone=`, free text of which each row is an example:
            `"all"` that are nothing else, of which those are left out that cannot be
            learnt from, such as ids; a list; a dictionary that says what each is,
            `"number"`, `"category"`, `"date"`, `"text"` or `"auto"`; or how another
            table was read, `data.columns` or `model.problem.input.columns`. What is to
            be known of them, such as means and names, is that of the training part
            alone.
        text_backbone: What reads free text among `features`: `"minilm"`, a preset of
            KerasHub or its folder, or what `tl.load_backbone` made of one; it stays
            frozen. `"all"` and `"auto"` then read columns of sentences, three words or
            more. `None`: there are no texts.
        text_length: Tokens that are read of each text at most, special ones included;
            what is longer is cut. Fewer are faster.
        label: The column of labels, or several columns: 0 and 1 for each label
            (one-hot or multi-label), or regression targets; may be a dictionary too.
            Cells may list names (`["red", "round"]`, multi-label). Or a dictionary by
            head, for a model with several, whose keys are not all names of parts:
            `{"species": "species", "length": "cm"}`. There cells may be empty, as long
            as a row has a label for one of the heads.
        task: `"classification"`, `"multi_label"` or `"regression"`. By default what
            the labels look like: numbers with fractions are regression targets. By
            head where `label` is.
        class_names: The classes, in the order of their ids. Cells are names of theirs,
            also as numbers and booleans (1 and 1.0 for `"1"`), or else positions among
            them. By default the sorted names in the training part, `"0"`, `"1"` and so
            on for whole numbers, or the label columns. By head where `label` is.
        split: A column that says `"train"`, `"val"` or `"test"`; also `"Training"`,
            `"dev"` and the like.
        groups: A column that says what belongs together, such as a patient. Examples
            of one group stay in one part, which is then only nearly as large as asked
            for.
        time: A column of dates (`"2024-05-31"`, with a time of day or without) or of
            numbers that parts follow: the latest rows are for testing, those before
            them for validation, and rows of one time stay in one part. It is no input
            unless `features` names it.
        image_size: Side, or `(height, width)`, in pixels.
        color_mode: `"rgb"` or `"grayscale"`.
        fit: How pictures come to the shape of `image_size`: `"crop"` keeps the largest
            window in the middle, `"pad"` keeps all and fills up with black, `"stretch"`
            keeps all and distorts.
        image_root: The folder that image paths are relative to. By default that of
            the file itself.
        sample_rate: Samples per second of sounds, as in `audio_folder`.
        seconds: Length of what is read of each sound.
        audio_root: The folder that paths of sounds are relative to, as `image_root`.
        batch_size: Examples per batch.
        validation_split: Fraction for validation where there is no such part; 0 for
            none.
        test_split: Fraction for testing where there is no such part; 0 for none.
        seed: Seed of the split and of the order of training.
        encoding: The encoding of the files.
        errors: What to do with rows that cannot be used (no text, no label, an
            unknown label, a text in a column of numbers, a wrong number of cells):
            `"raise"`, or `"skip"` to leave them out with a warning and record them in
            `Splits.skipped`. Image and sound files that cannot be read are always
            skipped.

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
    check_splitting(batch_size, seed, validation_split, test_split)
    pictures = Pictures.of_arguments(image_size, color_mode, fit)
    sounds = Sounds(sample_rate, seconds)
    wanted = _Wanted(
        *_named_input(
            (Texts(), text),
            (pictures, image),
            (sounds, audio),
            Tables.of_features(features, text_backbone, text_length),
        ),
        label=label,
        task=task,
        class_names=class_names,
        split=split,
        groups=groups,
        time=time,
        root=image_root if audio is None else audio_root,
        errors=check_choice("errors", errors, ("raise", "skip")),
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
    audio: str | Mapping[str, str] | None = None,
    features: str | Sequence[str] | Mapping[str, str] | ColumnsOfTable | None = None,
    text_backbone: "Path | keras.Model | None" = None,
    text_length: int = 64,
    label: LabelColumns = "label",
    task: str | Mapping[str, str] | None = None,
    class_names: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
    split: str | None = None,
    groups: str | None = None,
    time: str | None = None,
    image_size: int | tuple[int, int] = 224,
    color_mode: str = "rgb",
    fit: str = "crop",
    image_root: Path = ".",
    sample_rate: int = 16_000,
    seconds: float = 1.0,
    audio_root: Path = ".",
    batch_size: int = 32,
    validation_split: float = 0.15,
    test_split: float = 0.15,
    seed: int = 0,
    errors: str = "raise",
) -> Splits:
    """Makes `Splits` from a pandas DataFrame of texts, images, sounds or rows.

    Args:
        frame: A DataFrame, or a dictionary of them for `"train"`, `"val"` and
            `"test"`, where only `"train"` must be there.
        text: The column of texts, or two columns of pairs of texts; a dictionary by
            part where columns differ between frames. By default the only column of
            texts beside the label.
        image: The column of image paths, in place of texts; may be a dictionary too.
            A path may lack its ending, as the ids of many data sets do.
        audio: The column of paths of sound files, in place of texts, as `image`.
        features: In place of texts, the columns that are numbers, categories, dates
            and, with `text_backbone=`, free text of which each row is an example:
            `"all"` that are nothing else, of which those are left out that cannot be
            learnt from, such as ids; a list; a dictionary that says what each is,
            `"number"`, `"category"`, `"date"`, `"text"` or `"auto"`; or how another
            table was read, `data.columns` or `model.problem.input.columns`. What is to
            be known of them, such as means and names, is that of the training part
            alone.
        text_backbone: What reads free text among `features`: `"minilm"`, a preset of
            KerasHub or its folder, or what `tl.load_backbone` made of one; it stays
            frozen. `"all"` and `"auto"` then read columns of sentences, three words or
            more. `None`: there are no texts.
        text_length: Tokens that are read of each text at most, special ones included;
            what is longer is cut. Fewer are faster.
        label: The column of labels, or several columns: 0 and 1 for each label
            (one-hot or multi-label), or regression targets; may be a dictionary too.
            Cells may list names (`["red", "round"]`, multi-label). Or a dictionary by
            head, for a model with several, whose keys are not all names of parts:
            `{"species": "species", "length": "cm"}`. There cells may be empty, as long
            as a row has a label for one of the heads.
        task: `"classification"`, `"multi_label"` or `"regression"`. By default what
            the labels look like: numbers with fractions are regression targets. By
            head where `label` is.
        class_names: The classes, in the order of their ids. Cells are names of theirs,
            also as numbers and booleans (1 and 1.0 for `"1"`), or else positions among
            them. By default the sorted names in the training part, ordered categories
            in their order, `"0"`, `"1"` and so on for whole numbers, or the label
            columns. By head where `label` is.
        split: A column that says `"train"`, `"val"` or `"test"`; also `"Training"`,
            `"dev"` and the like.
        groups: A column that says what belongs together, such as a patient. Examples
            of one group stay in one part, which is then only nearly as large as asked
            for.
        time: A column of dates (`"2024-05-31"`, with a time of day or without) or of
            numbers that parts follow: the latest rows are for testing, those before
            them for validation, and rows of one time stay in one part. It is no input
            unless `features` names it.
        image_size: Side, or `(height, width)`, in pixels.
        color_mode: `"rgb"` or `"grayscale"`.
        fit: How pictures come to the shape of `image_size`: `"crop"` keeps the largest
            window in the middle, `"pad"` keeps all and fills up with black, `"stretch"`
            keeps all and distorts.
        image_root: The folder that image paths are relative to.
        sample_rate: Samples per second of sounds, as in `audio_folder`.
        seconds: Length of what is read of each sound.
        audio_root: The folder that paths of sounds are relative to.
        batch_size: Examples per batch.
        validation_split: Fraction for validation where there is no such part; 0 for
            none.
        test_split: Fraction for testing where there is no such part; 0 for none.
        seed: Seed of the split and of the order of training.
        errors: What to do with rows that cannot be used (no text, no label, an
            unknown label, a text in a column of numbers): `"raise"`, or `"skip"` to
            leave them out with a warning and record them in `Splits.skipped`. Image and
            sound files that cannot be read are always skipped.

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
    check_splitting(batch_size, seed, validation_split, test_split)
    pictures = Pictures.of_arguments(image_size, color_mode, fit)
    sounds = Sounds(sample_rate, seconds)
    wanted = _Wanted(
        *_named_input(
            (Texts(), text),
            (pictures, image),
            (sounds, audio),
            Tables.of_features(features, text_backbone, text_length),
        ),
        label=label,
        task=task,
        class_names=class_names,
        split=split,
        groups=groups,
        time=time,
        root=image_root if audio is None else audio_root,
        errors=check_choice("errors", errors, ("raise", "skip")),
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

    input: Input
    columns: Any
    label: Any
    task: Any
    class_names: Any
    split: str | None
    groups: str | None
    time: str | None
    root: Path | None
    errors: str


def _named_input(*offered: tuple[Input, Any]) -> tuple[Input, Any]:
    """Returns the input whose columns were named, and these; else the first, and none.

    The arguments are called as the builders of each kind of input begin, if not
    otherwise.
    """
    named = [(kind, columns) for kind, columns in offered if columns is not None]
    if len(named) > 1:
        names = [kind.argument or kind.prefix for kind, _ in named]
        arguments = " or ".join(f"`{name}`" for name in names)
        received = ", ".join(
            f"{name}={columns!r}"
            for name, (_, columns) in zip(names, named, strict=True)
        )
        raise ValueError(f"Pass {arguments}, not both. Received: {received}.")
    return named[0] if named else offered[0]


def _file_list(part: str, value: Any) -> list[Path]:
    files = [value] if isinstance(value, str | os.PathLike) else value
    files = files if isinstance(files, str) else in_order("path", files)
    if getattr(files, "ndim", None) == 1:
        files = as_list("path", files)
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
    if wanted.time is not None:
        _check_time(tables, wanted)
    columns = choose_columns(
        tables,
        wanted.input,
        wanted.columns,
        wanted.label,
        wanted.split,
        wanted.groups,
        wanted.time,
    )
    tables, found, skipped = _usable_rows(tables, columns, wanted)
    outputs, labels = _rows_of_labels(found)
    parts: dict[str, ReadExamples] = {}
    reader = wanted.input
    for part, table in tables.items():
        named, prefix = columns[part].inputs, wanted.input.prefix
        cells = _input_cells(table, named, wanted.root, prefix)
        parts[part] = reader.of_cells(cells, labels[part])
        # What training tells of how cells are read holds for all parts.
        reader = parts["train"].input
        skipped += parts[part].skipped
    problem = Problem(parts["train"].input, outputs)
    _check_readable_classes(problem, labels["train"], parts["train"])
    return {
        **{part: read.examples for part, read in parts.items()},
        "problem": problem,
        "skipped": skipped,
        "groups": {
            part: [tables[part].columns[name][row] for row in read.rows]
            for part, read in parts.items()
            for name in columns[part].groups
        }
        or None,
        "times": _times(tables["train"], wanted.time, parts["train"].rows),
    }


def _check_time(tables: dict[str, Table], wanted: _Wanted) -> None:
    if wanted.groups is not None:
        raise ValueError(
            "Parts follow `time`, or keep `groups` together, not both. Received: "
            f"time={wanted.time!r}, groups={wanted.groups!r}."
        )
    if len(tables) == len(PARTS):
        raise ValueError(
            f"The data have all parts, {list(tables)}: there is nothing to split by "
            "time. Leave `time` out."
        )


def _times(table: Table, time: Any, rows: Sequence[int]) -> np.ndarray | None:
    """Returns the time of each row that parts follow."""
    if time is None:
        return None
    cells = [table.columns[time][row] for row in rows]
    for read in (as_number, as_seconds):
        times = [read(cell) for cell in cells]
        if None not in times:
            return np.array(times)
    raise ValueError(f"The column {time!r} must hold dates or numbers, not both.")


def _usable_rows(
    tables: dict[str, Table], columns: dict[str, TableColumns], wanted: _Wanted
) -> tuple[dict[str, Table], dict[str | None, CellLabels], list[tuple[str, str]]]:
    """Returns the rows that can be used, their labels by head, and what is skipped."""
    given = tables
    faults = {part: list(table.faults) for part, table in tables.items()}

    def without(tables: dict[str, Table], problems: dict) -> dict[str, Table]:
        return {
            part: _drop(table, problems[part], faults[part])
            for part, table in tables.items()
        }

    readers = dict.fromkeys(tables, wanted.input)
    if len(tables) > 1:
        named, prefix = columns["train"].inputs, wanted.input.prefix
        cells = _input_cells(tables["train"], named, wanted.root, prefix)
        readers |= dict.fromkeys(set(tables) - {"train"}, wanted.input.told_by(cells))
    problems = {
        part: _cell_problems(table, columns[part], readers[part])
        for part, table in tables.items()
    }
    tables = without(tables, problems)
    # What labels mean may hang on a row that is left out: that one is said first.
    _check_skipped(_located(given, faults), tables, wanted.errors)
    found = _read_labels(tables, columns, wanted)
    reasons = {part: _first_reasons(found, part) for part in tables}
    kept = {
        part: [row for row, why in enumerate(whys) if why is None]
        for part, whys in reasons.items()
    }
    tables = without(tables, reasons)
    skipped = _located(given, faults)
    _check_skipped(skipped, tables, wanted.errors)
    return tables, {head: one.select(kept) for head, one in found.items()}, skipped


def _read_labels(
    tables: dict[str, Table], columns: dict[str, TableColumns], wanted: _Wanted
) -> dict[str | None, CellLabels]:
    """Returns what the label columns of each head hold."""
    is_parsed = all(table.is_parsed for table in tables.values())
    heads = columns["train"].labels
    names, tasks = wanted.class_names, wanted.task
    if None in heads:
        names, tasks = {None: names}, {None: tasks}
    names, tasks = of_heads("class_names", names, heads), of_heads("task", tasks, heads)
    found = {}
    for head, chosen in heads.items():
        cells = {
            part: [table.columns[name] for name in columns[part].labels[head]]
            for part, table in tables.items()
        }
        if not is_parsed:
            # "cat, dog" in a file is the label "dog".
            cells = {
                part: [[cell.strip() for cell in column] for column in columns_of]
                for part, columns_of in cells.items()
            }
        with about_head(head):
            found[head] = read_cells(
                cells,
                chosen,
                is_parsed,
                names.get(head),
                tasks.get(head),
                tables["train"].orders.get(chosen[0]),
            )
    return found


def _first_reasons(found: dict[str | None, CellLabels], part: str) -> list[str | None]:
    """Returns for each row why a label of it cannot be used, of the first head."""
    by_head = [
        [why and (why if head is None else f"{why} (head {head!r})") for why in whys]
        for head, whys in ((head, one.reasons[part]) for head, one in found.items())
    ]
    return [next(filter(None, whys), None) for whys in zip(*by_head, strict=True)]


def _rows_of_labels(
    found: dict[str | None, CellLabels],
) -> tuple[Any, dict[str, np.ndarray]]:
    """Returns the output, or outputs by head, and the labels of each part."""
    if None in found:
        return found[None].read()
    outputs, rows = {}, {}
    for head, labels in found.items():
        with about_head(head):
            outputs[head], rows[head] = labels.read_with_gaps()
    parts = next(iter(rows.values()))
    return outputs, {
        part: np.concatenate([each[part] for each in rows.values()], axis=1)
        for part in parts
    }


def _cell_problems(
    table: Table, columns: TableColumns, its_input: Input
) -> list[str | None]:
    """Returns for each row what makes it unusable, before labels are read."""
    problems: list[str | None] = [None] * len(table)
    labels = sum(columns.labels.values(), ())
    if None in columns.labels:
        label_problem = _label_problem
    else:
        label_problem = _text_problem
        rows = zip(*(table.columns[name] for name in labels), strict=True)
        for row, cells in enumerate(rows):
            if all(map(is_blank, cells)):
                problems[row] = f"has no label in any of the columns {list(labels)}"
    checks = [
        *((name, label_problem) for name in labels),
        *((name, its_input.column_problem(name)) for name in columns.inputs),
        *((name, _group_problem) for name in columns.groups),
        *((name, _time_problem) for name in columns.time),
    ]
    for name, problem_of in checks:
        for row, cell in enumerate(table.columns[name]):
            problem = problem_of(cell)
            if problem:
                problems[row] = f"{problem} in column {name!r}"
    return problems


def _label_problem(cell: Any) -> str | None:
    return "has no label" if is_blank(cell) else _text_problem(cell)


def _text_problem(cell: Any) -> str | None:
    """What a text must be, a class name must be too; it may be missing here."""
    is_text = isinstance(cell, str) and not is_blank(cell)
    return text_problem(cell) if is_text else None


def _group_problem(cell: Any) -> str | None:
    return "has no group" if is_blank(cell) else None


def _time_problem(cell: Any) -> str | None:
    times = [time for time in (as_number(cell), as_seconds(cell)) if time is not None]
    if times and not np.isfinite(times[0]):
        return "has no time"
    return None if times else f"has {cell!r}, neither a date nor a number,"


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


def _input_cells(
    table: Table, columns: Sequence[Any], root: Path | None, prefix: str
) -> Cells:
    """Returns the cells of inputs; paths in them start from `root`, or their file."""
    folders = [os.path.dirname(source) for source in table.sources]
    if root is not None:
        folders = [check_path(f"{prefix}_root", root)] * len(folders)
    folders = [os.path.abspath(folder) for folder in folders]
    return Cells(
        tuple(table.columns[name] for name in columns),
        tuple(columns),
        table.is_parsed,
        [folders[source] for source in table.source_of],
        folders[0],
    )


def _check_readable_classes(
    problem: Problem, labels: np.ndarray, read: ReadExamples
) -> None:
    """Checks that no class of training is lost with inputs that cannot be read."""
    noun, prefix = problem.input.noun, problem.input.prefix
    mend = (
        f"{first_skipped(read.skipped)}. Mend the files, the paths or `{prefix}_root`, "
        "or leave out the rows."
    )
    if not len(read.examples):
        raise ValueError(f"No readable {noun} in training: {mend}")
    for names in problem.lost(labels, read.examples.labels).values():
        raise ValueError(f"No readable {noun} for the classes {names[:_SHOWN]}: {mend}")
