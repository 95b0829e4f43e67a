"""Layers of tables: from encoded rows to scaled cells, to tokens, and over these."""

from typing import Any

import keras
import numpy as np
from keras import ops

from tlkeras.inputs.tables.columns import BINS, FIRST, LARGEST, MISSING, OTHER, Columns

# What becomes of a number: itself, one for each bin, whether it is missing.
WIDTH_OF_NUMBER = BINS + 2


@keras.saving.register_keras_serializable("tlkeras")
class TableCells(keras.layers.Layer):
    """Scales numbers, cuts them into pieces, and makes vectors of categories.

    A number becomes `(scaled, piece 1 ... piece 8, is missing)`, where each piece says
    how much of an interval lies below the number, from 0 to 1; a category a one-hot
    vector of its codes; a text `(is missing, its features)`, as `TextCells` gives them.
    What training data never had, a missing number or an unseen name, is all zeros, and
    so is a cell that is masked.

    Args:
        columns: The `Columns`, fitted.
        **kwargs: Of every Keras layer.

    Input shape: float32 `(batch, numbers)`, rows as `Columns.encode` makes them; or a
    list of these and the features of their texts. Without them texts are masked.
    Output shape: float32 `(batch, width)`.

    Reference:
        Gorishniy et al., On Embeddings for Numerical Features in Tabular Deep Learning
        (2022).
    """

    def __init__(self, columns: Columns, **kwargs: Any):
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        self.columns = columns
        scales = columns.scales
        self._log = np.array([each.log for each in scales], bool)
        self._centre, self._spread, self._mean, self._deviation = (
            np.array([getattr(each, name) for each in scales], "float32")
            for name in ("centre", "spread", "mean", "deviation")
        )
        edges = np.array([each.edges for each in scales]).reshape(-1, BINS + 1)
        self._low = edges[:, :-1].astype("float32")
        widths = np.diff(edges, axis=1).astype("float32")
        self._step = np.where(widths > 0, 1 / np.where(widths > 0, widths, 1), 0)
        self._fill = np.array([each.fill for each in scales], "float32")
        self.built = True

    @property
    def widths(self) -> tuple[int, ...]:
        """How many places of the output are each number's, category's, then text's."""
        numbers = [WIDTH_OF_NUMBER] * len(self._log)
        names = [FIRST + len(column.names) for column in self.columns.categories]
        return (*numbers, *names, *(1 + column.width for column in self.columns.texts))

    def average(self) -> np.ndarray:
        """Returns the output of an average row, float32 `(1, width)`.

        Its numbers are at their medians, its categories as often as in training; its
        texts say nothing.
        """
        medians = np.zeros((1, len(self.columns.cells_of_row)), "float32")
        medians[0, : len(self._centre)] = self._centre
        numbers = len(self._log) * WIDTH_OF_NUMBER
        shares = [
            (column.missing, column.rare, *column.shares)
            for column in self.columns.categories
        ]
        shares = np.concatenate([*shares, []])
        row = np.array(self(medians))
        row[0, numbers : numbers + len(shares)] = shares
        return row

    def call(self, inputs):
        rows, *texts = inputs if isinstance(inputs, list | tuple) else [inputs]
        count = len(self._log)
        vectors = []
        if count:
            vectors.append(self._of_numbers(rows[:, :count]))
        for place, column in enumerate(self.columns.categories, count):
            codes = ops.cast(rows[:, place], "int32")
            vector = ops.one_hot(codes, FIRST + len(column.names), dtype="float32")
            known = np.ones(FIRST + len(column.names), "float32")
            known[[MISSING, OTHER]] = column.missing > 0, column.rare > 0
            vectors.append(vector * known)
        if self.columns.texts:
            known = [
                np.r_[column.missing > 0, np.ones(column.width)]
                for column in self.columns.texts
            ]
            known = np.concatenate(known).astype("float32")
            features = texts[0] if texts else ops.zeros_like(rows[:, :1])
            vectors.append(features * known)
        return ops.concatenate(vectors, axis=-1)

    def _of_numbers(self, x):
        missing = ops.cast(ops.isnan(x), "float32")
        x = ops.where(ops.isnan(x), self._centre, x)
        moved = (x - self._centre) / self._spread
        # ONNX has no `log1p`.
        logarithm = ops.sign(moved) * ops.log(1 + ops.abs(moved))
        moved = ops.where(self._log, logarithm, moved)
        deviation = np.where(self._deviation > 0, self._deviation, np.inf)
        scaled = ops.clip((moved - self._mean) / deviation, -LARGEST, LARGEST)
        pieces = (ops.expand_dims(x, -1) - self._low) * self._step
        pieces = ops.clip(pieces, 0, 1)
        there = ops.expand_dims(1 - missing, -1)
        vectors = [
            ops.expand_dims(scaled, -1) * there,
            pieces * there,
            ops.expand_dims(missing * self._fill, -1),
        ]
        vectors = ops.concatenate(vectors, axis=-1)
        return ops.reshape(vectors, (-1, len(self._log) * WIDTH_OF_NUMBER))

    def compute_output_shape(self, input_shape):
        batch = input_shape[0]
        is_list = isinstance(batch, list | tuple)
        return (batch[0] if is_list else batch, sum(self.widths))

    def get_config(self):
        return {**super().get_config(), "columns": self.columns.get_config()}

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        return cls(Columns.from_config(config.pop("columns")), **config)


@keras.saving.register_keras_serializable("tlkeras")
class CellTokens(keras.layers.Layer):
    """Makes a token of each cell, behind one that will stand for the row.

    Args:
        width: Of a token.
        numbers: How many numbers there are.
        names: How many places each category has.
        **kwargs: Of every Keras layer.

    Input shape: `(batch, places)`, as `TableCells` gives them.
    Output shape: `(batch, 1 + cells, width)`.
    """

    def __init__(self, width: int, numbers: int, names: Any, **kwargs: Any):
        super().__init__(**kwargs)
        self.width, self.numbers, self.names = width, numbers, tuple(names)

    def build(self, input_shape):
        # As a row of an embedding, each place of a cell adds one vector.
        start = keras.initializers.RandomNormal(stddev=self.width**-0.5)
        shape = (1 + self.numbers + len(self.names), self.width)
        self.bias = self.add_weight(shape=shape, initializer=start, name="bias")
        if self.numbers:
            shape = (self.numbers, WIDTH_OF_NUMBER, self.width)
            self.kernel = self.add_weight(shape=shape, initializer=start, name="kernel")
        self.embeddings = [
            self.add_weight(
                shape=(places, self.width), initializer=start, name=f"embedding_{i}"
            )
            for i, places in enumerate(self.names)
        ]

    def call(self, cells):
        first = self.numbers * WIDTH_OF_NUMBER
        tokens = [ops.zeros_like(cells[:, :1, None]) * self.bias[:1]]
        if self.numbers:
            places = (-1, self.numbers, WIDTH_OF_NUMBER)
            numbers = ops.reshape(cells[:, :first], places)
            tokens.append(ops.einsum("nci,ciw->ncw", numbers, self.kernel))
        for places, embedding in zip(self.names, self.embeddings, strict=True):
            vector = ops.matmul(cells[:, first : first + places], embedding)
            tokens.append(ops.expand_dims(vector, 1))
            first += places
        return ops.concatenate(tokens, axis=1) + self.bias

    def compute_output_shape(self, input_shape):
        return (input_shape[0], 1 + self.numbers + len(self.names), self.width)

    def get_config(self):
        own = {"width": self.width, "numbers": self.numbers, "names": self.names}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable("tlkeras")
class CellTransformer(keras.layers.Layer):
    """A transformer's block over the tokens of a row, norms first.

    Args:
        heads: Attention heads.
        hidden: Units of the hidden layer.
        dropout: Of attention and of the hidden layer.
        **kwargs: Of every Keras layer.

    Input shape: `(batch, tokens, width)`.
    Output shape: The same.

    Reference:
        Gorishniy et al., Revisiting Deep Learning Models for Tabular Data (2021).
    """

    def __init__(self, heads: int, hidden: int, dropout: float, **kwargs: Any):
        super().__init__(**kwargs)
        self.heads, self.hidden, self.dropout = heads, hidden, dropout

    def build(self, input_shape):
        layers, width, policy = keras.layers, input_shape[-1], self.dtype_policy
        named = {"dtype": policy}
        self.attention_norm = layers.LayerNormalization(name="attention_norm", **named)
        self.attention = layers.MultiHeadAttention(
            self.heads,
            max(1, width // self.heads),
            dropout=self.dropout,
            name="attention",
            **named,
        )
        self.hidden_norm = layers.LayerNormalization(name="hidden_norm", **named)
        self.dense = layers.Dense(self.hidden, "gelu", name="dense", **named)
        self.dropping = layers.Dropout(self.dropout, name="dropping", **named)
        self.output_dense = layers.Dense(width, name="output", **named)
        self.attention_norm.build(input_shape)
        self.attention.build(input_shape, input_shape)
        self.hidden_norm.build(input_shape)
        self.dense.build(input_shape)
        self.output_dense.build((*input_shape[:-1], self.hidden))

    def call(self, tokens, training=None):
        x = self.attention_norm(tokens)
        tokens = tokens + self.attention(x, x, training=training)
        x = self.dense(self.hidden_norm(tokens))
        return tokens + self.output_dense(self.dropping(x, training=training))

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        own = {"heads": self.heads, "hidden": self.hidden, "dropout": self.dropout}
        return {**super().get_config(), **own}
