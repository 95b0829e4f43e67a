"""`Columns`: what a table's columns are, how its rows become numbers."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import keras
import numpy as np

from tlkeras._validation import check_choice, did_you_mean, few
from tlkeras.description import Described, Description
from tlkeras.inputs.tables.cells import (
    DATE_PARTS,
    as_category,
    as_number,
    as_seconds,
    date_parts,
    kind_of_cells,
    kind_problem,
    nearly_all,
)

KINDS = ("auto", "number", "category", "date", "text")

# Codes of a category before those of its names.
MISSING, OTHER, FIRST = 0, 1, 2
# Names that are seen less often in training are one code, and so are those beyond the
# commonest so many: they have too few rows to be learnt.
# With three codes more they are as many as gradient boosting takes.
_LEAST, _MOST_NAMES = 2, 252
# Pieces that the range of a number is cut into, at quantiles of the training part.
BINS = 8
# From which skewness on a number is taken by its logarithm, on both sides.
_SKEWED = 2.0
# How much a scaled number may be: what lies further out is cut.
LARGEST = 8.0


@dataclass(frozen=True)
class Scale:
    """How a number is brought to about 0 and 1, as training data tell.

    Attributes:
        log: Whether its signed logarithm is taken, of `(x - centre) / spread`.
        centre: Its median.
        spread: Half the range of its middle half.
        mean: What is subtracted then.
        deviation: What is divided by; 0 where it never changes.
        edges: `BINS + 1` increasing numbers; the last ones are equal where there are
            fewer different ones.
        fill: Whether some were missing in training.
    """

    log: bool
    centre: float
    spread: float
    mean: float
    deviation: float
    edges: tuple[float, ...]
    fill: bool


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        name: Its name.
        kind: `"number"`, `"category"`, `"date"` or `"text"`.
        names: Of a category those with codes of their own, in their order.
        shares: Of those, the shares of training rows.
        rare: The share of other names.
        missing: The share of training rows where it is missing.
        parts: Of a date, which of its parts are kept.
        scales: Of a number one, of a date one for each part; `()` before training
            data were seen.
        length: Of a text, how many tokens are read of it at most.
        width: Of a text, how many features are made of it.
        tokens: Of a text, how many tokens the middle one of training has.
        full: Of a text, the share of training rows whose tokens fill all places: they
            are cut, or nearly.
    """

    name: str
    kind: str
    names: tuple[str, ...] = ()
    shares: tuple[float, ...] = ()
    rare: float = 0.0
    missing: float = 0.0
    parts: tuple[str, ...] = ()
    scales: tuple[Scale, ...] = ()
    length: int = 0
    width: int = 0
    tokens: int = 0
    full: float = 0.0

    @property
    def numbers(self) -> tuple[str, ...]:
        """Names of the numbers that it is; none of a category or a text."""
        if self.kind == "number":
            return (self.name,)
        return tuple(f"{self.name} {part}" for part in self.parts)

    @property
    def is_fitted(self) -> bool:
        """Whether training data were seen, each row of which is counted somewhere."""
        counted = self.missing, self.rare, *self.shares, self.tokens
        return bool(self.scales) or any(counted)

    @property
    def coding(self) -> tuple[Any, ...]:
        """What has to be equal for equal cells to become equal numbers."""
        return self.name, self.kind, self.names, self.parts, self.length, self.width

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Column":
        """Makes a column of what JSON made of it."""
        scales = tuple(
            Scale(**{**each, "edges": tuple(each["edges"])})
            for each in config["scales"]
        )
        named = ("names", "shares", "parts")
        lists = {name: tuple(config[name]) for name in named}
        return cls(**{**config, **lists, "scales": scales})


@keras.saving.register_keras_serializable("tlkeras")
class Columns(Described):
    """What the columns of a table are, and how its rows become numbers.

    A row becomes float32 numbers, first those of numbers and dates in the order of the
    columns, NaN where they are missing, then the codes of categories: 0 missing, 1 rare
    or unseen, from 2 on the names that training data have often enough; then the ids of
    the tokens of each text, -1 where it has no more.

    Args:
        columns: The `Column`s, in the order of the table.
        left_out: `(name, why)` of columns that are not read.
        reader: The `TextReader` of those that are texts; `None` where none is.
    """

    def __init__(
        self,
        columns: Sequence[Column],
        left_out: Sequence[tuple[str, str]] = (),
        reader: Any = None,
    ):
        self.columns = tuple(columns)
        self.left_out = tuple(map(tuple, left_out))
        self.reader = reader

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments as plain values, but for the reader of texts."""
        return {
            "columns": [asdict(column) for column in self.columns],
            "left_out": [list(pair) for pair in self.left_out],
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any], reader: Any = None) -> "Columns":
        """Makes the same of what `get_config` returned.

        Args:
            config: That.
            reader: As the argument.
        """
        columns = map(Column.from_config, config["columns"])
        return cls(tuple(columns), config["left_out"], reader)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Columns) and self.columns == other.columns

    def __hash__(self) -> int:
        return hash(self.columns)

    def __len__(self) -> int:
        return len(self.columns)

    def __iter__(self) -> Iterator[Column]:
        return iter(self.columns)

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names, in their order."""
        return tuple(column.name for column in self)

    @property
    def numbers(self) -> tuple[Column, ...]:
        """The columns that are numbers or dates."""
        return tuple(column for column in self if column.kind in ("number", "date"))

    @property
    def categories(self) -> tuple[Column, ...]:
        """The columns that are categories."""
        return tuple(column for column in self if column.kind == "category")

    @property
    def texts(self) -> tuple[Column, ...]:
        """The columns that are texts."""
        return tuple(column for column in self if column.kind == "text")

    @property
    def scales(self) -> tuple[Scale, ...]:
        """The scale of each number of a row."""
        return tuple(scale for column in self.numbers for scale in column.scales)

    @property
    def cell_names(self) -> tuple[str, ...]:
        """What each cell is called: of each number of a row, each category, each text.

        A date is several numbers.
        """
        numbers = [name for column in self.numbers for name in column.numbers]
        return (*numbers, *(c.name for c in (*self.categories, *self.texts)))

    @property
    def owners(self) -> np.ndarray:
        """Of each cell the position of its column."""
        places = {column.name: place for place, column in enumerate(self)}
        owners = [places[c.name] for c in self.numbers for _ in c.numbers]
        others = (*self.categories, *self.texts)
        return np.array([*owners, *(places[c.name] for c in others)], int)

    @property
    def cells_of_row(self) -> np.ndarray:
        """Of each number of an encoded row its cell: a text has many."""
        first = len(self.cell_names) - len(self.texts)
        lengths = [*[1] * first, *(column.length for column in self.texts)]
        return np.repeat(np.arange(len(lengths)), lengths)

    @property
    def is_fitted(self) -> bool:
        """Whether training data were seen."""
        return all(column.is_fitted for column in self)

    # Reading.

    def encode(self, table: Mapping[str, Sequence[Any]]) -> np.ndarray:
        """Returns rows as numbers.

        Args:
            table: The cells of each column, by name; others are not looked at.

        Returns:
            float32 `(rows, numbers)`, as above.

        Raises:
            ValueError: If a cell is not of its column's kind.
        """
        parts = [_numbers_of(c, table[c.name]) for c in self.numbers]
        parts += [_codes_of(c, table[c.name]) for c in self.categories]
        parts += [_tokens_of(c, table[c.name], self.reader) for c in self.texts]
        return np.concatenate(parts, axis=1).astype("float32")

    def decode(self, rows: np.ndarray) -> dict[str, list[Any]]:
        """Returns what rows of numbers say of each column, for people.

        Args:
            rows: As `encode` returned them.
        """
        found: dict[str, list[Any]] = {name: [] for name in self.names}
        place = 0
        for column in self.numbers:
            width = len(column.numbers)
            cells = rows[:, place : place + width]
            place += width
            found[column.name] = [_number_shown(column, row) for row in cells]
        for column in self.categories:
            known = ["", "(other)", *column.names]
            found[column.name] = [known[int(code)] for code in rows[:, place]]
            place += 1
        for column in self.texts:
            tokens = rows[:, place : place + column.length]
            found[column.name] = self.reader.decode(tokens)
            place += column.length
        return found

    def fitted(self, rows: np.ndarray) -> tuple["Columns", Any]:
        """Returns the columns as training rows make them, and what recodes rows.

        Args:
            rows: Encoded training rows.

        Returns:
            `Columns`, and a function of rows of this coding that returns them in that.
        """
        columns: dict[str, Column] = {}
        kept: list[int] = []
        tables: list[np.ndarray] = []
        place = 0
        for column in self.numbers:
            cells = rows[:, place : place + len(column.numbers)]
            columns[column.name], chosen = _fitted_numbers(column, cells)
            kept += [place + i for i in chosen]
            place += len(column.numbers)
        for column in self.categories:
            columns[column.name], codes = _fitted_names(column, rows[:, place])
            tables.append(codes)
            place += 1
        first, end = place - len(tables), place
        for column in self.texts:
            tokens = rows[:, place : place + column.length]
            columns[column.name] = _fitted_text(column, (tokens >= 0).sum(axis=1))
            place += column.length

        def recode(encoded: np.ndarray) -> np.ndarray:
            codes = [
                codes[encoded[:, first + i].astype(int), np.newaxis]
                for i, codes in enumerate(tables)
            ]
            parts = [encoded[:, kept], *codes, encoded[:, end:]]
            return np.concatenate(parts, axis=1).astype("float32")

        found = [columns[c.name] for c in self]
        return Columns(found, self.left_out, self.reader), recode

    def scaled_as(self, other: "Columns") -> "Columns":
        """Returns the same with the scales that columns of another table have.

        Args:
            other: Its columns; those of the same name, kind and parts count.
        """
        theirs = {column.name: column for column in other}
        found = []
        for column in self:
            twin = theirs.get(column.name)
            same = twin and (twin.kind, twin.parts) == (column.kind, column.parts)
            found.append(replace(column, scales=twin.scales) if same else column)
        return Columns(found, self.left_out, self.reader)

    def read_by(self, reader: Any) -> "Columns":
        """Returns the same with another reader of texts.

        Args:
            reader: As the argument.
        """
        return Columns(self.columns, self.left_out, reader)

    def check_same(self, other: "Columns", part: str) -> None:
        """Raises `ValueError` unless rows of both are encoded alike.

        Args:
            other: Those of data.
            part: What the data are called.
        """
        mine = {column.name: column.coding for column in self}
        its = {column.name: column.coding for column in other}
        lacks = [name for name in mine if name not in its]
        more = [name for name in its if name not in mine]
        differ = [name for name in mine if name in its and mine[name] != its[name]]
        if self.texts and not (differ or lacks or self.reader.is_like(other.reader)):
            differ = [column.name for column in self.texts]
        if not (lacks or more or differ) and list(mine) == list(its):
            return
        said = (("lacks", lacks), ("also has", more), ("codes differently", differ))
        listed = "; ".join(f"it {how} {few(names)}" for how, names in said if names)
        raise ValueError(
            f"`{part}` is not read as the model's table is: "
            f"{listed or 'its columns have another order'}. Read it with "
            "`features=model.problem.input.columns`, or build the model with "
            "`columns=` of the data."
        )

    # Saying.

    def in_words(self, most: int = 6) -> str:
        """Returns how many columns of which kind there are: `"2 numbers (a, b)"`."""
        kinds = {"number": "numbers", "category": "categories", "date": "dates"}
        said = []
        for kind, kinds_of in {**kinds, "text": "texts"}.items():
            names = [column.name for column in self if column.kind == kind]
            if names:
                more = ", ..." if len(names) > most else ""
                noun = kind if len(names) == 1 else kinds_of
                said.append(f"{len(names)} {noun} ({', '.join(names[:most])}{more})")
        return ", ".join(said)

    def _described(self) -> Description:
        rows = [
            (column.name, column.kind, f"{column.missing:.1%}", self._details(column))
            for column in self
        ]
        notes = tuple(f"Left out: {name}, {why}." for name, why in self.left_out)
        header = ("column", "kind", "missing", "in training")
        return Description("", header, tuple(rows), notes)

    def _details(self, column: Column) -> str:
        if column.kind == "text":
            by = f", read by {self.reader.name}" if self.reader else ""
            said = f"median {column.tokens}, {column.full:.1%} full"
            return f"the first {column.length} tokens ({said}){by}"
        if column.kind == "category":
            other = ", others" if column.rare else ""
            return f"{len(column.names)} names{other}: {few(column.names)}"
        if not column.scales:
            return ""
        scale = column.scales[0]
        if column.kind == "date":
            return ", ".join(column.parts)
        log = ", by its logarithm" if scale.log else ""
        low, middle, high = scale.edges[0], scale.centre, scale.edges[-1]
        return f"{low:.4g} to {high:.4g}, median {middle:.4g}{log}"


def read_columns(
    table: Mapping[Any, Sequence[Any]],
    wanted: Any,
    is_parsed: bool,
    reader: Any = None,
) -> Columns:
    """Returns what columns of a table are, before training data are told apart.

    Args:
        table: The cells of each column, by name.
        wanted: From names to kinds, `"auto"` for what it looks like; or the names
            alone, of which those are left out that cannot be learnt from.
        is_parsed: Whether cells have types. Otherwise all are strings.
        reader: The `TextReader` of texts, where they are to be read.

    Raises:
        ValueError: If a column is not of its kind, or looks like nothing that can be
            learnt from, or none is left.
    """
    chosen = isinstance(wanted, Mapping)
    kinds = wanted if chosen else dict.fromkeys(wanted, "auto")
    found, left_out = [], []
    for name, kind in kinds.items():
        check_choice(f"features[{name!r}]", kind, KINDS)
        cells = table[name]
        why = None
        if kind == "auto":
            kind, why = kind_of_cells(cells, is_parsed, reader is not None)
        # A mistake among numbers is mended, or its row left out; the column stays.
        is_odd = why is not None and bool(nearly_all(cells)[1])
        it_is = f"say what it is: {{{name!r}: {kind if is_odd else 'category'!r}}}"
        skip = ", with errors='skip' to leave out such rows" * is_odd
        if why is not None and chosen:
            raise ValueError(
                f"The column {name!r} {why}. Leave it out of `features`, or {it_is}"
                f"{skip}."
            )
        if is_odd:
            warnings.warn(
                f"The column {name!r} is left out: it {why}. Mend it, or name the "
                f"columns, `features=`, and {it_is}{skip}.",
                UserWarning,
                stacklevel=5,
            )
        if why is not None:
            left_out.append((str(name), why))
            continue
        if kind == "text":
            if reader is None:
                raise ValueError(
                    f"The column {name!r} is to be read as text, and what reads it is "
                    "not known: pass `text_backbone=`, such as text_backbone='minilm'."
                )
            sizes = {"length": reader.length, "width": reader.width}
            found.append(Column(str(name), kind, **sizes))
            continue
        names: tuple[str, ...] = ()
        if kind == "category":
            read = map(as_category, cells)
            names = tuple(sorted({name for name in read if name is not None}))
        parts = DATE_PARTS if kind == "date" else ()
        found.append(Column(str(name), kind, names, parts=parts))
    if not found:
        listed = "; ".join(f"{name} {why}" for name, why in left_out)
        raise ValueError(f"No column can be learnt from: {listed}.")
    has_texts = any(column.kind == "text" for column in found)
    return Columns(found, left_out, reader if has_texts else None)


def table_of(inputs: Any, columns: Columns) -> dict[str, Sequence[Any]]:
    """Returns what `classify` is given as the cells of each column.

    Args:
        inputs: A dictionary of cells or of columns, a pandas DataFrame or a row of one,
            a list of such rows or dictionaries, or rows in the order of the columns.
        columns: Those that are read. Of columns that are missing all cells are.

    Raises:
        ValueError: If it is something else, or no column is known, or one looks
            misspelt.
    """
    if hasattr(inputs, "iloc") and hasattr(inputs, "columns"):
        inputs = {str(name): inputs[name].tolist() for name in inputs.columns}
    inputs = _as_dictionary(inputs)
    if isinstance(inputs, Mapping):
        table = {str(name): _cells(value) for name, value in inputs.items()}
        lengths = {len(cells) for cells in table.values()}
        if len(lengths) > 1:
            raise ValueError(
                "All columns must have as many cells. Received: "
                f"{ {name: len(cells) for name, cells in table.items()} }."
            )
        return _complete(table, columns)
    rows = [_as_dictionary(row) for row in inputs]
    if all(isinstance(row, Mapping) for row in rows):
        names = dict.fromkeys(str(name) for row in rows for name in row)
        by_name = [{str(name): cell for name, cell in row.items()} for row in rows]
        table = {name: [row.get(name) for row in by_name] for name in names}
        return _complete(table, columns) if rows else {n: [] for n in columns.names}
    wrong = [row for row in rows if isinstance(row, str) or not hasattr(row, "__len__")]
    wrong = wrong or [row for row in rows if len(row) != len(columns)]
    if wrong:
        raise ValueError(
            "Rows must be dictionaries by column, or have a cell for each of the "
            f"{len(columns)} columns {list(columns.names)}. Received: {wrong[0]!r}."
        )
    cells = zip(*rows, strict=True) if rows else [()] * len(columns)
    return dict(zip(columns.names, map(list, cells), strict=True))


def _as_dictionary(row: Any) -> Any:
    """Returns a row of a DataFrame, a `pandas.Series`, by column; all else as it is."""
    return row.to_dict() if hasattr(row, "iloc") and hasattr(row, "to_dict") else row


def _cells(value: Any) -> list[Any]:
    """Returns a column's cells; one that stands alone is one."""
    if isinstance(value, str | bytes) or not hasattr(value, "__len__"):
        return [value]
    return value.tolist() if hasattr(value, "tolist") else list(value)


def _complete(table: dict[str, list[Any]], columns: Columns) -> dict[str, list[Any]]:
    """Returns a table with columns of missing cells for those that it has not."""
    lacking = [name for name in columns.names if name not in table]
    others = [name for name in table if name not in columns.names]
    for name in lacking:
        near = did_you_mean(name, others)
        if near or len(lacking) == len(columns):
            raise ValueError(
                f"There is no column {name!r}, which the model reads.{near} The "
                f"table has {list(table)}; the model reads {list(columns.names)}."
            )
    if lacking:
        warnings.warn(
            f"There is no column {few(lacking)}: its cells are taken as missing.",
            UserWarning,
            stacklevel=6,
        )
    count = len(next(iter(table.values())))
    return {**table, **{name: [None] * count for name in lacking}}


def _numbers_of(column: Column, cells: Sequence[Any]) -> np.ndarray:
    """Returns the numbers of a column that is no category, float64 `(n, k)`."""
    read = as_number if column.kind == "number" else as_seconds
    found = np.empty(len(cells))
    for row, cell in enumerate(cells):
        number = read(cell)
        if number is None or np.isinf(number):
            like = "2024-05-31" if column.kind == "date" else "3.5"
            raise ValueError(
                f"Row {row} has {cell!r} in column {column.name!r}, which is a "
                f"{column.kind}, such as {like!r}. Mend it or leave the cell empty."
            )
        found[row] = number
    if column.kind == "number":
        return found[:, np.newaxis]
    parts = date_parts(found)
    return np.stack([parts[part] for part in column.parts], axis=1)


def _codes_of(column: Column, cells: Sequence[Any]) -> np.ndarray:
    codes = {name: code for code, name in enumerate(column.names, FIRST)}
    codes[None] = MISSING
    found = [codes.get(as_category(cell), OTHER) for cell in cells]
    return np.array(found, "float64").reshape(-1, 1)


def _tokens_of(column: Column, cells: Sequence[Any], reader: Any) -> np.ndarray:
    for row, cell in enumerate(cells):
        problem = kind_problem("text", cell)
        if problem is not None:
            raise ValueError(
                f"Row {row} {problem} in column {column.name!r}. Mend it, such as by "
                "`text.encode(errors='replace').decode()`, or leave the cell empty."
            )
    return reader.encode(cells)


def _fitted_numbers(column: Column, cells: np.ndarray) -> tuple[Column, list[int]]:
    """Returns a column with scales, and which of its numbers are kept."""
    scales = [_scale_of(values) for values in cells.T.astype("float64")]
    kept = list(range(len(scales)))
    if column.kind == "date":
        # Dates without a time of day have no use for it.
        kept = [i for i in kept if scales[i].deviation > 0] or [0]
    return replace(
        column,
        missing=float(np.isnan(cells[:, 0]).mean()),
        parts=tuple(column.parts[i] for i in kept) if column.parts else (),
        scales=tuple(scales[i] for i in kept),
    ), kept


def _scale_of(values: np.ndarray) -> Scale:
    known = values[~np.isnan(values)]
    if not len(known):
        known = np.zeros(1)
    centre = float(np.median(known))
    low, high = np.percentile(known, [25, 75])
    spread = float(high - low) / 2 or float(known.std()) or 1.0
    moved = (known - centre) / spread
    deviation = moved.std()
    skewness = ((moved - moved.mean()) ** 3).mean() / max(deviation, 1e-12) ** 3
    log = bool(abs(skewness) > _SKEWED and len(np.unique(known)) > 2)
    if log:
        moved = np.sign(moved) * np.log1p(np.abs(moved))
    edges = np.unique(np.quantile(known, np.linspace(0, 1, BINS + 1)))
    edges = np.concatenate([edges, np.repeat(edges[-1:], BINS + 1 - len(edges))])
    changes = known.max() > known.min()
    return Scale(
        log,
        centre,
        spread,
        float(moved.mean()),
        float(moved.std()) if changes else 0.0,
        tuple(map(float, edges)),
        bool(np.isnan(values).any()),
    )


def _fitted_names(column: Column, codes: np.ndarray) -> tuple[Column, np.ndarray]:
    """Returns a column with the names that are often enough, and its new codes."""
    counts = np.bincount(codes.astype(int), minlength=FIRST + len(column.names))
    often = [i for i in range(FIRST, len(counts)) if counts[i] >= _LEAST]
    often = sorted(often, key=lambda i: (-counts[i], i))[:_MOST_NAMES]
    recoded = np.full(len(counts), OTHER)
    recoded[MISSING] = MISSING
    recoded[often] = np.arange(FIRST, FIRST + len(often))
    names = tuple(column.names[i - FIRST] for i in often)
    new = recoded[codes.astype(int)]
    shares = np.bincount(new, minlength=FIRST + len(names)) / max(1, len(new))
    missing, rare, *others = map(float, shares)
    others = tuple(others)
    fitted = replace(column, names=names, shares=others, rare=rare, missing=missing)
    return fitted, recoded


def _fitted_text(column: Column, counts: np.ndarray) -> Column:
    """Returns a column that knows how many tokens the rows of training have."""
    there = counts[counts > 0]
    return replace(
        column,
        missing=float((counts == 0).mean()),
        tokens=int(np.median(there)) if len(there) else 0,
        full=float((counts == column.length).mean()),
    )


def _number_shown(column: Column, cells: np.ndarray) -> Any:
    if np.isnan(cells).any():
        return ""
    if column.kind == "number":
        return float(f"{cells[0]:.6g}")
    if column.parts[0] != DATE_PARTS[0]:
        # All of one time, or nearly.
        return "(date)"
    seconds = float(cells[0]) * 365.2425 * 86_400
    return str(np.datetime64(round(seconds / 86_400), "D"))
