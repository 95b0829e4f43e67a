"""CSV, TSV and JSON-lines files as tables whose rows know their file and line."""

import contextlib
import csv
import gzip
import io
import json
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from tlkeras._validation import did_you_mean
from tlkeras.data.table import Fault, Table
from tlkeras.inputs.texts.reading import text_problem

# Four bytes may begin as two do.
_BYTE_ORDER_MARKS = {
    "utf-32": (b"\xff\xfe\0\0", b"\0\0\xfe\xff"),
    "utf-16": (b"\xff\xfe", b"\xfe\xff"),
}
_ZIP_MARK = b"PK\x03\x04"
_GZIP_MARK = b"\x1f\x8b"

# How many bytes tell the encoding of a file that does not say it.
_LOOKED_AT = 1000


def read_files(paths: Sequence[str | os.PathLike], encoding: str) -> Table:
    """Reads files with the same columns, one below the other.

    Args:
        paths: `.csv`, `.tsv`, `.jsonl`, `.ndjson` or `.json` files, each also with
            `.gz` at the end.
        encoding: That of all files.

    Returns:
        The `Table`. Lines that are no rows are in its `faults`.

    Raises:
        ValueError: If a file cannot be read at all.
    """
    names = [os.path.expanduser(os.fsdecode(path)) for path in paths]
    tables = [_read_file(name, encoding) for name in names]
    first = tables[0]
    for name, table in zip(names, tables, strict=True):
        if set(table.columns) != set(first.columns):
            raise ValueError(
                f"Files that are joined must have the same columns. {names[0]!r} has "
                f"{sorted(first.columns)}, {name!r} has {sorted(table.columns)}."
            )
    columns = {
        column: [cell for table in tables for cell in table.columns[column]]
        for column in first.columns
    }
    sizes = [len(table) for table in tables]
    return Table(
        columns,
        sources=tuple(names),
        source_of=np.repeat(np.arange(len(names)), sizes),
        lines=np.concatenate([table.lines for table in tables]),
        is_parsed=all(table.is_parsed for table in tables),
        faults=tuple(
            fault._replace(source=i)
            for i, table in enumerate(tables)
            for fault in table.faults
        ),
    )


def _read_file(path: str, encoding: str) -> Table:
    read = _reader(path)
    text = _decoded(path, _contents(path), encoding)
    if not text.strip():
        raise ValueError(f"The file {path!r} is empty.")
    columns, lines, faults = read(path, text)
    if not lines and not faults:
        raise ValueError(f"The file {path!r} has a header, but no row below it.")
    return Table(
        columns,
        sources=(path,),
        source_of=np.zeros(len(lines), int),
        lines=np.array(lines, int),
        is_parsed=read is _read_json_lines,
        faults=tuple(faults),
    )


def _reader(path: str) -> Callable[[str, str], tuple[dict, list[int], list[Fault]]]:
    ending = os.path.splitext(path.lower().removesuffix(".gz"))[1]
    if ending in _READERS:
        return _READERS[ending]
    raise ValueError(
        f"Files must end in {', '.join(_READERS)}, or one of them and .gz. Received: "
        f"{path!r}. Read others with pandas and use `from_dataframe`."
    )


def _contents(path: str) -> bytes:
    opener = gzip.open if path.lower().endswith(".gz") else open
    try:
        with opener(path, "rb") as file:
            return file.read()
    except FileNotFoundError as error:
        folder, name = os.path.split(path)
        near = os.listdir(folder or ".") if os.path.isdir(folder or ".") else []
        raise ValueError(
            f"No such file: {path!r}.{did_you_mean(name, near)}"
        ) from error
    except (OSError, EOFError, zlib.error) as error:
        hint = ""
        if str(error).startswith("Not a gzipped file"):
            hint = " If it is not compressed, name it without '.gz'."
        raise ValueError(f"The file {path!r} cannot be read: {error}.{hint}") from error


def _wide_encoding(contents: bytes) -> str | None:
    """Returns the encoding of a file with two or four bytes for a character."""
    for encoding, marks in _BYTE_ORDER_MARKS.items():
        if contents.startswith(marks):
            return encoding
    start = contents[: _LOOKED_AT // 4 * 4]
    if b"\0" not in start:
        return None
    # Without a mark, the higher bytes of Western letters are 0; of other texts those of
    # commas and ends of lines.
    zeros = [start[place::4].count(0) for place in range(4)]
    for encoding, high, last in (("utf-32-be", (0, 1), 3), ("utf-32-le", (2, 3), 0)):
        if min(zeros[i] for i in high) > len(start) / 8 > zeros[last]:
            return encoding
    even, odd = zeros[0] + zeros[2], zeros[1] + zeros[3]
    most, least = max(even, odd), min(even, odd)
    half = 4 * most > len(start)
    if half or (most > 3 * least + 1 and not _is_utf8(contents)):
        return "utf-16-be" if even > odd else "utf-16-le"
    return None


def _is_utf8(contents: bytes) -> bool:
    try:
        contents.decode()
    except UnicodeDecodeError:
        return False
    return True


def _decoded(path: str, contents: bytes, encoding: str) -> str:
    """Decodes a file; bytes that are no characters become lone surrogates."""
    is_utf8 = encoding.lower().replace("_", "-") in ("utf-8", "utf8")
    if contents.startswith(_GZIP_MARK):
        raise ValueError(
            f"The file {path!r} is compressed by gzip: name it {path + '.gz'!r}."
        )
    if contents.startswith(_ZIP_MARK):
        raise ValueError(
            f"The file {path!r} is a zip archive, as files of Excel are: read it with "
            "`pandas.read_excel` or `pandas.read_csv`, and pass the frame to "
            "`tl.from_dataframe`."
        )
    wide = _wide_encoding(contents) if is_utf8 else None
    if wide is not None:
        kind = wide[:6].upper()
        raise ValueError(f"The file {path!r} is {kind}: pass encoding={wide!r}.")
    try:
        # Excel marks UTF-8 by three bytes that are no part of the first column.
        codec = "utf-8-sig" if is_utf8 else encoding
        return contents.decode(codec, "surrogateescape")
    except LookupError as error:
        raise ValueError(f"No such encoding: {encoding!r}.") from error
    except UnicodeDecodeError as error:
        line = contents[: error.start].count(b"\n") + 1
        raise ValueError(
            f"{path}:{line} is not valid {encoding}. Pass the file's `encoding`."
        ) from error


def _lines(text: str) -> list[str]:
    """Splits at line feeds alone: other separators may be part of a text."""
    return [line.removesuffix("\r") for line in text.rstrip("\r\n").split("\n")]


def _read_csv(path: str, text: str) -> tuple[dict, list[int], list[Fault]]:
    records = _csv_records(path, text)
    return _as_columns(path, records)


def _csv_records(path: str, text: str) -> Iterator[tuple[int, list[str] | csv.Error]]:
    """Yields the first line and the cells of each record, or what is wrong in it."""
    # Spaces at the end belong to the last cell.
    lines = io.StringIO(text.rstrip("\r\n"), newline="")
    reader = csv.reader(lines, strict=True)
    with _any_field_size(len(text)):
        while True:
            start = reader.line_num + 1
            try:
                yield start, next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                if "end of data" in str(error):
                    raise ValueError(
                        f"{path}:{start} opens a quote that is never closed. Write a "
                        'quote inside a cell twice (""), or close it.'
                    ) from error
                yield start, error


@contextlib.contextmanager
def _any_field_size(characters: int) -> Iterator[None]:
    """Lifts the `csv` module's limit of 131,072 characters per cell meanwhile."""
    before = csv.field_size_limit(max(characters, 1))
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _read_tsv(path: str, text: str) -> tuple[dict, list[int], list[Fault]]:
    records = ((i, line.split("\t")) for i, line in enumerate(_lines(text), start=1))
    return _as_columns(path, records)


def _as_columns(
    path: str, records: Iterator[tuple[int, list[str] | csv.Error]]
) -> tuple[dict[str, list[str]], list[int], list[Fault]]:
    _, header = next(records)
    names = _column_names(path, header)
    rows: list[list[str]] = []
    lines: list[int] = []
    faults: list[Fault] = []
    for line, cells in records:
        if isinstance(cells, csv.Error):
            faults.append(Fault(0, line, f"has a misplaced quote ({cells})"))
        elif len(names) > 1 and cells in ([], [""]):
            continue  # A blank line, which is no row to anybody who reads CSV.
        elif len(cells) != len(names) and (len(names) > 1 or cells):
            faults.append(Fault(0, line, _ragged(len(cells), len(names))))
        else:
            rows.append(cells or [""])
            lines.append(line)
    cells_of = zip(*rows, strict=True) if rows else [()] * len(names)
    columns = {
        name: list(cells) for name, cells in zip(names, cells_of, strict=True) if name
    }
    return columns, lines, faults


def _ragged(cells: int, columns: int) -> str:
    plural = "s" * (cells != 1)
    return f"has {cells} cell{plural}, where the header has {columns}"


def _column_names(path: str, header: list[str] | csv.Error) -> list[str]:
    if isinstance(header, csv.Error):
        raise ValueError(f"{path}:1, the header, has a misplaced quote ({header}).")
    names = [name.strip() for name in header]
    if any(text_problem(name) for name in names if name):
        raise ValueError(
            f"{path}:1, the header, is not valid UTF-8: {names}. Pass the file's "
            "`encoding`."
        )
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        raise ValueError(
            f"{path}:1, the header, has the same name twice: {twice}. Rename them."
        )
    if len(names) == 1 and any(mark in names[0] for mark in ";\t|"):
        raise ValueError(
            f"{path}:1, the header, is one column: {names[0]!r}. A .csv file must be "
            "separated by commas, a .tsv file by tabs. Read others with "
            "`pandas.read_csv(path, sep=...)` and use `from_dataframe`."
        )
    return names


def _read_json_lines(path: str, text: str) -> tuple[dict, list[int], list[Fault]]:
    if text.lstrip().startswith("["):
        raise ValueError(
            f"The file {path!r} is one JSON array. Write one object per line, or read "
            "it with `pandas.read_json` and use `from_dataframe`."
        )
    objects: list[dict[str, Any]] = []
    lines: list[int] = []
    faults: list[Fault] = []
    for number, line in enumerate(_lines(text), start=1):
        if not line.strip():
            continue
        try:
            found = json.loads(line)
        except ValueError as error:
            faults.append(Fault(0, number, f"is not valid JSON: {error}"))
            continue
        if isinstance(found, dict):
            objects.append(found)
            lines.append(number)
        else:
            kind = type(found).__name__
            faults.append(Fault(0, number, f"is a JSON {kind}, not an object"))
    names = dict.fromkeys(name for found in objects for name in found)
    columns = {name: [found.get(name) for found in objects] for name in names}
    return columns, lines, faults


_READERS = {
    ".csv": _read_csv,
    ".tsv": _read_tsv,
    ".jsonl": _read_json_lines,
    ".ndjson": _read_json_lines,
    ".json": _read_json_lines,
}
