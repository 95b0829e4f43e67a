"""A model's own `compute_loss` and `compute_metrics`, kept in every phase."""

import inspect
from collections.abc import Iterable

import keras

from tlkeras import _keras

_LOSS = ("compute_loss", "compute_metrics")
_STEPS = ("train_step", "test_step")


def overridden(model: keras.Model, names: Iterable[str]) -> list[str]:
    """Returns which methods of `keras.Model` a model's class, or it alone, replaces."""
    return [
        name
        for name in names
        if name in vars(model)
        or getattr(type(model), name) is not getattr(keras.Model, name)
    ]


def own_loss(model: keras.Model) -> list[str]:
    """Returns which of `compute_loss` and `compute_metrics` are the model's own."""
    return overridden(model, _LOSS)


def check_steps(model: keras.Model) -> None:
    """Raises `ValueError` for a model with a step of its own, which no phase can take.

    A phase trains a model of the frozen part and the rest, not `model` itself.
    """
    found = overridden(model, _STEPS)
    if found:
        raise ValueError(
            f"Model {model.name!r} ({type(model).__name__}) has {_listed(found)} of "
            "its own, which a phase would have to leave out: it runs the frozen part "
            "apart from the rest. Put what it adds into `compute_loss` or "
            "`compute_metrics`, which every phase keeps; or freeze with `tl.freeze` "
            "and train with `model.fit`."
        )


def refuse_own_loss(model: keras.Model, why: str) -> None:
    """Raises `ValueError` for a model whose own loss would be left out."""
    found = own_loss(model)
    if found:
        raise ValueError(
            f"Model {model.name!r} ({type(model).__name__}) has {_listed(found)} of "
            f"its own: {why}"
        )


class OwnLossModel(keras.Model):
    """A phase's model that asks the user's model for its loss and metrics.

    Args:
        phase_model: A functional model of the same inputs and outputs as `whole`, over
            the same layers.
        whole: The user's model, compiled.
    """

    def __init__(self, phase_model: keras.Model, whole: keras.Model):
        super().__init__(phase_model.input, phase_model.output, name=phase_model.name)
        # A model as an attribute would become a layer of this one.
        self._whole = lambda: whole
        parameters = inspect.signature(whole.compute_loss).parameters.values()
        # The argument came with Keras 3.3; overrides may be without it.
        self._says_training = any(
            one.name == "training" or one.kind is one.VAR_KEYWORD for one in parameters
        )

    def compile(self, *args, **kwargs):
        """Compiles as `keras.Model.compile`, with the metrics of the user's model.

        They are built, before the first step, where there are some.
        """
        given = _keras.compile_arguments(self._whole())
        kwargs |= {kind: given.get(kind) for kind in ("metrics", "weighted_metrics")}
        super().compile(*args, **kwargs)

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        """Returns the loss that the user's model computes."""
        said = {"training": training} if self._says_training else {}
        return self._whole().compute_loss(x, y, y_pred, sample_weight, **said)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Returns the metrics that the user's model computes, and the loss."""
        found = self._whole().compute_metrics(x, y, y_pred, sample_weight)
        # The mean of the user's model has seen no step.
        return {**found, "loss": _keras.loss_tracker(self).result()}

    @property
    def metrics(self):
        """The mean loss of this model, and the other metrics of the user's."""
        if not self.compiled:
            return []
        whole = self._whole()
        mean = _keras.loss_tracker(whole)
        others = [metric for metric in whole.metrics if metric is not mean]
        return [_keras.loss_tracker(self), *others]


def _listed(names: list[str]) -> str:
    return " and ".join(f"`{name}`" for name in names)
