"""`TransferModel`: a Keras model that knows what it is for, and how it was made."""

import contextlib
import functools
import itertools
import os
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import keras
import numpy as np

from tlkeras import _keras
from tlkeras._validation import check_int
from tlkeras.builders.random_states import random_states, set_random_states
from tlkeras.builders.sharing import note_model
from tlkeras.distribution import Workers, strategy_of
from tlkeras.distribution import predict as predict_by
from tlkeras.features.splitting import head_of
from tlkeras.freezing import find_backbone
from tlkeras.inputs.windows import averaged
from tlkeras.linear import FeatureStatistics
from tlkeras.lora import adapters_config, restore_adapters
from tlkeras.outputs import Detections
from tlkeras.outputs.losses import whole_loss
from tlkeras.problem import Problem, adopt_names, check_names, input_of
from tlkeras.records import TrainingRecord
from tlkeras.saving import save_whole, warn_of_foreign_code

# Under which names a file has statistics.
_STATISTICS = "feature_statistics"


class Heard(NamedTuple):
    """What a model says of a window of a long recording.

    Attributes:
        start: Where the window begins, in seconds.
        end: Where it ends.
        said: As `TransferModel.classify` says it: a `Prediction`, a number, or a
            dictionary of such by head.
    """

    start: float
    end: float
    said: Any


@keras.saving.register_keras_serializable("tlkeras")
class TransferModel(keras.Model):
    """A functional `keras.Model` of preprocessing, a nested backbone and its heads.

    `tl.image_classifier` and its siblings make it; it fits, predicts, saves and loads
    as any Keras model does, and knows what it is for. Of texts the graph takes tokens;
    `fit`, `evaluate` and `predict` take texts, too, and tokenize them.

    Args:
        inputs: The graph's inputs, `keras.KerasTensor`s.
        outputs: The heads' outputs, a tensor or a dictionary of them by head.
        name: The Keras name; `None` for one of its own.

    Attributes:
        problem: What it is for: an input, and outputs by name; `None` of a copy that
            `keras.models.clone_model` made of it, which keeps nothing but layers: give
            it that of the original, `copy.problem = model.problem`.
        temperature: What `tl.calibrate` divided the logits by, of a model whose heads
            have names by head; `None` if it did not, or the model was fine-tuned since.
        feature_statistics: What `tl.learn_class` goes by: from each head that has
            classes to the means and the covariance of what it reads, over the examples
            that a fit verb trained on. The file keeps it. `{}` has it forgotten.
    """

    # Keras 3.13 takes no other signature for that of a functional model, whose layers
    # are in its config.
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.problem = None
        self.temperature = None
        self._record = None
        self.feature_statistics: dict[str, FeatureStatistics] = {}
        note_model(self)

    @property
    def task(self) -> str:
        """`"classification"`, `"multi_label"`, `"regression"`, or `"multi_task"`."""
        return self._known_problem.task

    @property
    def class_names(self) -> Any:
        """Names of the classes, a tuple of `str`; `None` where there are none.

        Where heads have names, a dictionary of those that have classes.
        """
        return self._known_problem.class_names

    @property
    def preprocessor(self) -> Any:
        """The Keras layer that makes inputs ready for the graph, or `None`.

        Keras saves it with the model, vocabulary included.
        """
        return self.problem and self.problem.input.preprocessor

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
        """Makes `record` what the model says of its making.

        Args:
            record: A `TrainingRecord`, or `None` where nothing is known.
        """
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
        `tl.evaluate(model, data.val).thresholds`, or, where heads have names, to a
        dictionary of such by head. `classify`, `tl.evaluate` and exported labels go by
        it; `save` keeps it, and `tl.calibrate` moves it along.

        Example:

        >>> model = tl.image_classifier("glyphnet", ["round", "tall"], multi_label=True)
        >>> model.thresholds = [0.3, 0.6]
        >>> model.thresholds
        (0.3, 0.6)
        """
        return self._known_problem.thresholds

    @thresholds.setter
    def thresholds(self, value: Any) -> None:
        self.problem = self._known_problem.with_thresholds(value)

    @property
    def _known_problem(self) -> Problem:
        """What the model is for; raises where Keras has lost it."""
        if self.problem is not None:
            return self.problem
        raise ValueError(
            f"What the model {self.name!r} is for, with the names of its classes, is "
            "not known: keras.models.clone_model copies layers alone. Give the copy "
            "that of the original, `copy.problem = model.problem`, or load a saved one."
        )

    def classify(self, inputs: Any, *, batch_size: int = 32) -> list[Any]:
        """Says what inputs are: their classes, their labels, their numbers.

        Args:
            inputs: Of a picture model: a path, a list of paths, or an array of raw
                pixels (0 to 255) of shape `(height, width, channels)` or
                `(n, height, width, channels)`. Any size: pictures are brought to the
                model's shape as in training. Of a sound model: paths of sound files, or
                waves at its sample rate, `(samples,)`, `(n, samples)` or a list of any
                lengths; of those longer than the model's window the mean over windows
                that cover all of it is given. Of a text model: a text or a list of
                texts; where it was trained on pairs, a list of pairs. Of a model of
                tables: a dictionary by column of cells or of lists of them, a
                DataFrame, a list of dictionaries, or rows in the order of the columns.
                Of a model of series: windows `(n, steps, channels)`, NaN where a value
                is missing; with columns that are known ahead `(n, window + horizon,
                channels)`, these the last ones, and what else comes after the window
                is left aside.
            batch_size: Inputs per step.

        Returns:
            A list with one `Prediction` for each input, in order; of a regressor a
            number, or a tuple of several; of a detector a `Detections`, of a forecaster
            a `Forecasted`. Where heads have names, a dictionary of these by head for
            each.

        Raises:
            ValueError: If a file cannot be read, or an array has another shape, is not
                numeric or not finite.

        Example:

        >>> model = tl.image_classifier("glyphnet", ["a", "b"])
        >>> model.classify(np.zeros((32, 32, 1)))[0].label in ("a", "b")
        True
        """
        check_int("batch_size", batch_size, 1)
        its_input = self._known_problem.input
        its_input.check_values(self, inputs, "inputs")
        ready, owners = its_input.read_windows(inputs)
        if not len(ready):
            return []
        frames = functools.partial(its_input.frames, inputs)
        return self.answers(ready, owners, frames, batch_size)

    def answers(
        self, ready: Any, owners: Any, frames: Callable[[], Any], batch_size: int
    ) -> list[Any]:
        """Returns what `classify` says of inputs that were read.

        Args:
            ready: As `Input.read_windows` returned them.
            owners: The same.
            frames: Returns what `Input.frames` does for them.
            batch_size: Inputs per step.
        """
        outputs = self.predict(ready, batch_size=batch_size, verbose=0)
        if owners is not None:
            outputs = averaged(outputs, owners, owners.max() + 1)
        return self.problem.answers(outputs, frames)

    def detect(
        self, inputs: Any, *, thresholds: Any = None, batch_size: int = 32
    ) -> list[Detections]:
        """Finds objects in pictures.

        Args:
            inputs: A path, a list of paths, or an array of raw pixels (0 to 255) of
                shape `(height, width, channels)` or `(n, height, width, channels)`, of
                any size.
            thresholds: From which score on a box is given: a number from 0 to 1, or one
                for each class. Defaults to `model.thresholds`, else 0.3.
            batch_size: Pictures per step.

        Returns:
            A `Detections` for each picture, in order: `boxes` (x1, y1, x2, y2 in the
            picture's own pixels), `labels`, `scores`, and `plot(picture)`.

        Raises:
            ValueError: If a file cannot be read, or an array has another shape, is not
                numeric or not finite.
            UnsupportedError: If the model finds no boxes.

        Example:

        >>> model = tl.image_detector("glyphnet", ["sign"], strides=(4,))
        >>> found = model.detect(np.zeros((40, 60, 1)))[0]
        >>> found.size, len(found) == len(found.labels)
        ((40, 60), True)
        """
        problem = self._known_problem
        problem.output.check_detects()
        try:
            if thresholds is not None:
                self.problem = problem.with_thresholds(thresholds)
            return self.classify(inputs, batch_size=batch_size)
        finally:
            self.problem = problem

    def forecast(
        self, frame: Any, *, coverage: float | None = None, batch_size: int = 32
    ) -> Any:
        """Forecasts what follows the last step of each series.

        Args:
            frame: Series as `tl.from_series` read them, with the same columns: a
                `pandas.DataFrame` or the path of a CSV file. The last `window` steps
                are looked at; what is missing of them is filled. With columns that are
                `known` ahead it goes on for the steps to forecast, in rows without
                targets: the forecast begins after the last known target of each series.
            coverage: Of the intervals, 0.5, 0.8, 0.9 or 0.95, where `tl.calibrate`
                found some; `None`: 0.9.
            batch_size: Series per step.

        Returns:
            A `pandas.DataFrame` with a row for each series and step ahead: the series'
            `id` where there are several, the time, and for each target its value, and,
            where there are intervals, `"<target>_low"` and `"<target>_high"`.

        Raises:
            ValueError: If the frame lacks a column, or what is known ahead, or the
                model has no intervals, or was not trained on data of `tl.from_series`.
            UnsupportedError: If the model does not forecast.

        Example:

        >>> import pandas as pd
        >>> times = pd.date_range("2024-01-01", periods=300, freq="h")
        >>> frame = pd.DataFrame({"at": times, "kwh": np.sin(np.arange(300) * 0.2618)})
        >>> data = tl.from_series(frame, "at", "kwh", window=48, horizon=2)
        >>> model = tl.series_forecaster("patch_transformer", data)
        >>> history = tl.fit_head(model, data.train, verbose=0)
        >>> model.forecast(frame)["at"].tolist()[-1]
        Timestamp('2024-01-13 13:00:00')
        """
        check_int("batch_size", batch_size, 1)
        output = self._known_problem.output
        if not output.forecasts:
            raise output.unsupported("forecast", "forecast_columns")
        ahead = self.problem.input.latest(frame, output.targets)
        outputs = self.predict(ahead.windows, batch_size=batch_size, verbose=0)
        columns = output.forecast_columns(outputs, ahead.scale, ahead.names, coverage)
        return ahead.table(columns)

    def classify_stream(
        self, source: Any, *, hop: float | None = None, batch_size: int = 32
    ) -> Iterator[Heard]:
        """Says what is to be heard when in a long recording, as it is read.

        Args:
            source: A path, or a wave `(samples,)` at the model's sample rate.
            hop: Seconds from one window to the next; `None`: half a window.
            batch_size: Windows per step.

        Returns:
            An iterator over windows, in order, each a `Heard`: `start` and `end` in
            seconds, and `said`, what `classify` says of it. The last one may end
            earlier.

        Raises:
            ValueError: If the recording cannot be read, or `hop` is longer than a
                window.
            UnsupportedError: If the model does not take sounds.

        Example:

        >>> model = tl.audio_classifier("glyphnet", ["no", "yes"], sample_rate=8_000)
        >>> heard = list(model.classify_stream(np.zeros(20_000)))
        >>> [(each.start, each.end) for each in heard]
        [(0.0, 1.0), (0.5, 1.5), (1.0, 2.0), (1.5, 2.5)]
        """
        check_int("batch_size", batch_size, 1)
        windows = self._known_problem.input.stream(source, hop)
        return self._heard(windows, batch_size)

    def _heard(self, windows: Iterator[Any], batch_size: int) -> Iterator[Heard]:
        """Yields what is said of windows, as `Input.stream` gives them."""
        while batch := list(itertools.islice(windows, batch_size)):
            waves = np.stack([wave for _, wave in batch])
            outputs = self.predict(waves, batch_size=batch_size, verbose=0)
            for ((start, end), _), said in zip(
                batch, self.problem.answers(outputs), strict=True
            ):
                yield Heard(start, end, said)

    def fit(self, x=None, y=None, *args, validation_data=None, **kwargs):
        """Fits the model as `keras.Model.fit` does; of texts, too.

        A model that was built with a number of classes takes the names that the data
        tell.

        Args:
            x: Inputs: an array, texts, or a dataset of `(inputs, labels)`.
            y: Labels, where `x` is no dataset.
            *args: Other arguments of `keras.Model.fit`.
            validation_data: A dataset, or a tuple of inputs and labels, or `None`.
            **kwargs: Other arguments of `keras.Model.fit`, such as `epochs`.

        Returns:
            A Keras `History`.

        Raises:
            ValueError: If the data name the classes in another order.
        """
        adopt_names(self, x)
        if self.problem is not None:
            check_names(self.problem, x, "x")
            check_names(self.problem, validation_data, "validation_data")
        ready = self.ready(x)
        if self.problem is not None:
            self.problem = self.problem.but(input=self.problem.input.adopt_form(x))
        if isinstance(validation_data, (tuple, list)):
            texts, *rest = validation_data
            validation_data = (self.ready(texts), *rest)
        else:
            validation_data = self.ready(validation_data)
        return super().fit(ready, y, *args, validation_data=validation_data, **kwargs)

    def evaluate(self, x=None, *args, **kwargs):
        """Evaluates the model as `keras.Model.evaluate` does; of texts, too.

        `tl.evaluate` tells more.

        Args:
            x: Inputs: an array, texts, or a dataset of `(inputs, labels)`.
            *args: Other arguments of `keras.Model.evaluate`, the labels first.
            **kwargs: The same by name.

        Returns:
            Loss and metrics, a list, or a dictionary with `return_dict=True`.

        Raises:
            ValueError: If the data name the classes in another order.
        """
        if self.problem is not None:
            check_names(self.problem, x, "x")
        return super().evaluate(self.ready(x), *args, **kwargs)

    def predict(self, x, batch_size=None, **kwargs):
        """Predicts as `keras.Model.predict` does; of texts, too.

        Of several workers each predicts for itself. `classify` says what the outputs
        mean.

        Args:
            x: Inputs: an array of raw pixels, texts, or a dataset.
            batch_size: Inputs per step; `None`: 32, or those of the dataset.
            **kwargs: Other arguments of `keras.Model.predict`, such as `verbose`.

        Returns:
            Outputs, float32 `(n, units)`; where heads have names, a dictionary of such.
        """
        if isinstance(x, (list, tuple, np.ndarray)) and not len(x):
            # Keras would fail: there is no batch that tells what outputs look like.
            return keras.tree.map_structure(
                lambda y: np.zeros((0, *y.shape[1:]), y.dtype), self.output
            )
        predict = functools.partial(predict_by, self, super().predict)
        found = input_of(self).batches(x, batch_size or 32)
        if found is None:
            return predict(self.ready(x), batch_size, **kwargs)
        batches, order = found
        outputs = predict(batches, None, **kwargs)
        places = np.argsort(order)
        return keras.tree.map_structure(lambda rows: rows[places], outputs)

    def predict_on_batch(self, x):
        """Predicts as `keras.Model.predict_on_batch` does; of texts, too.

        Args:
            x: One batch of inputs: an array of raw pixels, or texts.

        Returns:
            Outputs, float32 `(n, units)`; where heads have names, a dictionary of such.
        """
        return super().predict_on_batch(self.ready(x))

    def ready(self, x: Any) -> Any:
        """Returns inputs as the model's graph takes them.

        Args:
            x: Inputs, or a dataset of them or of `(inputs, ...)`.

        Returns:
            Of texts, their tokens; everything else as it is.
        """
        return input_of(self).ready(x)

    def save_own_variables(self, store):
        """Adds `feature_statistics` to what Keras writes beside the layers' weights.

        Args:
            store: From names to arrays, as Keras hands it over.
        """
        super().save_own_variables(store)
        for head, statistics in self.feature_statistics.items():
            for name, array in statistics.arrays():
                store[f"{_STATISTICS}:{head}:{name}"] = array

    def load_own_variables(self, store):
        """Reads what `save_own_variables` wrote.

        Args:
            store: From names to arrays, as Keras hands it over.
        """
        found: dict[str, dict[str, np.ndarray]] = {}
        for key in store.keys():
            _, head, name = key.split(":")
            found.setdefault(head, {})[name] = np.array(store[key])
        self.feature_statistics = {
            head: FeatureStatistics(**arrays) for head, arrays in found.items()
        }

    def save(self, filepath, overwrite=True, zipped=None, **kwargs):
        """Saves the model as `keras.Model.save` does: one file, whole or not at all.

        The file appears under its name only when it is complete. Where saving fails,
        an earlier file of that name stays as it was. Of several workers the chief
        alone writes. A function, a layer or a `Lambda` of your own that `tl.load` will
        have to be told of is warned of.

        Args:
            filepath: Ends in `.keras`, in a folder that exists.
            overwrite: Whether to write over a file of that name; `False` asks first.
            zipped: `None` or `True` for a file, `False` for a folder.
            **kwargs: Other arguments of `keras.Model.save`.

        Raises:
            ValueError: If `filepath` is not as described or cannot be written to.
        """
        if not Workers(strategy_of(self)).is_chief:
            return
        plain_save = super().save
        if zipped is False or "://" in str(filepath):
            plain_save(filepath, overwrite=overwrite, zipped=zipped, **kwargs)
            warn_of_foreign_code(filepath)
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
        warn_of_foreign_code(filepath)

    def get_config(self):
        """Returns Keras' functional config with what tlkeras adds to it."""
        layers = _keras.sublayers(self.backbone)
        frozen = [i for i, layer in enumerate(layers) if not layer.trainable]
        settings = {
            "problem": self._known_problem.get_config(),
            "frozen_sublayers": frozen,
            "dtype": self.dtype_policy.name,
            # Keras keeps weights alone; a model that trains on needs these as well.
            "random_states": random_states(self),
        }
        if self.record is not None:
            settings["record"] = self.record.to_dict()
        if self.temperature is not None:
            settings["temperature"] = self.temperature
        adapters = adapters_config(self.backbone)
        if adapters:
            settings["adapters"] = adapters
        return {**super().get_config(), "tlkeras": settings}

    def get_compile_config(self):
        """Returns Keras' config of the last `compile`, all of its losses in it."""
        config = super().get_compile_config()
        if config:
            loss = _keras.compile_arguments(self)["loss"]
            whole = keras.tree.map_structure(whole_loss, loss)
            config["loss"] = keras.saving.serialize_keras_object(whole)
        return config

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Rebuilds the model, its classes and its freeze point.

        Args:
            config: What `get_config` returned.
            custom_objects: From names to classes and functions that Keras does not
                know, or `None`.
        """
        config = dict(config)
        settings = config.pop("tlkeras")
        # First: it makes KerasHub's layers known to Keras.
        problem = Problem.from_config(settings["problem"])
        model = super().from_config(config, custom_objects=custom_objects)
        model.problem = problem
        if settings.get("record") is not None:
            # The record of a later version is no reason not to load the model.
            with contextlib.suppress(ValueError):
                model.keep_record(TrainingRecord.from_dict(settings["record"]))
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
