"""From a text backbone's name, preset or model to that model and its preprocessor."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import keras

from tlkeras._validation import check_int
from tlkeras.backbones import hub
from tlkeras.backbones.loaded import LoadedBackbone, refuse_whole_model
from tlkeras.backbones.table import entry_for
from tlkeras.backbones.weights import Weights, find_weights_file, load_weights_file
from tlkeras.inputs.texts.minilm import MINILM_LICENCE, minilm_folder
from tlkeras.inputs.texts.older_keras_hub import readable_preset
from tlkeras.inputs.texts.preprocessor import (
    MINIMUM_LENGTH,
    Kind,
    TextPreprocessor,
    check_tokenizer,
)
from tlkeras.inputs.texts.presets import TextFamily, text_families, text_presets

MINILM = "minilm"

_SEQUENCE_LENGTH = 128

_TEXT_INPUTS = {"token_ids", "padding_mask", "segment_ids"}

# Any of these in a folder: what lies there reads text.
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.txt")

_FOLDER_FILES = (
    "`config.json`, `model.weights.h5` and `tokenizer.json`, as "
    "`backbone.save_to_preset(folder)` and `tokenizer.save_to_preset(folder)` write "
    "them; or, in the layout of Hugging Face, `config.json`, `model.safetensors` and "
    "the files of its tokenizer, which needs `pip install safetensors`"
)


@dataclass(frozen=True, eq=False)
class LoadedTextBackbone(LoadedBackbone):
    """A text backbone that is ready for a head.

    Attributes:
        model: KerasHub backbone, functional: from a dictionary with `token_ids` and,
            as the family has them, `padding_mask` and `segment_ids`, to what KerasHub
            lets it give: a sequence `(batch, length, width)`, or a dictionary with
            `sequence_output` and `pooled_output`.
        name: As in `LoadedBackbone`.
        licence: As in `LoadedBackbone`.
        preprocessor: Turns texts into the inputs of `model`.
        kind: `"encoder"`: the first token stands for the whole text. `"decoder"`: the
            last one does.
    """

    preprocessor: TextPreprocessor
    kind: Kind


class _Origin(NamedTuple):
    """What was known of a model when it was loaded by name."""

    tokenizer: Any
    name: str
    licence: str | None


_ORIGINS: WeakKeyDictionary[keras.Model, _Origin] = WeakKeyDictionary()


def backbone_names() -> list[str]:
    """Returns the names of text backbones: the packaged one, then KerasHub's."""
    return [MINILM, *text_presets()]


def claims_backbone(backbone: str | os.PathLike | keras.Model) -> bool:
    """Whether `backbone` reads texts.

    Args:
        backbone: As in `load_backbone`, or what belongs to another kind of input.

    Returns:
        `True` for a name in `backbone_names`, a folder that holds a tokenizer, and a
        backbone of one of KerasHub's classes that read text.
    """
    if isinstance(backbone, keras.Model):
        return _family(backbone) is not None
    # The table holds no text backbone, and asking it first spares importing KerasHub.
    if not isinstance(backbone, str | os.PathLike) or entry_for(os.fspath(backbone)):
        return False
    name = os.fspath(backbone)
    folder = Path(name).expanduser()
    if name != MINILM and folder.is_dir():
        return any((folder / file).is_file() for file in _TOKENIZER_FILES)
    return name == MINILM or name in text_presets()


def load_backbone(
    backbone: str | os.PathLike | keras.Model,
    *,
    weights: Weights = "pretrained",
    sequence_length: int | None = None,
    tokenizer: Any = None,
) -> LoadedTextBackbone:
    """Turns whatever names a text backbone into a model and its preprocessor.

    Args:
        backbone: `"minilm"`; a KerasHub preset name (`"bert_base_en_uncased"`) or
            handle (`"hf://..."`); a local folder, KerasHub's or Hugging Face's; or a
            KerasHub backbone.
        weights: `"pretrained"`, `None` (random), or a weights file. A model keeps its
            weights, unless this is a weights file. Defaults to `"pretrained"`.
        sequence_length: `int`. Tokens per text, special tokens included; longer texts
            are cut. Defaults to `None`: 128, or all that the backbone can read where
            that is less.
        tokenizer: `keras_hub.tokenizers.Tokenizer`. Defaults to `None`: the one that
            belongs to the backbone, which a model has only if it was loaded here.

    Returns:
        A `LoadedTextBackbone`. Its layers have the current dtype policy of Keras,
        unless `backbone` is a model.

    Raises:
        FileNotFoundError: If the preset cannot be downloaded. The message says how to
            pass a folder instead.
        ImportError: If `"minilm"` is not installed.
        ValueError: If there is no such text backbone, it does not read text alone, its
            tokenizer is missing or does not suit it, or `sequence_length` is below 4
            or above what it can read.

    Example:

    >>> import keras_hub
    >>> words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "film"]
    >>> tokenizer = keras_hub.models.BertTokenizer(words)
    >>> bert = keras_hub.models.BertBackbone(
    ...     vocabulary_size=7, num_layers=1, num_heads=1, hidden_dim=4,
    ...     intermediate_dim=4,
    ... )
    >>> loaded = load_backbone(bert, tokenizer=tokenizer, sequence_length=8)
    >>> loaded.kind, loaded.preprocessor(["good film"])["token_ids"].shape
    ('encoder', TensorShape([1, 8]))
    """
    if sequence_length is not None:
        check_int("sequence_length", sequence_length, MINIMUM_LENGTH)
    model = _as_model(backbone, weights)
    kind = _kind(model)
    origin = _ORIGINS.get(model, _Origin(None, model.name, None))
    preprocessor = TextPreprocessor(
        _choose_tokenizer(model, tokenizer, origin.tokenizer),
        _sequence_length(sequence_length, model),
        keys=tuple(model.input),
        kind=kind,
    )
    return LoadedTextBackbone(model, origin.name, origin.licence, preprocessor, kind)


def _load_named(name: str, weights: Weights) -> keras.Model:
    """Loads a text backbone, and remembers the tokenizer that belongs to it."""
    preset = str(minilm_folder()) if name == MINILM else name
    if not hub.is_preset(preset):
        raise hub.unknown_backbone("text backbone", name, backbone_names())
    _check_is_text_preset(preset)
    file = None if weights in ("pretrained", None) else find_weights_file(weights)
    model = _load_model(preset, load_weights=weights == "pretrained")
    tokenizer = _load_tokenizer(preset)
    if file is not None:
        load_weights_file(model, file, name)
    published = name == MINILM and weights == "pretrained"
    licence = MINILM_LICENCE if published else None
    _ORIGINS[model] = _Origin(tokenizer, hub.preset_name(name), licence)
    return model


def _as_model(
    backbone: str | os.PathLike | keras.Model, weights: Weights
) -> keras.Model:
    if not isinstance(backbone, keras.Model):
        if isinstance(backbone, str | os.PathLike):
            return _load_named(os.fspath(backbone), weights)
        raise ValueError(
            "A text backbone must be a name, a KerasHub preset or its folder, or a "
            f"KerasHub backbone. Received: {backbone!r}."
        )
    if weights not in ("pretrained", None):
        load_weights_file(backbone, find_weights_file(weights), backbone.name)
        if backbone in _ORIGINS:
            _ORIGINS[backbone] = _ORIGINS[backbone]._replace(licence=None)
    return backbone


def _check_is_text_preset(preset: str) -> None:
    known = hub.keras_hub().models.Backbone.presets
    if preset in known and preset not in text_presets():
        raise _not_text(f"The KerasHub preset {preset!r}")


def _load_model(preset: str, load_weights: bool) -> keras.Model:
    def load(source: str) -> keras.Model:
        policy = keras.config.dtype_policy()
        with readable_preset(source) as readable:
            return hub.keras_hub().models.Backbone.from_preset(
                readable, load_weights=load_weights, dtype=policy
            )

    model = hub.fetch(preset, load, "keras_hub.tokenizers.Tokenizer", _FOLDER_FILES)
    _kind(model)
    return model


def _load_tokenizer(preset: str) -> Any:
    def load(source: str) -> Any:
        tokenizer = hub.keras_hub().tokenizers.Tokenizer.from_preset(source)
        if _strips_accents(Path(source), tokenizer):
            tokenizer.strip_accents = True
        return tokenizer

    return hub.fetch(preset, load, "keras_hub.tokenizers.Tokenizer", _FOLDER_FILES)


def _strips_accents(folder: Path, tokenizer: Any) -> bool:
    """Whether a Hugging Face folder means accents to be stripped.

    There, a tokenizer that says nothing of accents strips them where it makes letters
    small. KerasHub's conversion misses that, and "café" becomes unknown.
    """
    file = folder / "tokenizer_config.json"
    if not file.is_file() or not getattr(tokenizer, "lowercase", False):
        return False
    stated = json.loads(file.read_text(encoding="utf-8")).get("strip_accents")
    return hasattr(tokenizer, "strip_accents") and stated is not False


def _kind(model: keras.Model) -> Kind:
    """Returns how `model` reads, or raises `ValueError` where it reads no text."""
    refuse_whole_model(model)
    family = _family(model)
    if family is None:
        raise _not_text(f"The model {model.name!r} ({type(model).__name__})")
    others = set(model.input) - _TEXT_INPUTS
    if others:
        raise _not_text(
            f"The model {model.name!r} also takes {', '.join(sorted(others))}, and so"
        )
    return family.kind


def _family(model: keras.Model) -> TextFamily | None:
    classes = type(model).__mro__
    # Another package's model is none, and importing KerasHub to see that takes seconds.
    if not any(each.__module__.startswith("keras_hub.") for each in classes):
        return None
    families = text_families()
    return next((families[each] for each in classes if each in families), None)


def _not_text(what: str) -> ValueError:
    names: dict[str, list[str]] = {"encoder": [], "decoder": []}
    for backbone, family in text_families().items():
        if family.only_text:
            names[family.kind].append(backbone.__name__)
    return ValueError(
        f"{what} does not go from text alone to features. Encoders that do: "
        f"{', '.join(sorted(names['encoder']))}. Decoders: "
        f"{', '.join(sorted(names['decoder']))}. `tlkeras.list_backbones()` lists "
        "their presets."
    )


def _choose_tokenizer(model: keras.Model, tokenizer: Any, own: Any) -> Any:
    if tokenizer is None and own is None:
        raise ValueError(
            f"The tokenizer of {model.name!r} is not known. Load it by its name or "
            "folder, or pass to a builder `tokenizer=` a KerasHub tokenizer, such as "
            "keras_hub.tokenizers.Tokenizer.from_preset(folder) gives."
        )
    if tokenizer is None:
        return own
    tokens = check_tokenizer(tokenizer).vocabulary_size()
    embedded = model.token_embedding.input_dim
    if tokens > embedded:
        raise ValueError(
            f"The tokenizer has {tokens} tokens, and {model.name!r} embeds {embedded}. "
            "Pass the tokenizer that the backbone was trained with."
        )
    return tokenizer


def _sequence_length(sequence_length: int | None, model: keras.Model) -> int:
    longest = getattr(model, "max_sequence_length", None)
    if sequence_length is None:
        return min(_SEQUENCE_LENGTH, longest or _SEQUENCE_LENGTH)
    if longest is not None and sequence_length > longest:
        raise ValueError(
            f"{model.name!r} reads at most {longest} tokens. "
            f"Received: sequence_length={sequence_length}."
        )
    return sequence_length
