"""`Recipe`: how to fine-tune, as data."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tlkeras.freezing import FreezePoint


@dataclass(frozen=True)
class Recipe:
    """How `fine_tune` trains: every setting that changes the result.

    The fields are the arguments of `fine_tune` of the same names.

    Attributes:
        head_epochs: Epochs of phase one; 0 skips it.
        epochs: Epochs of phase two, or of each of its stages.
        unfreeze_from: Freeze point of phase two, a list of them, or `"gradual"`.
        learning_rate: Phase one's peak learning rate.
        fine_tune_learning_rate: Phase two's peak learning rate.
        optimizer: A Keras optimizer or its name; `None` for the model's.
        schedule: How the learning rate runs within a phase.
        layer_decay: Factor on the learning rate from each block to the one below.
        l2_sp: Decay of trained backbone weights towards their pretrained values.
        patience: Epochs without a better validation loss after which a phase ends.
        train_batch_norm: Whether batch norms above the freeze point train.
        class_weight: From class number to weight, or `"balanced"`.
        sampling: `"balanced"` draws each class equally often.
        batch_size: Examples per batch, `"auto"`, or `None` for the data's own.
        augment: Random changes to training pictures.
        cached_views: Augmented views of each picture to keep.
    """

    head_epochs: int = 10
    epochs: int | tuple[int, ...] = 10
    unfreeze_from: FreezePoint | tuple[FreezePoint, ...] = 0.3
    learning_rate: Any = 1e-3
    fine_tune_learning_rate: Any = 1e-5
    optimizer: Any = None
    schedule: Any = "constant"
    layer_decay: float | Mapping[str, float] | None = None
    l2_sp: float = 0.0
    patience: int | None = None
    train_batch_norm: bool = False
    class_weight: Mapping[Any, Any] | str | None = None
    sampling: str | None = None
    batch_size: int | str | None = None
    augment: Any = None
    cached_views: int | None = None
