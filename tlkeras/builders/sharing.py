"""Whether models share weights, so that training one would change the others."""

import gc
import warnings
from typing import Any
from weakref import WeakSet

import keras

from tlkeras import _keras

_MODELS: WeakSet[keras.Model] = WeakSet()


def note_model(model: keras.Model) -> None:
    """Remembers a model for as long as it lives."""
    _MODELS.add(model)


def warn_of_sharing(backbone: Any) -> None:
    """Warns where a backbone, about to get a head, has one already.

    Args:
        backbone: As the builders take it.
    """
    if not isinstance(backbone, keras.Model):
        return
    own = {id(weight) for weight in backbone.weights}
    if not any(_share(model, own) for model in _MODELS) and not _is_used(backbone):
        return
    # Models refer to themselves: those that nobody has any more may still be there.
    gc.collect()
    names = [repr(model.name) for model in _MODELS if _share(model, own)]
    if not names and not _is_used(backbone):
        return
    other = f"model {', '.join(names)}" if names else "another Keras model"
    warnings.warn(
        f"The backbone {backbone.name!r} is part of {other}, too: they share weights, "
        "and fine-tuning one changes the other. For a model of its own build it on a "
        "copy: `copy = keras.models.clone_model(backbone)`, then "
        "`copy.set_weights(backbone.get_weights())`.",
        UserWarning,
        stacklevel=2,
    )


def _share(model: keras.Model, weights: set[int]) -> bool:
    return any(id(weight) in weights for weight in model.weights)


def _is_used(backbone: keras.Model) -> bool:
    """Whether a model of somebody else's calls the backbone."""
    return backbone not in _BUILT_ON and _keras.is_nested(backbone)


_BUILT_ON: WeakSet[keras.Model] = WeakSet()


def note_backbone(backbone: keras.Model) -> None:
    """Remembers a backbone that a model of ours was built on."""
    _BUILT_ON.add(backbone)
