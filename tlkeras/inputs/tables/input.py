"""`Tables`: the kind of input that rows of a table are."""

import csv
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import keras
import numpy as np

from tlkeras._validation import as_list, few
from tlkeras.description import Description
from tlkeras.findings import Finding, Numbering
from tlkeras.inputs.arrays import ArrayExamples
from tlkeras.inputs.base import (
    Assembled,
    Cells,
    Input,
    PlainRows,
    ReadExamples,
    Signature,
    Trial,
    Usage,
)
from tlkeras.inputs.explaining import Settings
from tlkeras.inputs.grouping import Group
from tlkeras.inputs.tables import backbones, exporting
from tlkeras.inputs.tables.cells import kind_of_cells, kind_problem
from tlkeras.inputs.tables.checking import check_columns
from tlkeras.inputs.tables.columns import MISSING, Columns, read_columns, table_of
from tlkeras.inputs.tables.layers import TableCells
from tlkeras.inputs.tables.pretext import masked_cells
from tlkeras.inputs.tables.texts import TextReader, latent_semantics, text_cells

# How many columns `Splits.show` gives, and how many of them a card's example has.
_SHOWN, _IN_EXAMPLE = 8, 6
# Steps of fine-tuning, from which the number of epochs follows.
_STEPS, _EPOCHS = 2_000, (10, 60)
_BATCH = 32

# A table for examples.
_FRAME = """
>>> import pandas as pd
>>> amount = np.arange(60.0)
>>> shop = ["a", "b", "c"] * 20
>>> frame = pd.DataFrame({"amount": amount, "shop": shop, "fraud": amount > 30})
"""


@keras.saving.register_keras_serializable("tlkeras")
class Tables(Input):
    """Rows of a table, float32 `(batch, numbers)`, as `Columns.encode` makes them.

    Args:
        columns: What the columns are; `None` where nothing was read yet.
        wanted: Of data to be read, the columns' kinds by name; `None`: all columns.
        reader: Of data to be read, the `TextReader` of free text; `None`: there is
            none.
    """

    name: ClassVar[str] = "rows"
    noun: ClassVar[str] = "row"
    nouns: ClassVar[str] = "rows"
    prefix: ClassVar[str] = "table"
    argument: ClassVar[str] = "features"
    most_columns: ClassVar[int] = 100_000
    takes_all: ClassVar[bool] = True
    small_backbones: ClassVar[tuple[str, ...]] = (backbones.FT_TRANSFORMER,)
    goes_in: ClassVar[str] = (
        "Rows of a table go in: numbers, categories, dates and texts, some of them "
        "missing; how they become numbers is part of the model and of its file."
    )
    builder_references: ClassVar[str] = (
        "Gorishniy et al., Revisiting Deep Learning Models for Tabular Data (2021); "
        "Cheng et al., Wide & Deep Learning for Recommender Systems (2016)"
    )
    builder_examples: ClassVar[Mapping[str, str]] = {
        "classifier": f"""{_FRAME}
>>> data = tl.from_dataframe(frame, features="all", label="fraud")
>>> model = tl.table_classifier("ft_transformer", data)
>>> model.classify(frame.iloc[:1])[0].label in data.class_names
True
""",
        "regressor": f"""{_FRAME}
>>> data = tl.from_dataframe(frame, features=["shop", "fraud"], label="amount",
...                          task="regression")
>>> tl.table_regressor("ft_transformer", data).output_shape
(None, 1)
""",
    }

    def __init__(
        self, columns: Columns | None = None, wanted: Any = None, reader: Any = None
    ):
        self.columns, self.wanted, self.reader = columns, wanted, reader

    def get_config(self) -> dict[str, Any]:
        config = {"columns": self.columns and self.columns.get_config()}
        reader = self.columns and self.columns.reader
        return {**config, **({"reader": reader.get_config()} if reader else {})}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Tables":
        columns, reader = config["columns"], config.get("reader")
        if columns is None:
            return cls()
        reader = reader and TextReader.from_config(reader)
        return cls(Columns.from_config(columns, reader))

    def __eq__(self, other: object) -> bool:
        # Keras numbers the names in the configurations of tokenizers.
        return type(self) is type(other) and self.columns == other.columns

    __hash__ = Input.__hash__

    @property
    def preprocessor(self) -> Any:
        """What makes tokens of texts, which a model's file keeps; `None`: no texts."""
        reader = self.columns and self.columns.reader
        return reader and reader.preprocessor

    def __repr__(self) -> str:
        said = "" if self.columns is None else self.columns.in_words(3)
        return f"{type(self).__name__}({said})"

    # Data.

    @classmethod
    def of_features(
        cls, features: Any, text_backbone: Any = None, text_length: int = 64
    ) -> tuple["Tables", Any]:
        """Returns the input that is to be read, and its columns, as a table takes them.

        Args:
            features: As in `tl.from_csv`.
            text_backbone: As there.
            text_length: As there.
        """
        if text_backbone is not None and (
            features is None or isinstance(features, Columns)
        ):
            raise ValueError(
                "`text_backbone` reads free text among `features`, where these are not "
                "the columns of other data or of a model, which bring their own. "
                f"Received: text_backbone={text_backbone!r}, features={features!r}. "
                "Leave it out; one column of texts alone is `text=`."
            )
        if isinstance(features, Columns):
            return cls(features), list(features.names)
        reader = text_backbone
        if reader is not None:
            reader = TextReader.of(text_backbone, text_length)
        if isinstance(features, Mapping):
            return cls(wanted=dict(features), reader=reader), list(features)
        if isinstance(features, str) and features == "all":
            return cls(reader=reader), features
        if features is not None:
            features = as_list("features", features)
            wanted = dict.fromkeys(features, "auto")
            return cls(wanted=wanted, reader=reader), features
        return cls(), None

    @classmethod
    def claims(cls, x: Any) -> bool:
        # One of texts alone holds these.
        return _is_frame(x) and any(kind.kind not in "OSU" for kind in x.dtypes)

    @classmethod
    def of_arrays(cls, x: Any) -> tuple["Tables", np.ndarray]:
        names = [str(name) for name in x.columns]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"`x` has the same column name twice: {twice}.")
        table = {str(name): x[name].tolist() for name in x.columns}
        columns = read_columns(table, list(table), is_parsed=True)
        return cls(columns), columns.encode(table)

    def of_another_part(self, x: Any) -> tuple["Tables", np.ndarray]:
        return self, self.read(x)

    def column_problem(self, name: Any) -> Callable[[Any], str | None]:
        kinds = self.wanted or {}
        if self.columns is not None:
            kinds = {column.name: column.kind for column in self.columns}
        kind = kinds.get(name, "auto")
        return lambda cell: kind_problem(kind, cell)

    def told_by(self, cells: Cells) -> "Tables":
        if self.columns is not None:
            return self
        wanted = self.wanted or dict.fromkeys(cells.names, "auto")
        kinds = {}
        for name, column in zip(cells.names, cells.columns, strict=True):
            reads = self.reader is not None
            kind, why = kind_of_cells(column, cells.is_parsed, reads)
            # Of a column that is left out any cell will do.
            found = kind if why is None else "auto"
            kinds[name] = found if wanted[name] == "auto" else wanted[name]
        return type(self)(wanted=kinds, reader=self.reader)

    def of_cells(self, cells: Cells, labels: np.ndarray) -> ReadExamples:
        table = dict(zip(cells.names, cells.columns, strict=True))
        columns = self.columns
        if columns is None:
            wanted = self.wanted or cells.names
            columns = read_columns(table, wanted, cells.is_parsed, self.reader)
        by_name = {str(name): column for name, column in table.items()}
        examples = ArrayExamples(columns.encode(by_name), labels)
        return ReadExamples(type(self)(columns), examples, np.arange(len(labels)), [])

    def fitted(self, parts: Mapping[str, Any]) -> tuple[Input, dict[str, Any]]:
        if self.columns.is_fitted:
            return self, dict(parts)
        train = parts["train"]
        rows = np.asarray(train.inputs)[train.rows]
        columns, recode = self.columns.fitted(rows)
        recoded: dict[int, np.ndarray] = {}
        found = {}
        for part, examples in parts.items():
            inputs = examples.inputs
            if id(inputs) not in recoded:
                recoded[id(inputs)] = recode(np.asarray(inputs))
            new = recoded[id(inputs)]
            found[part] = ArrayExamples(new, examples.labels, examples.rows)
        return type(self)(columns), found

    def describe(self, parts: Mapping[str, Any]) -> str:
        rows = sum(map(len, parts.values()))
        return f"{rows} rows of {len(self.columns)} columns: {self.columns.in_words()}"

    def show(
        self, inputs: np.ndarray, titles: Sequence[str], about: str
    ) -> Description:
        table = self.columns.decode(inputs)
        names = self.columns.names[:_SHOWN]
        rows = [
            (title, *(str(table[name][row]) for name in names))
            for row, title in enumerate(titles)
        ]
        return Description(about, ("label", *names), tuple(rows))

    def findings(
        self,
        parts: Mapping[str, Any],
        exact: Sequence[Group],
        numbering: Numbering,
        progress: Callable[[int], None],
    ) -> tuple[list[Finding], list[Group]]:
        progress(len(numbering.part_of))
        return list(check_columns(parts, self.columns)), []

    def facts(self, examples: Any) -> dict[str, Any]:
        return {"size": f"{len(self.columns)} columns"}

    # Plans.

    def usual(self, examples: int | None, blocks: Sequence[str]) -> dict[str, Any]:
        steps = max(1, (examples or _STEPS) / _BATCH)
        epochs = min(max(round(_STEPS / steps), _EPOCHS[0]), _EPOCHS[1])
        return {
            "epochs": epochs,
            "unfreeze_from": 1.0,
            "fine_tune_learning_rate": 5e-4,
            "schedule": "cosine",
        }

    # Models.

    @classmethod
    def claims_backbone(cls, backbone: Any) -> bool:
        return isinstance(backbone, str) and backbone == backbones.FT_TRANSFORMER

    @classmethod
    def load_backbone(cls, backbone: Any, **arguments: Any) -> Any:
        if arguments.get("columns") is None:
            raise ValueError(
                f"{backbone!r} is made for the columns of a table: "
                f"tl.table_classifier({backbone!r}, data)."
                "backbone."
            )
        return backbones.load_backbone(backbone, **arguments)[0]

    @classmethod
    def assemble(
        cls,
        backbone: str | os.PathLike | keras.Model,
        *,
        columns: Columns,
        width: int = 64,
        blocks: int = 3,
        wide: bool = True,
    ) -> Assembled:
        """Puts a backbone behind the columns of a table.

        Args:
            backbone: `"ft_transformer"`, a new FT-Transformer; or a model of another
                table, or the path of its '.keras' file: its blocks are taken over, and
                what it knows of columns of the same name and kind, with their scaling.
                Of categories the names that both have are taken over, of texts what
                reads them, where that is the same; all else starts anew.
            columns: What the columns are: `data.columns`.
            width: Of a cell's token in a new backbone, a multiple of 4.
            blocks: How many blocks a new backbone has, `block_1` and so on.
            wide: Whether the head also reads the cells themselves beside the backbone's
                features: with a new backbone the solved head is mostly a linear model
                of cut numbers and of categories.
        """
        if not isinstance(columns, Columns) or not columns.is_fitted:
            raise ValueError(
                "`columns` must say what the table's columns are, as `data.columns` of "
                "`tl.from_dataframe(..., features=...)` or `tl.from_csv` does. "
                f"Received: columns={columns!r}."
            )
        loaded, columns = backbones.load_backbone(
            backbone, columns, width=width, blocks=blocks
        )
        if columns.texts and getattr(columns.reader, "backbone", None) is None:
            raise ValueError(
                "What reads the texts of these columns is known to their model alone. "
                "Build on the model, `tl.table_classifier(model, data)`, or pass "
                "`columns=` of data that were read with `text_backbone=`. Received: "
                f"texts {few([column.name for column in columns.texts])}."
            )
        rows = keras.Input((len(columns.cells_of_row),), dtype="float32", name="table")
        cells = rows
        if columns.texts:
            cells = [rows, text_cells(columns.reader, len(columns.texts))(rows)]
        cells = TableCells(columns, name="cells")(cells)
        features = loaded.model(cells)
        if wide:
            both = [features, cells]
            features = keras.layers.Concatenate(dtype="float32", name="wide")(both)
        return Assembled(rows, features, cls(columns), loaded.name, loaded.licence)

    @classmethod
    def timed_as(cls, **arguments: Any) -> tuple[str, Callable[[Any], keras.Model]]:
        names = ("columns", "width", "blocks")
        given = {name: arguments[name] for name in names}
        columns = given["columns"]
        about = f" of {len(columns)} columns, {given['width']}, {given['blocks']}"
        return about, lambda name: cls.load_backbone(name, **given).model

    def builder_arguments(self) -> dict[str, Any]:
        return {"columns": self.columns}

    def check_reading(self, other: Input, part: str) -> None:
        if type(other) is type(self):
            self.columns.check_same(other.columns, part)

    def given(self, data: Any) -> Any:
        if isinstance(data, tuple) and data and _is_table(data[0]):
            return (self.read(data[0]), *data[1:])
        return data

    def ready(self, x: Any) -> Any:
        return self.read(x) if _is_table(x) else x

    def read(self, inputs: Any, shape: tuple | None = None) -> np.ndarray:
        if isinstance(inputs, np.ndarray) and inputs.dtype.kind in "fiu":
            rows = np.atleast_2d(inputs)
            if rows.shape[1] == len(self.columns.cells_of_row):
                return rows.astype("float32")
        elif keras.ops.is_tensor(inputs):
            return keras.ops.convert_to_numpy(inputs)
        if isinstance(inputs, str | bytes):
            raise ValueError(
                "A model of tables takes rows: a dictionary by column, a list of them, "
                f"or a DataFrame. Received: {inputs!r}. Read a file with pandas."
            )
        return self.columns.encode(table_of(inputs, self.columns))

    def given_rows(self, argument: str) -> Iterator[str]:
        if not argument.lower().endswith(".csv"):
            yield argument
            return
        try:
            with (
                Path(argument).expanduser().open(newline="", encoding="utf-8-sig") as f
            ):
                for row in csv.DictReader(f):
                    yield json.dumps(row, ensure_ascii=False)
        except OSError:
            # `read_each` says of each argument what is wrong with it.
            yield argument

    def read_each(self, inputs: Sequence[str]) -> tuple[list[Any], dict[int, str]]:
        rows, errors = [], {}
        for place, text in enumerate(inputs):
            try:
                row = json.loads(text)
                if not isinstance(row, dict):
                    raise ValueError("It is no JSON object.")
            except ValueError:
                errors[place] = (
                    "It must be a '.csv' file with a header that can be read, or a row "
                    'as JSON: {"column": value, ...}.'
                )
                continue
            try:
                self.read(row)
                rows.append(row)
            except ValueError as error:
                errors[place] = str(error)
        return rows, errors

    @property
    def column_names(self) -> tuple[str, ...]:
        # Texts differ in nearly every row.
        columns = self.columns or ()
        return tuple(each.name for each in columns if each.kind != "text")

    def column_values(self, examples: Any, name: str) -> Any:
        rows = np.asarray(examples.inputs)[examples.rows]
        shown = self.columns.decode(rows)[name]
        kinds = {column.name: column.kind for column in self.columns}
        if kinds[name] == "number":
            return np.array([np.nan if cell == "" else cell for cell in shown])
        if kinds[name] != "date" or "(date)" in shown:
            return shown
        return np.array(shown, "datetime64[D]")

    def plain_rows(self, learnt: Sequence[Any], others: Any) -> PlainRows:
        parts = [*learnt, others]
        read = [np.asarray(each.inputs)[each.rows] for each in parts]
        rows = np.concatenate(read).astype("float64")
        count, columns = len(rows) - len(read[-1]), self.columns
        first = len(columns.scales)
        end = first + len(columns.categories)
        codes = rows[:, first:end]
        rows[:, first:end] = np.where(codes == MISSING, np.nan, codes)
        found = [rows[:, :end]]
        for column in columns.texts:
            place = end + column.length * (len(found) - 1)
            tokens = rows[:, place : place + column.length]
            found.append(latent_semantics(tokens[:count], tokens))
        rows = np.concatenate(found, axis=1)
        is_code = np.zeros(rows.shape[1], bool)
        is_code[first:end] = True
        note = "; texts as TF-IDF of their tokens, by TruncatedSVD" * bool(found[1:])
        return PlainRows(rows[:count], rows[count:], is_code, note)

    def shuffled(
        self, rows: np.ndarray, repeats: int, seed: int
    ) -> Iterator[tuple[str, np.ndarray]]:
        random = np.random.default_rng(seed)
        order = np.concatenate([random.permutation(len(rows)) for _ in range(repeats)])
        for place, name in enumerate(self.columns.names):
            # All numbers of a date together, and all tokens of a text.
            cells = self.columns.owners[self.columns.cells_of_row] == place
            mixed = np.tile(rows, (repeats, 1))
            mixed[:, cells] = rows[order][:, cells]
            yield name, mixed

    # Pretraining.

    def pretext(self, model: keras.Model) -> keras.Model:
        if len(self.columns.texts) == len(self.columns):
            raise ValueError(
                "`tl.pretrain` has numbers, categories and dates filled in. The table "
                "has texts alone, which what reads them knows already."
            )
        return masked_cells(model.get_layer("cells"), model.backbone)

    # Explanations.

    def explainer(self, probe: Any, settings: Settings) -> Any:
        from tlkeras.inputs.tables.explaining import TableExplainer

        return TableExplainer(probe, settings, self)

    # Export.

    def signatures(
        self, exported: Any, archive: Any, inputs: Any
    ) -> dict[str, Signature]:
        run, specs, lookups = exporting.of_columns(exported, self.columns)
        for lookup in lookups:
            archive.track(lookup)
        if self.columns.texts:
            archive.track(self.preprocessor)
        return {
            "serving_default": Signature(run, specs),
            "encoded": Signature(exported.labelled, exported.specs()),
        }

    def trials(self, inputs: Any) -> Iterator[Trial]:
        yield Trial("encoded", inputs.arrays, inputs.arrays)
        ((name, rows),) = inputs.arrays.items()
        given = exporting.as_columns(rows, self.columns)
        again = self.columns.encode(exporting.as_cells(given, self.columns))
        yield Trial("serving_default", given, {name: again})

    def as_tensors(self, x: Any) -> tuple[Any, Any]:
        return self.ready(x), None

    def made_up(self, shapes: Sequence[tuple], count: int) -> Any:
        return [exporting.some_rows(self.columns, count)]

    def export_facts(self) -> dict[str, Any]:
        names = self.columns.cell_names
        codes = {
            column.name: ["(missing)", "(other)", *column.names]
            for column in self.columns.categories
        }
        tokens = {column.name: column.length for column in self.columns.texts}
        return {"columns": list(names), "codes": codes, "tokens": tokens}

    def signature_notes(self) -> Iterator[str]:
        yield (
            "takes a tensor for each column by name: numbers as float32 (NaN: "
            "missing), categories as strings ('': missing), dates as seconds since "
            "1970, UTC"
        )
        if self.columns.texts:
            yield (
                "takes texts as strings, too: `import tensorflow_text` before "
                "tf.saved_model.load, since their tokenizer is made of its operations"
            )

    def tensor_notes(self) -> Iterator[str]:
        yield (
            "takes encoded rows, as `model.problem.input.columns.encode` makes them: "
            "numbers, then the codes of categories, then the tokens of texts, in the "
            "order and with the codes that the metadata list"
        )

    # The card.

    def usage(self) -> Usage:
        columns = list(self.columns)[:_IN_EXAMPLE]
        examples = {column.name: exporting.example_of(column) for column in columns}
        row = examples if len(columns) == len(self.columns) else {**examples, "...": 0}
        return Usage(f"[{row!r}]", "rows.csv")

    def other_backbones(self) -> Iterator[str]:
        if self.columns.texts:
            reader = self.columns.reader
            licence = (
                "whose licence is not known to tlkeras: check where they came from"
            )
            if reader.licence:
                licence = f"which are under {reader.licence}"
            yield (
                f"Its texts are read by the frozen backbone `{reader.name}`, with "
                f"weights {licence}."
            )

    def limits(self) -> Iterator[str]:
        yield (
            "Names that it saw fewer than twice in training are one to it, and so are "
            "those that it never saw; numbers beyond those of training are cut."
        )
        if self.columns.texts:
            length = self.columns.reader.length
            yield f"It reads the first {length} tokens of a text; the rest is cut off."


def _is_table(x: Any) -> bool:
    if isinstance(x, list) and x:
        # Rows; Keras takes a list of arrays, too.
        x = x[0]
    return isinstance(x, Mapping) or _is_frame(x)


def _is_frame(x: Any) -> bool:
    return hasattr(x, "iloc") and hasattr(x, "columns")
