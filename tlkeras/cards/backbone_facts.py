"""What is known of pretrained backbones: the hub's name for them, whose licence."""

from collections.abc import Mapping
from typing import Any

# KerasHub says of these families that a third party's licence holds for the weights,
# and names the place; for others its documentation is the place to look.
_THIRD_PARTIES = {
    "bart": "https://github.com/facebookresearch/fairseq/",
    "bloom": "https://huggingface.co/spaces/bigscience/license",
    "deberta_v3": "https://github.com/microsoft/DeBERTa",
    "distil_bert": "https://github.com/huggingface/transformers",
    "electra": "https://huggingface.co/docs/transformers/model_doc/electra",
    "gpt2": "https://github.com/openai/gpt-2",
    "gpt_neo_x": "https://github.com/EleutherAI/gpt-neox/",
    "opt": "https://github.com/facebookresearch/fairseq/",
    "roberta": "https://github.com/facebookresearch/fairseq",
    "xlm_roberta": "https://github.com/facebookresearch/fairseq",
}
_PRESETS = "https://keras.io/keras_hub/presets/"

# Names under which Hugging Face's hub knows the very weights.
_HUB_NAMES = {"minilm": "sentence-transformers/all-MiniLM-L6-v2"}

# What `keras.applications` weights were trained on.
_IMAGENET = "ImageNet-1k (ILSVRC 2012)"


def hub_name(published: str | None) -> str | None:
    """Returns a backbone's name on Hugging Face's hub, where it is known.

    Args:
        published: As in `Facts`.
    """
    return _HUB_NAMES.get(published)


def licence_sentence(
    backbone: Mapping[str, Any], is_pretrained: bool, published: str | None
) -> str:
    """Returns a sentence on the licence of a backbone's weights.

    Args:
        backbone: `TrainingRecord.backbone`.
        is_pretrained: Whether it did not start from random weights.
        published: As in `Facts`.
    """
    if not is_pretrained:
        return "It was not pretrained, so that no licence of published weights holds."
    if backbone.get("licence"):
        return f"Its pretrained weights are under {backbone['licence']}."
    if published is None:
        return (
            "The licence of these weights is not known to tlkeras: check where they "
            "came from."
        )
    name = str(backbone.get("name") or "")
    place = next(
        (url for family, url in _families_first() if name.startswith(family)), None
    )
    if place is not None:
        return (
            "KerasHub says that the pretrained weights are a third party's and under "
            f"its licence, at {place}: check there."
        )
    return (
        "The licence of its pretrained weights is not known to tlkeras: check where "
        f"they came from (KerasHub's presets: {_PRESETS})."
    )


def pretraining(published: str | None) -> str | None:
    """Returns what published weights were trained on, `None` if that is unknown.

    Args:
        published: As in `Facts`.
    """
    from tlkeras.backbones.table import entry_for

    if published is None:
        return None
    if published == "minilm":
        return "a billion pairs of sentences, to embed them"
    entry = entry_for(published)
    if entry is None:
        return None
    if entry.name == "glyphnet":
        return "printed letters that tlkeras rendered from fonts"
    return _IMAGENET


def _families_first() -> list[tuple[str, str]]:
    """Returns families with the longest names first: `xlm_roberta` is no `roberta`."""
    return sorted(_THIRD_PARTIES.items(), key=lambda pair: -len(pair[0]))
