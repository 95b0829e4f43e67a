"""A backbone that was loaded: what all kinds of input know of theirs."""

from dataclasses import dataclass

import keras


@dataclass(frozen=True, eq=False)
class LoadedBackbone:
    """A backbone that is ready for a head.

    Each kind of input adds what belongs to a backbone of its own.

    Attributes:
        model: Functional `keras.Model`.
        name: Its name: canonical, the preset's or its folder's, or the model's own.
        licence: Licence of its weights, `None` where it is not known.
    """

    model: keras.Model
    name: str
    licence: str | None


def refuse_whole_model(model: keras.Model) -> None:
    """Raises `ValueError` where `model` is a KerasHub task or another `TransferModel`.

    Args:
        model: What was passed as a backbone.
    """
    if isinstance(getattr(model, "backbone", None), keras.Model):
        raise ValueError(
            f"{model.name!r} ({type(model).__name__}) is a whole model around a "
            "backbone. Pass its `.backbone`."
        )
