"""Free text in tables: a text backbone reads it, its tokenizer makes tokens of it."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from tlkeras._validation import check_int
from tlkeras.freezing import set_trainable
from tlkeras.heads import TokenPooling
from tlkeras.inputs.tables.cells import as_category
from tlkeras.inputs.texts.backbones import load_backbone
from tlkeras.inputs.texts.nested import with_one_output
from tlkeras.inputs.texts.preprocessor import (
    MINIMUM_LENGTH,
    TextPreprocessor,
    same_reading,
)
from tlkeras.inputs.texts.token_words import special_ids
from tlkeras.runtime import current_runtime

# What stands in an encoded row where a text has no token, since ids begin at 0.
PADDING = -1
# How many numbers learners that do not read get of a text.
_MOST_NUMBERS = 50


@dataclass(frozen=True, eq=False)
class TextReader:
    """What reads the texts of a table.

    Attributes:
        preprocessor: The `TextPreprocessor` that makes tokens of them.
        name: The text backbone's name.
        width: How many features the backbone makes of a text.
        licence: Of its weights, `None` where it is not known.
        pool: How its tokens' states become one vector, as in `TokenPooling`.
        backbone: The text backbone up to these states; `None` of a file, whose model
            holds it.
    """

    preprocessor: TextPreprocessor
    name: str
    width: int
    licence: str | None = None
    pool: str = "mean"
    backbone: keras.Model | None = None

    @classmethod
    def of(cls, backbone: str | os.PathLike | keras.Model, length: int) -> "TextReader":
        """Loads a text backbone.

        Args:
            backbone: As `tl.text_classifier` takes it.
            length: Tokens per text at most, special ones included.

        Raises:
            ValueError: If it is no text backbone, or `length` is below 4 or above what
                it can read.
        """
        check_int("text_length", length, MINIMUM_LENGTH)
        # Models are built under the strategy later on.
        with current_runtime().scope():
            loaded = load_backbone(backbone, sequence_length=length)
            model, pool = with_one_output(loaded, "auto")
        facts = loaded.name, model.output_shape[-1], loaded.licence
        return cls(loaded.preprocessor, *facts, pool, model)

    def get_config(self) -> dict[str, Any]:
        """Returns what a file keeps beside the model's layers."""
        kept = keras.saving.serialize_keras_object(self.preprocessor)
        return {
            "preprocessor": kept,
            "name": self.name,
            "width": self.width,
            "licence": self.licence,
            "pool": self.pool,
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "TextReader":
        """Makes one of what `get_config` returned, without a backbone."""
        kept = keras.saving.deserialize_keras_object(config["preprocessor"])
        return cls(**{**config, "preprocessor": kept})

    @property
    def length(self) -> int:
        """Tokens per text at most."""
        return self.preprocessor.sequence_length

    def is_like(self, other: "TextReader | None") -> bool:
        """Whether another one is the same backbone's and makes the same tokens."""
        return (
            other is not None
            and (self.name, self.width, self.pool)
            == (other.name, other.width, other.pool)
            and same_reading(self.preprocessor, other.preprocessor)
        )

    def encode(self, cells: Sequence[Any]) -> np.ndarray:
        """Returns texts as float32 `(n, length)`: ids of tokens, then -1.

        Ids are exact in float32 below 2**24. A missing text has no token at all.

        Args:
            cells: A column's cells; numbers among them are read as they are written.
        """
        found = np.full((len(cells), self.length), PADDING, "float32")
        texts = [as_category(cell) for cell in cells]
        there = [row for row, text in enumerate(texts) if text]
        if there:
            read = [texts[row] for row in there]
            tokens, lengths, _ = self.preprocessor.tokenize_all(read)
            ids = tokens["token_ids"]
            own = np.arange(ids.shape[1]) < lengths[:, np.newaxis]
            found[there, : ids.shape[1]] = np.where(own, ids, PADDING)
        return found

    def decode(self, rows: np.ndarray) -> list[str]:
        """Returns what tokens say, for people, as far as the tokenizer tells.

        Args:
            rows: As `encode` returned them.
        """
        tokenizer = self.preprocessor.tokenizer
        out = [PADDING, *special_ids(tokenizer)]
        kept = [[int(i) for i in row if i not in out] for row in rows]
        return [str(tokenizer.detokenize(ids)) if ids else "" for ids in kept]


@keras.saving.register_keras_serializable("tlkeras")
class TextCells(keras.layers.Layer):
    """Makes features of the texts of a table by a text backbone, which stays frozen.

    One backbone reads all texts of a row. It runs in inference mode, and its pooled
    features are scaled to length 1, as those of sentences are compared.

    Args:
        backbone: From a dictionary of tokens to their states `(batch, length, width)`.
        pool: As in `TokenPooling`.
        columns: How many texts a row has, its last places.
        length: How many places each text has.
        padding: The id that the backbone takes for padding.
        **kwargs: Of every Keras layer.

    Input shape: float32 `(batch, numbers)`, rows as `Columns.encode` makes them.
    Output shape: float32 `(batch, columns * (1 + width))`: of each text whether it is
    missing, then its features, which are zeros where it is.

    Reference:
        Reimers and Gurevych, Sentence-BERT (2019).
    """

    def __init__(
        self,
        backbone: keras.Model,
        pool: str,
        columns: int,
        length: int,
        padding: int,
        **kwargs: Any,
    ):
        # In half precision ids of tokens would be rounded.
        super().__init__(**{**kwargs, "trainable": False, "dtype": "float32"})
        set_trainable(backbone, False)
        self.backbone, self.pool = backbone, pool
        self.columns, self.length, self.padding = columns, length, padding
        self.pooling = TokenPooling(pool, dtype="float32")
        self.built = True

    def call(self, rows):
        ids = ops.reshape(rows[:, -self.columns * self.length :], (-1, self.length))
        own = ids >= 0
        there = own[:, :1]
        # A backbone has to read something where there is nothing.
        read = ops.logical_or(own, ops.arange(self.length) == 0)
        tokens = {
            "token_ids": ops.where(own, ids, self.padding),
            "padding_mask": read,
            "segment_ids": ops.zeros_like(ids),
        }
        takes = self.backbone.input
        tokens = {name: ops.cast(tokens[name], x.dtype) for name, x in takes.items()}
        states = self.backbone(tokens, training=False)
        # To one that takes no mask, padding is part of the text.
        masks = [read] if "padding_mask" in takes else []
        features = ops.stop_gradient(self.pooling([states, *masks]))
        features = ops.where(there, ops.normalize(features, axis=-1), 0.0)
        missing = 1 - ops.cast(there, "float32")
        both = ops.concatenate([missing, features], axis=-1)
        return ops.reshape(both, (-1, self.columns * both.shape[-1]))

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.columns * (1 + self.backbone.output_shape[-1]))

    def get_config(self):
        own = {
            "backbone": keras.saving.serialize_keras_object(self.backbone),
            "pool": self.pool,
            "columns": self.columns,
            "length": self.length,
            "padding": self.padding,
        }
        return {**super().get_config(), **own}

    @classmethod
    def from_config(cls, config):
        backbone = keras.saving.deserialize_keras_object(config["backbone"])
        return cls(**{**config, "backbone": backbone})


def text_cells(reader: TextReader, columns: int) -> TextCells:
    """Returns the layer that reads the texts of encoded rows.

    Args:
        reader: One with a backbone.
        columns: How many texts a row has.
    """
    padding = int(reader.preprocessor.tokenizer.pad_token_id)
    return TextCells(
        reader.backbone, reader.pool, columns, reader.length, padding, name="texts"
    )


def latent_semantics(learnt: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Returns what learners that do not read make of texts.

    Tokens are weighed by TF-IDF and reduced by a singular value decomposition, both
    learnt from some texts alone.

    Args:
        learnt: Tokens of these, as `TextReader.encode` returned them.
        rows: Those of all texts.

    Returns:
        Float `(rows, k)`, at most 50 numbers; none where there is nothing to learn.

    Reference:
        Deerwester et al., Indexing by Latent Semantic Analysis (1990).
    """
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    def known(ids: np.ndarray) -> np.ndarray:
        return ids[ids != PADDING].astype(int)

    if not (learnt != PADDING).any():
        return np.zeros((len(rows), 0))
    weighed = TfidfVectorizer(analyzer=known).fit(learnt)
    words = weighed.transform(learnt)
    most = min(_MOST_NUMBERS, words.shape[1], max(1, len(learnt) - 1))
    reduced = TruncatedSVD(most, random_state=0).fit(words)
    return reduced.transform(weighed.transform(rows))
