"""Whether models share weights, so that training one would change the others."""

import contextlib
import gc
import warnings
from collections.abc import Callable, Iterator
from typing import Any
from weakref import WeakSet

import keras

from tlkeras import _keras

# Models of ours that live, and backbones that such models were built on.
_MODELS: WeakSet[keras.Model] = WeakSet()
_BUILT_ON: WeakSet[keras.Model] = WeakSet()


def note_model(model: keras.Model) -> None:
    """Remembers a model for as long as it lives."""
    _MODELS.add(model)


@contextlib.contextmanager
def sharing_is_told(given: Any) -> Iterator[Callable[[keras.Model], None]]:
    """Surrounds building on a backbone; warns where that belongs to a model already.

    Args:
        given: As the builders take a backbone.

    Yields:
        A function to call with the model that was built.
    """
    if not isinstance(given, keras.Model):
        yield lambda model: None
        return
    # Of models of somebody else's only their calls are known.
    used = given not in _BUILT_ON and _keras.is_nested(given)
    built: list[keras.Model] = []
    yield built.append
    (model,) = built
    _BUILT_ON.update((given, model.backbone))
    own = {id(weight) for weight in model.backbone.weights}
    # A copy was made of what gets adapters.
    used = used and any(id(weight) in own for weight in given.weights)
    names = _names_of_sharing(model, own)
    if not names and not used:
        return
    other = f"model {', '.join(names)}" if names else "another Keras model"
    warnings.warn(
        f"The backbone {given.name!r} is part of {other}, too: they share weights, "
        "and fine-tuning one changes the other. For a model of its own build it on a "
        "copy: `copy = keras.models.clone_model(backbone)`, then "
        "`copy.set_weights(backbone.get_weights())`.",
        UserWarning,
        stacklevel=4,
    )


def warn_of_shared(model: keras.Model, trained: set[int]) -> None:
    """Warns where training a model that no builder made changes one of ours, too.

    Args:
        model: The model. Of one of ours its builder has warned.
        trained: The `id`s of the weights that are to train.
    """
    names = () if model in _MODELS else _names_of_sharing(model, trained)
    if names:
        warnings.warn(
            f"The model {model.name!r} shares weights with model {', '.join(names)}: "
            "training it changes that one. To keep both, build it on a copy: `copy = "
            "keras.models.clone_model(backbone)`, then "
            "`copy.set_weights(backbone.get_weights())`.",
            UserWarning,
            stacklevel=4,
        )


def _names_of_sharing(model: keras.Model, weights: set[int]) -> list[str]:
    """Returns the names of other models of ours that hold some of the weights."""
    if any(_shares(other, weights) for other in _MODELS if other is not model):
        # Models refer to themselves: those that nobody has may still be there.
        gc.collect()
    others = (other for other in _MODELS if other is not model)
    return sorted(repr(other.name) for other in others if _shares(other, weights))


def _shares(model: keras.Model, weights: set[int]) -> bool:
    return any(id(weight) in weights for weight in model.weights)
