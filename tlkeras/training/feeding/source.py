"""What the fit verbs were given as data, and whether it goes with the model."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras

from tlkeras._validation import check_int
from tlkeras.augmentation import Augment, resolve_augment
from tlkeras.features.extraction import reading_for


@dataclass(frozen=True)
class Source:
    """Where training and validation come from, and how they are to be read.

    Attributes:
        train: What the fit verbs were given.
        val: What the fit verbs were given.
        cache: What the fit verbs were given.
        augment: An `Augment`, or `None`.
        cached_views: Augmented views of each example to keep, or `None`.
        class_weight: What the fit verbs were given.
        sampling: What the fit verbs were given.
        batch_size: Examples per training step, `None` for the data's own.
    """

    train: Any
    val: Any
    cache: str | Path | bool
    augment: Augment | None = None
    cached_views: int | None = None
    class_weight: Any = None
    sampling: str | None = None
    batch_size: int | None = None


def with_augment(source: Source, model: keras.Model) -> Source:
    """Returns the source with an `Augment` made of what the user asked for.

    Raises:
        ValueError: If it cannot be made, or model or data cannot do with it.
    """
    names = getattr(model, "class_names", None)
    known = reading_for(source.train)
    several = getattr(model, "targets", None) is not None
    augment = resolve_augment(
        source.augment,
        # Rows of several heads' labels cannot be mixed, as those of a regression.
        task="regression" if several else getattr(model, "task", None),
        num_classes=model.output_shape[-1] if names is None else len(names),
        seed=known.seed if known else 0,
    )
    if augment is not None and getattr(model, "preprocessor", None) is not None:
        raise ValueError(
            "`augment=` changes pictures; this model takes texts. Change texts in the "
            f"data before. Received: augment={source.augment!r}."
        )
    views = source.cached_views
    if views is not None and (augment is None or source.cache is False):
        raise ValueError(
            "`cached_views` keeps augmented views in a cache: it needs `augment=` and "
            f"a cache. Received: cached_views={views!r}, augment={source.augment!r}, "
            f"cache={source.cache!r}."
        )
    if views is not None:
        check_int("cached_views", views, 1)
    loss = getattr(model.loss, "name", model.loss)
    if augment and augment.mixes_labels and str(loss).startswith("sparse_categorical"):
        raise ValueError(
            f"{augment} mixes labels, which {loss!r} does not take. Compile the model "
            "with 'categorical_crossentropy'; models of tlkeras take both."
        )
    return replace(source, augment=augment)
