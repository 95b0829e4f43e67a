"""`TransferModel`: a Keras model that knows its classes and how its inputs are read."""

import contextlib
import functools
import os
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from tlkeras import _keras
from tlkeras._validation import check_int
from tlkeras.builders.inputs import by_length, holds_texts, to_pixels, to_tokens
from tlkeras.builders.random_states import random_states, set_random_states
from tlkeras.builders.targets import Targets
from tlkeras.builders.thresholds import checked_thresholds
from tlkeras.distribution import Workers, strategy_of
from tlkeras.distribution import predict as predict_by
from tlkeras.features.splitting import head_of
from tlkeras.freezing import find_backbone
from tlkeras.lora import adapters_config, restore_adapters
from tlkeras.records import TrainingRecord
from tlkeras.saving import save_whole


@dataclass(frozen=True)
class Prediction:
    """What `TransferModel.classify` says of one input.

    Attributes:
        label: The most probable class; for multi-label models a tuple of all classes
            whose probability reaches their threshold (0.5, or `model.thresholds`).
        probability: The probability of `label`; for multi-label models a tuple.
        probabilities: From each class name to its probability, in the model's order.
    """

    label: str | tuple[str, ...]
    probability: float | tuple[float, ...]
    probabilities: dict[str, float]


@keras.saving.register_keras_serializable("tlkeras")
class TransferModel(keras.Model):
    """A functional `keras.Model` of preprocessing, a nested backbone and a head.

    `tl.image_classifier` and its siblings make it; it fits, predicts, saves and loads
    as any Keras model does, and knows its classes. Of texts the graph takes tokens;
    `fit`, `evaluate` and `predict` take texts, too, and tokenize them.

    Attributes:
        task: `"classification"`, `"multi_label"`, `"regression"` or `"multi_task"`.
        class_names: Tuple of `str`, `None` for regression; of a model with several
            heads, from each head that has classes to such a tuple.
        preprocessor: Turns texts into tokens; `None` for a model of pictures.
        targets: Of a model with several heads, what each learns; otherwise `None`.
        temperature: What `tl.calibrate` divided the logits by, of a model with several
            heads by head; `None` if it did not, or the model was fine-tuned since.
    """

    def __init__(self, inputs, outputs, name=None, **kwargs):
        super().__init__(inputs, outputs, name=name, **kwargs)
        self.task = None
        self.class_names = None
        self.preprocessor = None
        self.targets = None
        self.temperature = None
        self._thresholds = None
        self._record = None

    def set_targets(self, targets: Targets) -> None:
        """Makes this a model with several heads."""
        self.task, self.targets = "multi_task", targets
        self.class_names = targets.class_names

    @property
    def record(self) -> TrainingRecord | None:
        """How the model was built and trained; `None` where that is not known.

        `tl.rerun` repeats it, `print` shows it. The model's file keeps it.

        Example:

        >>> tl.image_classifier("glyphnet", ["a", "b"]).record.builder
        'image_classifier'
        """
        return self._record

    def keep_record(self, record: TrainingRecord | None) -> None:
        """Makes `record` what the model says of its making."""
        self._record = record

    @property
    def backbone(self) -> keras.Model:
        """The pretrained part, nested in this model."""
        return find_backbone(self)

    @property
    def head(self) -> keras.Model:
        """The part after the backbone, as a model over the same layers."""
        return head_of(self)

    @property
    def thresholds(self) -> Any:
        """From which probability a label is given, where labels are not exclusive.

        `None` stands for 0.5. Set it to a number, to one per label, such as
        `tl.evaluate(model, data.val).thresholds`, or, of a model with several heads,
        to a dictionary of such by head. `classify`, `tl.evaluate` and exported labels
        go by it; `save` keeps it, and `tl.calibrate` moves it along.

        Example:

        >>> model = tl.image_classifier("glyphnet", ["round", "tall"], multi_label=True)
        >>> model.thresholds = [0.3, 0.6]
        >>> model.thresholds
        (0.3, 0.6)
        """
        return self._thresholds

    @thresholds.setter
    def thresholds(self, value: Any) -> None:
        self._thresholds = checked_thresholds(self, value)

    def classify(self, inputs: Any, *, batch_size: int = 32) -> list[Any]:
        """Classifies pictures or texts.

        Args:
            inputs: Of a picture model: a path, a list of paths, or an array of raw
                pixels (0 to 255) of shape `(height, width, channels)` or
                `(n, height, width, channels)`. Any size: pictures are cropped and
                resized as in training. Of a text model: a text or a list of texts;
                where it was trained on pairs, a list of pairs.
            batch_size: Inputs per step.

        Returns:
            A list with one `Prediction` for each input, in order. Of a model with
            several heads, a dictionary by head for each: a `Prediction` where the head
            has classes, otherwise a number, or a tuple of several.

        Raises:
            ValueError: If the model is a regressor, a file cannot be read, or an
                array has another shape, is not numeric or not finite.

        Example:

        >>> model = tl.image_classifier("glyphnet", ["a", "b"])
        >>> model.classify(np.zeros((32, 32, 1)))[0].label in ("a", "b")
        True
        """
        if self.task not in ("classification", "multi_label", "multi_task"):
            raise ValueError(
                f"classify() is for classifiers; this model's task is {self.task!r}. "
                "Use predict() on texts, or on an array of pixels; tl.load_images "
                "reads files."
            )
        check_int("batch_size", batch_size, 1)
        if self.preprocessor is None:
            ready = to_pixels(inputs, self.input_shape)
        else:
            ready = [inputs] if isinstance(inputs, (str, bytes)) else inputs
        if not len(ready):
            return []
        outputs = self.predict(ready, batch_size=batch_size, verbose=0)
        if self.targets is None:
            return _answers(outputs, self.task, self.class_names, self.thresholds)
        by_head = {
            name: _answers(
                outputs[name],
                target.task,
                target.class_names,
                (self.thresholds or {}).get(name),
            )
            for name, target in self.targets.by_head.items()
        }
        each = zip(*by_head.values(), strict=True)
        return [dict(zip(by_head, answers, strict=True)) for answers in each]

    def fit(self, x=None, y=None, *args, validation_data=None, **kwargs):
        """Fits the model as `keras.Model.fit` does; of texts, too."""
        if isinstance(validation_data, (tuple, list)):
            texts, *rest = validation_data
            validation_data = (self.ready(texts), *rest)
        else:
            validation_data = self.ready(validation_data)
        return super().fit(
            self.ready(x), y, *args, validation_data=validation_data, **kwargs
        )

    def evaluate(self, x=None, *args, **kwargs):
        """Evaluates the model as `keras.Model.evaluate` does; of texts, too."""
        return super().evaluate(self.ready(x), *args, **kwargs)

    def predict(self, x, batch_size=None, **kwargs):
        """Predicts as `keras.Model.predict` does; of texts, too.

        Of several workers each predicts for itself.
        """
        predict = functools.partial(predict_by, self, super().predict)
        if self.preprocessor is None or not holds_texts(x):
            return predict(self.ready(x), batch_size, **kwargs)
        batches, order = by_length(x, self.preprocessor, batch_size or 32)
        outputs = predict(batches, None, **kwargs)
        places = np.argsort(order)
        return keras.tree.map_structure(lambda rows: rows[places], outputs)

    def predict_on_batch(self, x):
        """Predicts as `keras.Model.predict_on_batch` does; of texts, too."""
        return super().predict_on_batch(self.ready(x))

    def ready(self, x: Any) -> Any:
        """Returns inputs as the model's graph takes them.

        Args:
            x: Inputs, or a dataset of them or of `(inputs, ...)`.

        Returns:
            Of texts, their tokens; everything else as it is.
        """
        return x if self.preprocessor is None else to_tokens(x, self.preprocessor)

    def save(self, filepath, overwrite=True, zipped=None, **kwargs):
        """Saves the model as `keras.Model.save` does: one file, whole or not at all.

        The file appears under its name only when it is complete. Where saving fails,
        an earlier file of that name stays as it was. Of several workers the chief
        alone writes.

        Args:
            filepath: Ends in `.keras`, in a folder that exists.
            overwrite: As in `keras.Model.save`: `False` asks before it overwrites.
            zipped: As in `keras.Model.save`: `False` writes a folder.
            **kwargs: As in `keras.Model.save`.

        Raises:
            ValueError: If `filepath` is not as described or cannot be written to.
        """
        if not Workers(strategy_of(self)).is_chief:
            return
        plain_save = super().save
        if zipped is False or "://" in str(filepath):
            plain_save(filepath, overwrite=overwrite, zipped=zipped, **kwargs)
            return
        # Without its extension Keras writes a format that loses the model's class.
        if not str(filepath).endswith(".keras"):
            raise ValueError(
                "`filepath` must end in '.keras'. Received: "
                f"filepath={str(filepath)!r}."
            )
        if not overwrite and os.path.exists(filepath):
            # Keras asks, which it only does about the final name.
            plain_save(filepath, overwrite=False, zipped=zipped, **kwargs)
            return
        save_whole(lambda path: plain_save(path, zipped=zipped, **kwargs), filepath)

    def get_config(self):
        """Returns Keras' functional config with what tlkeras adds to it."""
        layers = _keras.sublayers(self.backbone)
        frozen = [i for i, layer in enumerate(layers) if not layer.trainable]
        several = self.targets is not None
        settings = {
            "task": self.task,
            "class_names": None if several else self.class_names,
            "targets": self.targets.get_config() if several else None,
            "frozen_sublayers": frozen,
            "dtype": self.dtype_policy.name,
            # Keras keeps weights alone; a model that trains on needs these as well.
            "random_states": random_states(self),
        }
        if self.record is not None:
            settings["record"] = self.record.to_dict()
        if self.thresholds is not None:
            settings["thresholds"] = self.thresholds
        if self.temperature is not None:
            settings["temperature"] = self.temperature
        adapters = adapters_config(self.backbone)
        if adapters:
            settings["adapters"] = adapters
        if self.preprocessor is not None:
            preprocessor = keras.saving.serialize_keras_object(self.preprocessor)
            settings["preprocessor"] = preprocessor
        return {**super().get_config(), "tlkeras": settings}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Rebuilds the model, its classes and its freeze point."""
        config = dict(config)
        settings = config.pop("tlkeras")
        # First: it makes KerasHub's layers known to Keras.
        preprocessor = settings.get("preprocessor")
        if preprocessor is not None:
            preprocessor = keras.saving.deserialize_keras_object(preprocessor)
        model = super().from_config(config, custom_objects=custom_objects)
        model.task, model.preprocessor = settings["task"], preprocessor
        names = settings["class_names"]
        model.class_names = None if names is None else tuple(names)
        if settings.get("targets") is not None:
            model.set_targets(Targets.from_config(settings["targets"]))
        if settings.get("record") is not None:
            # The record of a later version is no reason not to load the model.
            with contextlib.suppress(ValueError):
                model.keep_record(TrainingRecord.from_dict(settings["record"]))
        model.thresholds = settings.get("thresholds")
        model.temperature = settings.get("temperature")
        # `compile`, which comes next, scales the loss by this policy.
        model.dtype_policy = keras.dtype_policies.get(settings["dtype"])
        # KerasHub backbones rebuild themselves without their layers' flags.
        layers = _keras.sublayers(model.backbone)
        for number in settings["frozen_sublayers"]:
            layers[number].trainable = False
        restore_adapters(model.backbone, settings.get("adapters", []))
        set_random_states(model, settings.get("random_states", ()))
        return model


def _answers(
    outputs: Any, task: str, names: tuple[str, ...] | None, thresholds: Any = None
) -> list[Any]:
    """Returns what a head says of each input, from its rows of outputs."""
    rows = np.asarray(outputs, "float32")
    if task == "regression":
        return [
            values[0] if len(values) == 1 else tuple(values) for values in rows.tolist()
        ]
    if task == "multi_label":
        # Of the dtype of the outputs, as in an evaluation.
        thresholds = np.float32(0.5 if thresholds is None else thresholds)
        return [_labels(row, row >= thresholds, names) for row in rows]
    return [_label(row, names) for row in rows]


def _labels(row: np.ndarray, given: np.ndarray, names: tuple[str, ...]) -> Prediction:
    named = dict(zip(names, map(float, row), strict=True))
    found = {n: named[n] for n, is_given in zip(names, given, strict=True) if is_given}
    return Prediction(tuple(found), tuple(found.values()), named)


def _label(row: np.ndarray, names: tuple[str, ...]) -> Prediction:
    named = dict(zip(names, map(float, row), strict=True))
    label = names[int(row.argmax())]
    return Prediction(label, named[label], named)
