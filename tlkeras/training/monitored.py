"""What callbacks of Keras watch: a model's reported metrics, and which way they go."""

import contextlib
from collections.abc import Iterable, Mapping
from typing import Any

import keras

from tlkeras import _keras
from tlkeras._validation import unknown_name
from tlkeras.evaluation import EpochReports
from tlkeras.training.own_loss import own_loss

# In Keras' logs wherever a callback changes the learning rate.
_RATE = "learning_rate"
_WATCHING = (
    keras.callbacks.EarlyStopping,
    keras.callbacks.ModelCheckpoint,
    keras.callbacks.ReduceLROnPlateau,
)


def check_monitors(
    model: keras.Model, callbacks: Iterable[keras.callbacks.Callback], validates: bool
) -> None:
    """Raises `ValueError` for a callback that watches what is not reported.

    Keras says so only after an epoch. It also looks for a metric of one of several
    heads without the head's name, and does not find it: such a callback's `mode="auto"`
    is set here.

    Args:
        model: The compiled model.
        callbacks: The user's callbacks.
        validates: Whether there is validation data.
    """
    known = directions(model)
    if known is None:
        return
    of_training = [*known, _RATE]
    reported = [*of_training, *(f"val_{name}" for name in known if validates)]
    for callback in callbacks:
        if isinstance(callback, EpochReports):
            if callback.metrics is None:
                return
            reported += [f"val_{name}" for name in callback.metrics]
        if not type(callback).__module__.startswith(("keras.", "tlkeras.")) or (
            type(callback) is keras.callbacks.LambdaCallback
        ):
            # It may add to what those after it see.
            return
        if type(callback) not in _WATCHING or not _needs_monitor(callback):
            continue
        name = callback.monitor.removeprefix("val_")
        if callback.monitor not in reported:
            if name in known:
                # Without validation data Keras warns, and trains.
                continue
            raise _not_reported(callback, reported)
        if callback.mode == "auto" and name in known:
            if known[name] is None:
                raise ValueError(
                    f"{type(callback).__name__} watches {callback.monitor!r}, of which "
                    "Keras does not know whether it is to rise or to fall: pass "
                    "mode='max' or mode='min'."
                )
            callback.mode = known[name]


def _needs_monitor(callback: keras.callbacks.Callback) -> bool:
    """Whether a callback does nothing without what it watches."""
    return getattr(callback, "save_best_only", True)


def _not_reported(
    callback: keras.callbacks.Callback, reported: list[str]
) -> ValueError:
    unknown = unknown_name("metric", callback.monitor, reported)
    return ValueError(
        f"{type(callback).__name__} watches {callback.monitor!r}, which the model does "
        f"not report. {unknown} Others are for `model.compile(..., metrics=[...])`, "
        "for the builder's outputs, or for `tl.EpochReports` before it in `callbacks`."
    )


def directions(model: keras.Model) -> dict[str, str | None] | None:
    """Returns from what a model reports to "min" or "max", `None` where not told.

    Returns:
        `None` where it is not known beforehand what the model reports.
    """
    if own_loss(model):
        return None
    compiled, output = _keras.compile_arguments(model), _keras.as_graph(model).output
    found: dict[str, str | None] = {"loss": "min"}
    heads = _heads(output, model.output_names)
    if len(heads) > 1:
        found |= {f"{head}_loss": "min" for head in heads}
    for kind, prefix in (("metrics", ""), ("weighted_metrics", "weighted_")):
        by_head = _by_head(compiled.get(kind), heads)
        if by_head is None:
            return None
        for head, metrics in by_head.items():
            before = f"{head}_" if len(heads) > 1 else ""
            for metric in keras.tree.flatten(metrics):
                name, direction = _reported_as(metric)
                found[before + name] = direction
                if prefix:
                    # Only where the name is taken.
                    found[prefix + before + name] = direction
    return found


def _heads(output: Any, names: list[str]) -> list[str]:
    return list(output) if isinstance(output, Mapping) else list(names)


def _by_head(given: Any, heads: list[str]) -> dict[str, Any] | None:
    """Returns metrics by head; `None` where only Keras can tell."""
    if not given:
        return {}
    if len(heads) == 1:
        return {heads[0]: given}
    if isinstance(given, Mapping) and set(given) <= set(heads):
        return {head: each for head, each in given.items() if each is not None}
    is_list = isinstance(given, (list, tuple)) and len(given) == len(heads)
    return dict(zip(heads, given, strict=True)) if is_list else None


def _reported_as(metric: Any) -> tuple[str, str | None]:
    """Returns a metric's name in Keras' logs, and which way it goes."""
    found = metric
    with contextlib.suppress(ValueError):
        found = keras.metrics.get("accuracy" if metric == "acc" else metric)
    name = metric if isinstance(metric, str) else getattr(found, "name", None)
    name = name or found.__name__
    if not isinstance(found, keras.metrics.Metric):
        found = keras.metrics.MeanMetricWrapper(found)
    return name, _keras.direction(found)
