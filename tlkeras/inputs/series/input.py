"""`Series`: the kind of input that windows of time series are."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import keras
import numpy as np
from keras import ops

from tlkeras._validation import check_choice, check_int, in_order
from tlkeras.backbones.loaded import LoadedBackbone
from tlkeras.findings import Finding, Numbering
from tlkeras.freezing import find_backbone
from tlkeras.heads import to_vector
from tlkeras.inputs.base import Assembled, Input, Usage
from tlkeras.inputs.explaining import Settings
from tlkeras.inputs.series import backbones
from tlkeras.inputs.series.ahead import MOST_MISSING, Ahead, ahead_of
from tlkeras.inputs.series.along import Along
from tlkeras.inputs.series.networks import NETWORKS
from tlkeras.inputs.series.pretext import hidden_spans
from tlkeras.inputs.series.reading import (
    as_frame,
    as_windows,
    read_series,
)
from tlkeras.inputs.series.scaling import (
    KnownScaling,
    Scale,
    WindowScaling,
    scale_of,
)

# Windows are looked at so many at a time.
_CHUNK = 1024


@keras.saving.register_keras_serializable("tlkeras")
class Series(Input):
    """Windows of series: float32 `(batch, steps + ahead, channels)`, NaN where missing.

    Args:
        steps: Of a window.
        channels: Values of each step.
        columns: The channels' names, `None` where they have none.
        time: The column of times that data were read from, `None` for none.
        id: The column that tells series apart, `None` for none.
        freq: The length of a step as pandas writes it, `None` where it is not known.
        known: Of each channel that is known ahead, which are the last ones, the mean
            and the deviation in training, which it is scaled by; `()` for none.
        ahead: How many steps behind a window these are known; 0 for none.
        around: How many steps in the middle of a window are hidden, and of how many
            channels, the first ones: `()` for none. Windows are seen around them.
        season: Steps after which things repeat; `None` where it is not known.
    """

    name: ClassVar[str] = "series"
    noun: ClassVar[str] = "series"
    nouns: ClassVar[str] = "series"
    prefix: ClassVar[str] = "series"
    small_backbones: ClassVar[tuple[str, ...]] = ("patch_transformer",)
    goes_in: ClassVar[str] = (
        "Windows `(batch, window, channels)` in the units of the series go in, NaN "
        "where a value is missing; the model scales each channel of a window by its "
        "own mean and deviation, and marks gaps. Where channels are known ahead, "
        "windows are `(batch, window + ahead, channels)`, and NaN ahead in all others."
    )
    builder_references: ClassVar[str] = (
        "Nie et al., A Time Series is Worth 64 Words (2023); Kim et al., Reversible "
        "Instance Normalization (2022)"
    )
    builder_examples: ClassVar[Mapping[str, str]] = {
        "classifier": """
>>> model = tl.series_classifier("patch_transformer", ["rest", "run"], window=64)
>>> model.classify(np.sin(np.arange(64.0)))[0].label in ("rest", "run")
True
""",
        "regressor": """
>>> tl.series_regressor("gru", weights=None, window=48, channels=3).input_shape
(None, 48, 3)
""",
        "forecaster": """
>>> model = tl.series_forecaster("patch_transformer", 24, window=96)
>>> model.classify(np.sin(np.arange(96.0)))[0].values.shape
(24, 1)
""",
    }

    def __init__(
        self,
        steps: int,
        channels: int = 1,
        columns: Sequence[str] | None = None,
        time: Any = None,
        id: Any = None,
        freq: str | None = None,
        known: Sequence[Sequence[float]] = (),
        ahead: int = 0,
        around: Sequence[int] = (),
        season: int | None = None,
    ):
        self.steps = check_int("window", steps, 2)
        self.channels = check_int("channels", channels, 1)
        self.columns = None if columns is None else tuple(columns)
        self.time, self.id, self.freq = time, id, freq
        self.known = tuple((float(mean), float(unit)) for mean, unit in known)
        self.ahead = check_int("ahead", ahead, 0)
        self.around = tuple(int(each) for each in around)
        self.season = season
        if len(self.known) >= self.channels or bool(self.known) != bool(self.ahead):
            raise ValueError(
                "`known` are the last of the channels, fewer than all, and known "
                f"`ahead` steps. Received: channels={channels}, known={known!r}, "
                f"ahead={ahead}."
            )

    def get_config(self) -> dict[str, Any]:
        columns = None if self.columns is None else list(self.columns)
        return {
            **{"steps": self.steps, "channels": self.channels, "columns": columns},
            **{"time": self.time, "id": self.id, "freq": self.freq},
            **{"known": [list(each) for each in self.known], "ahead": self.ahead},
            **{"around": list(self.around), "season": self.season},
        }

    @property
    def own(self) -> int:
        """How many channels are known in the window alone: the first ones."""
        return self.channels - len(self.known)

    @property
    def length(self) -> int:
        """How many steps an example has: the window's, and those known ahead."""
        return self.steps + self.ahead

    @property
    def hidden(self) -> np.ndarray | None:
        """What is not shown, bool `(length, channels)`; `None` for nothing."""
        steps, channels = np.arange(self.length)[:, None], np.arange(self.channels)
        if self.around:
            count, hidden = self.around
            is_middle = (steps >= self.before) & (steps < self.before + count)
            return is_middle & (channels < hidden)
        if self.known:
            return (steps >= self.steps) & (channels < self.own)
        return None

    @property
    def before(self) -> int:
        """How many steps of an example come before those that are asked for."""
        return (self.steps - self.around[0]) // 2 if self.around else self.steps

    def with_scale(self, values: np.ndarray) -> "Series":
        """Returns this input with known channels scaled by what they are in training.

        Args:
            values: `(steps, known channels)`, NaN where missing.
        """
        if not self.known:
            return self
        scale = scale_of(values[None])
        known = np.stack([scale.mean[0], scale.deviation[0]], axis=1).tolist()
        return Series.from_config({**self.get_config(), "known": known})

    @property
    def _window(self) -> str:
        of = f" of {self.channels} channels" if self.channels > 1 else ""
        if self.known:
            of += f", {len(self.known)} of them known {self.ahead} steps ahead"
        if self.around:
            of += f", the middle {self.around[0]} hidden"
        return f"windows of {self.steps} steps{of}"

    # Data.

    @classmethod
    def of_arrays(cls, x: Any) -> tuple["Series", np.ndarray]:
        windows = as_windows("x", x)
        return cls(*windows.shape[1:]), windows

    def describe(self, parts: Mapping[str, Any]) -> str:
        return f"{sum(map(len, parts.values()))} {self._window}"

    def show(self, inputs: np.ndarray, titles: Sequence[str], about: str) -> Any:
        ax = self.draw_grid(inputs, titles)
        ax.set_title(about)
        return ax

    def draw_grid(
        self, inputs: np.ndarray, titles: Sequence[str], columns: int | None = None
    ) -> Any:
        from tlkeras.plots.series import series_grid

        return series_grid(inputs, titles, columns=columns)

    def findings(
        self,
        parts: Mapping[str, Any],
        exact: Sequence[Any],
        numbering: Numbering,
        progress: Callable[[int], None],
    ) -> tuple[list[Finding], list[Any]]:
        flat: list[str] = []
        gaps: list[str] = []
        unknown: list[str] = []
        done = 0
        for part, examples in parts.items():
            place = 0
            for windows, _ in examples.dataset(_CHUNK):
                windows = windows.numpy()
                ahead = np.isnan(windows[:, self.steps :, self.own :]).any(axis=(1, 2))
                lacking = np.flatnonzero(ahead)
                unknown += [f"{part}[{place + i}]" for i in lacking]
                windows = windows[:, : self.steps, : self.own]
                missing = np.isnan(windows).mean(axis=(1, 2))
                still = np.flatnonzero(scale_of(windows).flat.all(axis=1))
                flat += [f"{part}[{place + i}]" for i in still]
                wide = np.flatnonzero(missing > MOST_MISSING)
                gaps += [f"{part}[{place + i}]: {missing[i]:.0%}" for i in wide]
                place += len(windows)
                done += len(windows)
                progress(done)
        found = []
        if flat:
            what = "windows whose values never change tell nothing."
            advice = "Leave them out, or take longer windows."
            found.append(
                Finding("flat windows", "warning", what, len(flat), tuple(flat), advice)
            )
        if gaps:
            what = "windows are missing for more than a half."
            advice = "Take a longer step, `freq=`, or leave them out."
            found.append(
                Finding("gaps", "warning", what, len(gaps), tuple(gaps), advice)
            )
        if unknown:
            what = "windows miss what should be known ahead; its mean is taken for it."
            advice = "Fill it in: `model.forecast` will ask for it."
            found.append(
                Finding(
                    *("known ahead", "warning", what, len(unknown), tuple(unknown)),
                    advice,
                )
            )
        return found, []

    def facts(self, examples: Any) -> dict[str, Any]:
        size = f"{self.steps} steps x {self.channels} channel(s)"
        return {"steps": self.steps, "channels": self.channels, "size": size}

    # Plans.

    def usual(self, examples: int | None, blocks: Sequence[str]) -> dict[str, Any]:
        # The networks are small, and what they were pretrained on was made up.
        return {
            "epochs": 10,
            "unfreeze_from": 1.0,
            "fine_tune_learning_rate": 3e-4,
            "schedule": "cosine",
        }

    # Models.

    @classmethod
    def claims_backbone(cls, backbone: Any) -> bool:
        if isinstance(backbone, str):
            return backbone in NETWORKS
        return isinstance(backbone, keras.Model) and backbone.name in NETWORKS

    @classmethod
    def backbone_names(cls) -> list[str]:
        return [*NETWORKS]

    load_backbone = staticmethod(backbones.load_backbone)

    @classmethod
    def assemble(
        cls,
        backbone: str | keras.Model,
        *,
        window: int,
        channels: int = 1,
        head: str = "pool",
        level: bool = True,
        weights: Any = "pretrained",
    ) -> Assembled:
        """Puts a backbone behind the scaling of windows.

        Args:
            backbone: `"patch_transformer"`, whose weights ship with tlkeras, `"lstm"`,
                `"gru"`, `"tcn"`, or a functional `keras.Model` of your own, from
                `(batch, window, 2 * channels)`, scaled values and marks of gaps, to
                `(batch, places, width)` or `(batch, width)`.
            window: Steps of a window; those of the data.
            channels: Values of each step; those of the data.
            head: `"pool"`: the mean over all places, `"last"`: the last one, which has
                seen all of them, `"flatten"`: all.
            level: Whether the head also sees the mean and the deviation of each
                channel (their `asinh`), which the scaling takes off.
            weights: `"pretrained"` (or `"synthetic"`: learnt from generated series),
                `None` for random ones, or a weights file.
        """
        its_input = cls(window, channels)
        scaled = its_input._scaled()
        features, loaded = its_input._behind(scaled, backbone, weights, head)
        if level:
            parts = [features, scaled.level]
            features = keras.layers.Concatenate(name="with_level")(parts)
        return Assembled(
            scaled.inputs, features, its_input, loaded.name, loaded.licence
        )

    @classmethod
    def assemble_forecaster(
        cls,
        backbone: str | keras.Model,
        *,
        window: int,
        channels: int = 1,
        known: Sequence[Sequence[float]] = (),
        ahead: int = 0,
        head: str = "last",
        lags: bool = True,
        weights: Any = "pretrained",
    ) -> Assembled:
        """Puts a backbone behind the scaling of windows.

        Args:
            backbone: `"patch_transformer"`, whose weights ship with tlkeras, `"lstm"`,
                `"gru"`, `"tcn"`, or a functional `keras.Model` of your own, from
                `(batch, window, 2 * channels)`, scaled values and marks of gaps, to
                `(batch, places, width)` or `(batch, width)`.
            window: Steps of a window, what is seen before the horizon; those of the
                data.
            channels: Values of each step; those of the data.
            known: Of each channel that is known ahead, which are the last ones, the
                mean and the deviation that it is scaled by; those of the data. The head
                sees their values over the window and behind it.
            ahead: How many steps behind the window they are known; those of the data.
            head: `"last"`: the last place, which has seen all, `"flatten"`: all places,
                `"pool"`: their mean.
            lags: Whether the head also sees the scaled window itself, so that it can
                do what a linear model of lags does (Zeng et al. 2023): repeat last
                week, less its noise.
            weights: `"pretrained"` (or `"synthetic"`: learnt from generated series),
                `None` for random ones, or a weights file.
        """
        if not isinstance(lags, bool):
            raise ValueError(
                "`lags` must be True or False: whether the head sees the window. "
                f"Received: lags={lags!r}."
            )
        its_input = cls(window, channels, known=known, ahead=ahead)
        scaled = its_input._scaled()
        features, loaded = its_input._behind(scaled, backbone, weights, head)
        if lags:
            seen = scaled.window[..., : its_input.own]
            seen = keras.layers.Flatten(name="lags")(seen)
            features = keras.layers.Concatenate(name="with_lags")([features, seen])
        if its_input.known:
            values = keras.layers.Flatten(name="known")(scaled.known)
            features = keras.layers.Concatenate(name="with_known")([features, values])
        return Assembled(
            scaled.inputs, features, its_input, loaded.name, loaded.licence
        )

    def _scaled(self) -> "_Scaled":
        """Returns new inputs of a graph, and windows scaled."""
        inputs = keras.Input(
            (self.length, self.channels), dtype="float32", name="window"
        )
        scale = WindowScaling(name="scaling")
        if not self.known:
            return _Scaled(inputs, *scale(inputs))
        # Whatever comes ahead in other channels, here it is left behind.
        window, level = scale(inputs[:, : self.steps, : self.own])
        scaled = KnownScaling(self.known, name="known_scaling")(inputs[..., self.own :])
        count, seen = len(self.known), scaled[:, : self.steps]
        parts = [
            *(window[..., : self.own], seen[..., :count]),
            *(window[..., self.own :], seen[..., count:]),
        ]
        window = keras.layers.Concatenate(name="with_known_channels")(parts)
        return _Scaled(inputs, window, level, scaled[..., :count])

    def _behind(
        self, scaled: "_Scaled", backbone: Any, weights: Any, head: str
    ) -> tuple[keras.KerasTensor, LoadedBackbone]:
        """Returns the features of scaled windows, and the backbone loaded."""
        check_choice("head", head, ("pool", "last", "flatten"))
        loaded = self.load_backbone(backbone, weights, self.steps, self.channels)
        taken = scaled.window
        if loaded.model.input_shape[-1] == self.channels:
            taken = taken[..., : self.channels]
        places = loaded.model(taken)
        if head == "last" and len(places.shape) == 3:
            return LastPlace(name="last")(places), loaded
        return to_vector(places, "pool" if head == "last" else head), loaded

    def builder_arguments(self) -> dict[str, Any]:
        form = {"window": self.steps, "channels": self.channels}
        if not self.known:
            return form
        return {**form, "known": self.known, "ahead": self.ahead}

    @classmethod
    def timed_as(cls, **arguments: Any) -> tuple[str, Callable[[Any], keras.Model]]:
        form = arguments["window"], arguments["channels"]

        def build(name: Any) -> keras.Model:
            return cls.load_backbone(name, None, *form).model

        return f" at {form}", build

    def check_reading(self, other: Input, part: str) -> None:
        if type(other) is not type(self):
            return
        forms = [(x.steps, x.channels, x.own, x.ahead) for x in (self, other)]
        if forms[0] != forms[1]:
            raise ValueError(
                f"`{part}` holds {other._window}; the model takes {self._window}. "
                f"Build it with window={other.steps}, channels={other.channels}"
                f"{', and `known` and `ahead` of the data' * bool(other.known)}."
            )
        if None not in (self.columns, other.columns) and self.columns != other.columns:
            raise ValueError(
                f"`{part}` has the columns {[*other.columns]}, the model was trained "
                f"on {[*self.columns]}. Read them in that order."
            )

    def check(self, model: keras.Model, inputs: Any, part: str) -> None:
        try:
            super().check(model, inputs, part)
        except ValueError as error:
            raise ValueError(
                f"{error} The model takes {self._window}: build it with `window` and "
                "`channels` of the data, `data.problem.input.builder_arguments()`."
            ) from None

    def adopt(self, other: Input) -> Input:
        if type(other) is not type(self) or not other.columns:
            return self
        # The graph goes on scaling what is known as it was built to.
        return Series.from_config({**other.get_config(), "known": self.known})

    def check_values(self, model: keras.Model, inputs: Any, part: str) -> None:
        is_array = isinstance(inputs, np.ndarray) and inputs.dtype.kind == "f"
        if is_array and np.isinf(inputs).any():
            raise ValueError(
                f"`{part}` must be finite, NaN where a value is missing. Received: inf."
            )

    def read(self, inputs: Any, shape: tuple | None = None) -> np.ndarray:
        if hasattr(inputs, "element_spec") or isinstance(inputs, keras.utils.PyDataset):
            raise ValueError(
                "A model of series takes windows. Received a dataset, "
                f"{type(inputs).__name__}: pass the inputs of a batch, "
                "`next(iter(data))[0]`, or ask `model.predict(data)`."
            )
        inputs = in_order("inputs", inputs)
        if hasattr(inputs, "__len__") and not len(inputs):
            return np.zeros((0, self.length, self.channels), "float32")
        if isinstance(inputs, (list, tuple)) and not np.ndim(inputs[0]):
            inputs = np.asarray(inputs)
        form = np.shape(inputs) if hasattr(inputs, "shape") else ()
        if form in ((self.length, self.channels), (self.length,)):
            inputs = np.asarray(inputs)[None]
        windows = as_windows("inputs", inputs, self.channels)
        if self.known:
            if windows.shape[1] != self.length:
                raise ValueError(
                    f"The model takes {self._window}: of {self.length} steps in all, "
                    f"other channels NaN in the last {self.ahead}. Received windows of "
                    f"{windows.shape[1]} steps."
                )
            # What comes in other channels is what the model is asked for.
            return np.where(self.hidden, np.float32(np.nan), windows)
        if windows.shape[1] > self.steps:
            raise ValueError(
                f"The model takes {self._window}. Received windows of "
                f"{windows.shape[1]} steps: cut the last {self.steps} of each, "
                f"`x[:, -{self.steps}:]`."
            )
        short = self.steps - windows.shape[1]
        if short:
            fill = ((0, 0), (short, 0), (0, 0))
            windows = np.pad(windows, fill, constant_values=np.nan)
        if self.around:
            windows = np.where(self.hidden, np.float32(np.nan), windows)
        return windows

    def frames(self, inputs: Any) -> Scale:
        return scale_of(self.read(inputs))

    def along(self, frame: Any) -> Along:
        """Returns the whole series of a frame.

        Args:
            frame: As in `latest`.

        Raises:
            ValueError: If it lacks a column, or which ones it needs is not known.
        """
        frame, columns = as_frame(frame), self.named_columns
        series, freq = read_series(frame, self.time, columns, self.id, self.freq)
        return Along(frame, series, self.time, self.id, freq)

    @property
    def named_columns(self) -> tuple[str, ...]:
        """The channels' names.

        Raises:
            ValueError: If they have none.
        """
        if self.columns is None:
            raise ValueError(
                "Which columns the model forecasts is not known: it was not trained on "
                "data of tl.from_series. `model.classify(windows)` forecasts windows "
                "(n, steps, channels)."
            )
        return self.columns

    def cut(
        self, values: np.ndarray, own: np.ndarray, starts: np.ndarray
    ) -> np.ndarray:
        """Returns windows of series as `predict` takes them, NaN beyond their ends.

        Args:
            values: Of all series one after the other, `(steps, channels)`.
            own: Which series each step is of, `(steps,)`.
            starts: The steps at which windows begin.
        """
        places = starts[:, None] + np.arange(self.length)
        inside = places < len(own)
        places = np.where(inside, places, 0)
        inside &= own[places] == own[starts, None]
        windows = np.where(inside[..., None], values[places], np.nan)
        if self.hidden is not None:
            windows[:, self.hidden] = np.nan
        return windows.astype("float32")

    def latest(self, frame: Any, targets: int) -> Ahead:
        if self.around:
            raise ValueError(
                "The model fills in steps in the middle of windows that it sees both "
                "sides of, `around=True`: it does not forecast. "
                "`tl.series_anomalies(model, frame, data.val)` asks what it expects."
            )
        return ahead_of(self, frame, targets)

    def explainer(self, probe: Any, settings: Settings) -> Any:
        from tlkeras.inputs.series.explaining import SeriesExplainer

        return SeriesExplainer(probe, settings, self)

    # Pretraining.

    def pretext(self, model: keras.Model) -> keras.Model:
        scaled = self._scaled()
        return hidden_spans(find_backbone(model), scaled.inputs, scaled.window)

    # Export.

    def made_up(self, shapes: Sequence[tuple], count: int) -> Any:
        rng = np.random.default_rng(0)
        steps = rng.normal(size=(count, self.length, self.channels))
        return [self.read(np.cumsum(steps, axis=1))]

    def export_facts(self) -> dict[str, Any]:
        facts = {"window": self.steps, "channels": self.channels}
        if not self.known:
            return facts
        return {**facts, "known": len(self.known), "ahead": self.ahead}

    def signature_notes(self) -> Iterator[str]:
        ahead = (
            f", the last {self.ahead} of them ahead of the window, where all but the "
            f"last {len(self.known)} channel(s) are NaN"
        )
        if self.around:
            yield (
                f"of 'window' the {self.around[0]} steps in the middle must be NaN in "
                f"the first {self.around[1]} channel(s): they are what is filled in"
            )
        yield (
            f"'window' takes {self.length} steps x {self.channels} channel(s) in the "
            f"units of the series, NaN where missing{ahead * bool(self.known)}; "
            "'scaled' of a forecaster is in deviations from the window's mean: value = "
            "scaled * deviation + mean"
        )

    def tensor_notes(self) -> Iterator[str]:
        return self.signature_notes()

    # The card.

    def usage(self) -> Usage:
        return Usage(f"np.zeros((1, {self.length}, {self.channels}))", None)

    def limits(self) -> Iterator[str]:
        yield (
            f"It sees windows of {self.steps} steps, and of these the shape: what "
            "happens less often than once in a window it cannot know."
        )
        if self.known:
            names = ", ".join((self.columns or ())[self.own :])
            of = f" ({names})" if names else ""
            yield f"It takes what is known ahead{of} for true: errors of a plan add up."


class _Scaled(NamedTuple):
    """Inputs of a graph and what is made of them.

    Attributes:
        inputs: What data give.
        window: `(batch, steps, 2 * channels)`, scaled values and marks.
        level: As `WindowScaling` gives it.
        known: `(batch, length, known channels)`, scaled; `None` where nothing is.
    """

    inputs: keras.KerasTensor
    window: keras.KerasTensor
    level: keras.KerasTensor
    known: keras.KerasTensor | None = None


@keras.saving.register_keras_serializable("tlkeras")
class LastPlace(keras.layers.Layer):
    """Takes the last place of a sequence, which has seen all before it.

    Call arguments: `(batch, places, width)`.

    Example:

    >>> LastPlace()(np.array([[[1.0], [2.0]]])).numpy().tolist()
    [[2.0]]
    """

    def call(self, x):
        return ops.take(x, -1, axis=1)

    def compute_output_shape(self, input_shape):
        return input_shape[0], input_shape[2]
