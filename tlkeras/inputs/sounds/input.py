"""`Sounds`: the kind of input that sound files and waves in memory are."""

import concurrent.futures
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import keras
import numpy as np

from tlkeras._validation import check_number, check_path, in_order
from tlkeras.findings import Finding, Numbering
from tlkeras.heads import to_vector
from tlkeras.inputs.base import (
    Assembled,
    Cells,
    Input,
    ReadExamples,
    Signature,
    Trial,
    Usage,
)
from tlkeras.inputs.examples import Examples
from tlkeras.inputs.explaining import Settings
from tlkeras.inputs.grouping import Group
from tlkeras.inputs.paths import Files, listed_paths, path_problem, path_text
from tlkeras.inputs.pictures import Pictures
from tlkeras.inputs.sounds import backbones, exporting, speech
from tlkeras.inputs.sounds.augmenting import SoundAugmentations
from tlkeras.inputs.sounds.checking import check_sounds, seconds_of
from tlkeras.inputs.sounds.examples import (
    SoundArrays,
    SoundExamples,
    SoundFiles,
    placed,
    read_listed,
)
from tlkeras.inputs.sounds.likeness import SoundLikeness
from tlkeras.inputs.sounds.planning import RATE, SoundPlanRules
from tlkeras.inputs.sounds.reading import (
    ENDINGS,
    as_waves,
    check_readable,
    check_waves,
    read_blocks,
    resampled,
    whole_numbers,
)
from tlkeras.inputs.sounds.showing import SoundsShown, spectrograms
from tlkeras.inputs.sounds.spectrogram import check_rate, check_seconds
from tlkeras.inputs.tfds import import_tfds

_AS_WAVE = "a wave: `soundfile.read(io.BytesIO(content))[0]`"
# Louder waves are no floats from -1 to 1.
_LOUDEST = 8.0


@keras.saving.register_keras_serializable("tlkeras")
class Sounds(Input):
    """Sounds: float32 waves of one channel from -1 to 1, `(batch, samples)`.

    Args:
        sample_rate: Samples per second.
        seconds: How long the window is that a model takes.
    """

    name: ClassVar[str] = "sounds"
    noun: ClassVar[str] = "sound"
    nouns: ClassVar[str] = "sounds"
    prefix: ClassVar[str] = "audio"
    source_noun: ClassVar[str] = "file"
    lender: ClassVar[type[Input]] = Pictures
    small_backbones: ClassVar[tuple[str, ...]] = Pictures.small_backbones
    augmentable: ClassVar[bool] = True
    goes_in: ClassVar[str] = (
        "Waves of one channel (-1 to 1) go in, or sound files; the log-mel spectrogram "
        "that the backbone sees is a layer of the model."
    )
    builder_references: ClassVar[str] = (
        "Hershey et al., CNN Architectures for Large-Scale Audio Classification "
        "(2017); Gong et al., PSLA: pretraining on ImageNet for audio tagging (2021)"
    )
    builder_examples: ClassVar[Mapping[str, str]] = {
        "classifier": """
>>> model = tl.audio_classifier("glyphnet", ["no", "yes"], sample_rate=8_000)
>>> answers = model.classify([np.zeros(8_000), np.zeros(20_000)])
>>> [answer.label in ("no", "yes") for answer in answers]
[True, True]
""",
        "regressor": """
>>> tl.audio_regressor("glyphnet", sample_rate=8_000, seconds=0.5).input_shape
(None, 4000)
""",
    }

    def __init__(self, sample_rate: int = 16_000, seconds: float = 1.0):
        self.sample_rate = check_rate("sample_rate", sample_rate)
        self.seconds = check_seconds("seconds", seconds)

    def get_config(self) -> dict[str, Any]:
        return {"sample_rate": self.sample_rate, "seconds": self.seconds}

    @property
    def samples(self) -> int:
        """Samples of a window."""
        return round(self.sample_rate * self.seconds)

    @property
    def _window(self) -> str:
        return f"{self.seconds:g} s at {self.sample_rate / 1000:g} kHz"

    # Data.

    @classmethod
    def of_arrays(cls, x: Any) -> tuple["Sounds", Any]:
        waves = as_waves("x", x)
        loudest = check_waves(waves, "x")
        if loudest > _LOUDEST:
            raise ValueError(
                "`x` must be waves from -1 to 1, or whole numbers. Received: floats up "
                f"to {loudest:g}. Divide 16-bit samples by 32768."
            )
        return cls(), waves

    def of_rows(
        self,
        rows: Any,
        labels: np.ndarray,
        sample_rate: int = 16_000,
        seconds: float = 1.0,
        **reading: Any,
    ) -> tuple[Input, Examples]:
        if reading:
            return super().of_rows(rows, labels, **reading)
        read = type(self)(sample_rate, seconds)
        numbers = np.arange(len(rows))
        examples = SoundArrays(rows, labels, numbers, read.sample_rate, read.samples)
        return read, examples

    @classmethod
    def cell_problem(cls, cell: Any) -> str | None:
        return path_problem(cell, "audio")

    def of_cells(self, cells: Cells, labels: np.ndarray) -> ReadExamples:
        (column,) = cells.columns
        files, paths = Files(ENDINGS), list(map(path_text, column))
        full = list(map(files.meant, cells.folders, paths))
        read = self.of_files(cells.root, full, labels)
        return read._replace(
            skipped=files.hinted(read.skipped, full, cells.folders, paths, "audio_root")
        )

    def of_files(
        self, root: str, paths: Sequence[str], labels: np.ndarray
    ) -> ReadExamples:
        found = read_listed(root, paths, labels, self.sample_rate, self.samples)
        return ReadExamples(self, *found)

    @classmethod
    def claims_feature(cls, feature: Any) -> bool:
        # Those that are decoded when they are read need packages of their own.
        is_audio = isinstance(feature, import_tfds().features.Audio)
        return is_audio and feature.get_serialized_info().tf_dtype != "string"

    def keep_of_features(self, values: Sequence[Any]) -> dict[str, Any]:
        import tensorflow as tf

        return {"waves": tf.cast(values[0], "float32")}

    def of_features(
        self,
        builder: Any,
        split: str,
        names: Sequence[str],
        kept: Mapping[str, Sequence[Any]],
        labels: np.ndarray,
    ) -> ReadExamples:
        feature = builder.info.features[names[0]]
        if not feature.sample_rate:
            raise ValueError(
                f"The data set {builder.info.full_name!r} does not say the sample rate "
                f"of its sounds, {names[0]!r}. Read it with TensorFlow Datasets and "
                "pass the waves to `tl.from_arrays(x, y, sample_rate=...)`."
            )
        waves = [whole_numbers(wave, feature.np_dtype) for wave in kept["waves"]]
        rows = np.flatnonzero(list(map(len, waves)))
        skipped = [
            (f"{split}[{i}]", "holds no sound: its length is 0")
            for i, wave in enumerate(waves)
            if not len(wave)
        ]
        read = [
            resampled(waves[i], feature.sample_rate, self.sample_rate) for i in rows
        ]
        form = self.sample_rate, self.samples
        examples = SoundArrays(read, labels[rows], np.arange(len(read)), *form)
        return ReadExamples(self, examples, rows, skipped)

    def describe(self, parts: Mapping[str, Any]) -> str:
        seconds = seconds_of(parts)
        most = np.percentile(seconds, 95, method="higher")
        return (
            f"{len(seconds)} sounds of {np.median(seconds):.3g} s (median; 95% have "
            f"{most:.3g} or fewer), read as {self._window}"
        )

    def show(
        self, inputs: np.ndarray, titles: Sequence[str], about: str
    ) -> SoundsShown:
        return SoundsShown(inputs, tuple(titles), self.sample_rate, about)

    def findings(
        self,
        parts: Mapping[str, Any],
        exact: Sequence[Group],
        numbering: Numbering,
        progress: Callable[[int], None],
    ) -> tuple[list[Finding], list[Group]]:
        return check_sounds(parts, exact, numbering, progress)

    def facts(self, examples: Any) -> dict[str, Any]:
        size = f"{self.seconds:g} s, {self.sample_rate / 1000:g} kHz"
        return {**self.get_config(), "size": size}

    def windows(self, examples: Any) -> tuple[Any, np.ndarray] | None:
        return examples.windows() if isinstance(examples, SoundExamples) else None

    # Plans.

    def usual(self, examples: int | None, blocks: Sequence[str]) -> dict[str, Any]:
        # The rate that suits convolutions would undo what attention has learnt.
        attentive = ("transformer", "encoder_block")
        attends = any(part in name for part in attentive for name in blocks)
        return {
            "epochs": 10,
            "unfreeze_from": 1.0,
            "fine_tune_learning_rate": 1e-4 if attends else RATE,
            "schedule": "cosine",
        }

    plan_rules: ClassVar[SoundPlanRules] = SoundPlanRules()

    # Models.

    claims_backbone = staticmethod(speech.claims_backbone)
    backbone_names = staticmethod(speech.speech_presets)

    @classmethod
    def load_backbone(cls, backbone: Any, **arguments: Any) -> Any:
        load = backbones.load_backbone
        if cls.claims_backbone(backbone):
            load = speech.load_encoder
        return load(backbone, **arguments)

    @classmethod
    def assemble(
        cls,
        backbone: str | keras.Model,
        *,
        sample_rate: int = 16_000,
        seconds: float = 1.0,
        mels: int = 64,
        relative: bool = True,
        head: str = "pool",
        weights: str | Path | None = "pretrained",
        input_shape: int | tuple[int, ...] | None = None,
        preprocessing: Any = "auto",
    ) -> Assembled:
        """Puts a backbone of pictures behind a spectrogram of waves.

        Args:
            backbone: A name of a backbone of pictures, such as `"mobilenet_v2"`, a
                KerasHub preset name or local preset folder, or a functional
                `keras.Model` of your own that takes spectrograms as pictures `(batch,
                mels, columns, 1 or 3)`, of any or of their own size. Or an encoder
                of speech, which hears 16 kHz in its own way, Whisper up to 30 seconds,
                Moonshine 0.1 to 64: `"whisper_tiny_en"`, `"moonshine_tiny_en"`, a
                preset folder, or KerasHub's `WhisperBackbone` or `MoonshineBackbone`.
            sample_rate: Samples per second of the waves; that of the data.
            seconds: Length of the waves; that of the data. `classify` averages windows
                of longer ones.
            mels: Mel bands of the spectrogram, 20 Hz to half the sample rate.
            relative: Whether levels are relative to each sound's loudest place, so
                that its distance from the microphone does not count. `False`: to full
                scale, for what is told by loudness.
            head: `"pool"` averages the feature map, `"flatten"` keeps every place.
            weights: `"pretrained"` (or `"imagenet"`), `None` for random ones, a weights
                file, or a folder that holds it.
            input_shape: `(height, width, channels)`, or one number for a square, that
                spectrograms are resized to; the backbone's own size by default.
            preprocessing: `"auto"`: what belongs to the backbone, values from -1 to 1
                for one of your own that does not scale its input. `None`: values from 0
                to 255. Another family's name, or a layer.
        """
        its_input = cls(sample_rate, seconds)
        if cls.claims_backbone(backbone):
            others = (mels, relative, input_shape, preprocessing)
            if others != (64, True, None, "auto"):
                raise ValueError(
                    "Whisper and Moonshine hear waves in their own way: leave out "
                    "`mels`, `relative`, `input_shape` and `preprocessing`."
                )
            heard = speech.load_encoder(backbone, weights)
            waves = its_input._waves()
            features = to_vector(heard.features(waves, its_input.sample_rate), head)
            return Assembled(waves, features, its_input, heard.name, heard.licence)
        loaded = cls.load_backbone(
            backbone,
            weights=weights,
            input_shape=input_shape,
            preprocessing=preprocessing,
        )
        waves = its_input._waves()
        pictures = backbones.as_pictures(
            waves, loaded.input_shape, its_input.sample_rate, mels, relative
        )
        x = loaded.preprocessing(pictures) if loaded.preprocessing else pictures
        features = to_vector(loaded.model(x), head)
        return Assembled(waves, features, its_input, loaded.name, loaded.licence)

    def _waves(self) -> keras.KerasTensor:
        return keras.Input((self.samples,), dtype="float32", name="wave")

    @property
    def augmentations(self) -> SoundAugmentations:
        return SoundAugmentations(self.samples)

    def to_augment(self, examples: Any) -> Any:
        # Of arrays that nobody has read there is no more than the window.
        return examples.whole() if isinstance(examples, SoundExamples) else examples

    def builder_arguments(self) -> dict[str, Any]:
        return self.get_config()

    @classmethod
    def timed_as(cls, **arguments: Any) -> tuple[str, Callable[[Any], keras.Model]]:
        shape = arguments.get("input_shape")
        wanted = ("input_shape", "preprocessing")
        given = {name: arguments[name] for name in wanted if name in arguments}

        def build(name: Any) -> keras.Model:
            return cls.load_backbone(name, weights=None, **given).model

        return f" at {shape}" if shape else "", build

    def check_reading(self, other: Input, part: str) -> None:
        if type(other) is not type(self):
            return
        if (other.sample_rate, other.samples) != (self.sample_rate, self.samples):
            raise ValueError(
                f"`{part}` holds sounds read as {other._window}; the model takes "
                f"{self._window}. Read them with sample_rate={self.sample_rate}, "
                f"seconds={self.seconds:g}, or build the model with those of the data."
            )

    def check(self, model: keras.Model, inputs: Any, part: str) -> None:
        try:
            super().check(model, inputs, part)
        except ValueError as error:
            raise ValueError(
                f"{error} The model takes waves of {self._window}, "
                f"{self.samples} samples: read the data with sample_rate="
                f"{self.sample_rate}, seconds={self.seconds:g}."
            ) from None

    def check_values(self, model: keras.Model, inputs: Any, part: str) -> None:
        if isinstance(inputs, keras.utils.PyDataset) or hasattr(inputs, "element_spec"):
            return
        if _are_numbers(inputs) and np.ndim(inputs) == 2:
            _check_asked(np.asarray(inputs), part)

    def read(self, inputs: Any, shape: tuple | None = None) -> np.ndarray:
        examples = self._sounds(inputs)
        return (
            np.zeros((0, self.samples), "float32")
            if examples is None
            else _windows(examples)
        )

    def read_windows(self, inputs: Any) -> tuple[np.ndarray, np.ndarray | None]:
        examples = self._sounds(inputs)
        if examples is None:
            return np.zeros((0, self.samples), "float32"), None
        found = examples.windows()
        if found is None:
            return _windows(examples), None
        short = np.flatnonzero(examples.lengths_whole <= self.samples)
        owners = np.concatenate([short, found[1]])
        both = [_windows(examples.select(short)), _windows(found[0])]
        return np.concatenate(both), owners

    def read_each(self, inputs: Sequence[str]) -> tuple[list[str], dict[int, str]]:
        errors: dict[int, str] = {}
        for i, path in enumerate(inputs):
            try:
                self._sounds([path]).wave(0)
            except ValueError as error:
                errors[i] = str(error)
        return [path for i, path in enumerate(inputs) if i not in errors], errors

    def stream(
        self, source: Any, hop: float | None
    ) -> Iterator[tuple[tuple[float, float], np.ndarray]]:
        step = self.seconds / 2 if hop is None else check_number("hop", hop, above=0)
        if step > self.seconds:
            raise ValueError(
                f"`hop` must be at most {self.seconds:g} seconds, the length of the "
                f"windows, or parts would not be heard. Received: hop={hop!r}."
            )
        hop_samples = max(1, round(step * self.sample_rate))
        return self._windows_of(self._blocks(source), hop_samples)

    def _windows_of(
        self, blocks: Iterator[np.ndarray], hop_samples: int
    ) -> Iterator[tuple[tuple[float, float], np.ndarray]]:
        held, first, heard = np.zeros(0, np.float32), 0, 0
        for block in blocks:
            held, heard = np.concatenate([held, block]), heard + len(block)
            while len(held) >= self.samples:
                yield self._at(first, heard), held[: self.samples]
                held, first = held[hop_samples:], first + hop_samples
        # What is left, unless the window before has heard it all.
        is_new = first == 0 or len(held) > self.samples - hop_samples
        if len(held) and is_new:
            yield self._at(first, heard), placed(held, 0, self.samples)

    def _at(self, first: int, heard: int) -> tuple[float, float]:
        end = min(first + self.samples, heard)
        return first / self.sample_rate, end / self.sample_rate

    def _blocks(self, source: Any) -> Iterator[np.ndarray]:
        if isinstance(source, (str, bytes, os.PathLike)):
            path = check_path("source", source)
            check_readable([path])
            return read_blocks(path, self.sample_rate)
        is_list = isinstance(source, (list, tuple))
        if is_list and source and isinstance(source[0], (str, bytes, os.PathLike)):
            raise _not_one(f"a list of {len(source)} path(s)")
        waves = as_waves("source", source)
        if len(waves) != 1:
            raise _not_one(f"{len(waves)} waves")
        _check_asked(waves, "source")
        return iter(waves)

    def _sounds(self, inputs: Any) -> SoundExamples | None:
        """Returns what `classify` is given as examples; `None` of an empty list."""
        if hasattr(inputs, "element_spec") or isinstance(inputs, keras.utils.PyDataset):
            raise ValueError(
                "A model of sounds takes paths or waves. Received a dataset, "
                f"{type(inputs).__name__}: pass the inputs of a batch, "
                "`next(iter(data))[0]`, or ask `model.predict(data)`."
            )
        inputs = in_order("inputs", inputs)
        if hasattr(inputs, "__len__") and not len(inputs):
            return None
        if not _are_numbers(inputs):
            paths = listed_paths("inputs", inputs, _AS_WAVE)
            if paths is not None:
                headers = check_readable(paths)
                nothing = np.zeros(len(paths), np.int32)
                form = self.sample_rate, self.samples
                return SoundFiles("", paths, headers, nothing, *form)
        waves = as_waves("inputs", inputs)
        _check_asked(waves, "inputs")
        rows = np.arange(len(waves))
        return SoundArrays(
            waves, np.zeros(len(rows), np.int32), rows, self.sample_rate, self.samples
        )

    # Explanations.

    def explainer(self, probe: Any, settings: Settings) -> Any:
        from tlkeras.inputs.sounds.explaining import SoundExplainer

        return SoundExplainer(probe, settings, self)

    # Distillation.

    def seen(self, examples: Any, about: str) -> Any:
        if getattr(examples, "shape", None) == (self.samples,):
            return examples
        if getattr(examples, "sample_rate", None) == self.sample_rate:
            return examples.wider(self.samples)
        raise ValueError(
            f"{about} takes sounds of {self._window}: read the data with "
            f"sample_rate={self.sample_rate}."
        )

    # Suspects.

    def likeness(self, parts: Mapping[str, Examples]) -> SoundLikeness:
        return SoundLikeness(parts)

    def draw_grid(
        self, inputs: np.ndarray, titles: Sequence[str], columns: int | None = None
    ) -> Any:
        from tlkeras.plots.images import image_grid

        pictures = spectrograms(inputs, self.sample_rate)
        return image_grid(pictures, titles, columns=columns)

    # Export.

    def signatures(
        self, exported: Any, archive: Any, inputs: Any
    ) -> dict[str, Signature]:
        files = exporting.encoded(exported.labelled, self.sample_rate, self.samples)
        found = super().signatures(exported, archive, inputs)
        return {**found, "encoded": Signature(*files)}

    def trials(self, inputs: Any) -> Iterator[Trial]:
        yield from super().trials(inputs)
        ((name, waves),) = inputs.arrays.items()
        given = {"wav_bytes": exporting.as_wavs(waves, self.sample_rate)}
        yield Trial("encoded", given, {name: exporting.rounded(waves)})

    def made_up(self, shapes: Sequence[tuple], count: int) -> Any:
        rng = np.random.default_rng(0)
        time = np.arange(self.samples) / self.sample_rate
        pitches = np.geomspace(100, self.sample_rate / 3, count)[:, None]
        vibrato = 0.1 * np.sin(2 * np.pi * 3 * time)
        waves = 0.3 * np.sin(2 * np.pi * pitches * (time + vibrato / 10))
        return [(waves + rng.normal(0, 0.02, waves.shape)).astype("float32")]

    def export_facts(self) -> dict[str, Any]:
        return self.get_config()

    def signature_notes(self) -> Iterator[str]:
        yield from self.tensor_notes()
        yield (
            f"signature 'encoded' takes the bytes of WAV files, 16 bits at "
            f"{self.sample_rate} samples per second, of longer ones the middle"
        )

    def tensor_notes(self) -> Iterator[str]:
        yield f"'wave' takes {self.samples} samples, {self._window}, from -1 to 1"

    # The card.

    def usage(self) -> Usage:
        return Usage('["hello.wav"]', "hello.wav")

    def limits(self) -> Iterator[str]:
        yield (
            f"It hears {self._window}, of one channel: what is above "
            f"{self.sample_rate / 2000:g} kHz is lost, and of longer sounds the mean "
            "over windows is given."
        )


def _check_asked(waves: Any, part: str) -> None:
    """Raises where waves are not finite, and warns where they are no -1 to 1."""
    loudest = check_waves(waves, part)
    if loudest > _LOUDEST:
        warnings.warn(
            f"`{part}` has values up to {loudest:g}: models of sounds take waves from "
            "-1 to 1. Divide 16-bit samples by 32768.",
            UserWarning,
            stacklevel=4,
        )


def _not_one(received: str) -> ValueError:
    return ValueError(
        "`source` must be one recording: a path, or a wave (samples,). Received: "
        f"{received}."
    )


def _are_numbers(inputs: Any) -> bool:
    kind = getattr(getattr(inputs, "dtype", None), "kind", None)
    return kind in ("i", "u", "f") or keras.ops.is_tensor(inputs)


def _windows(examples: SoundExamples) -> np.ndarray:
    """Reads all windows, float32 `(n, samples)`."""
    found = np.zeros((len(examples), examples.samples), np.float32)

    def read(i: int) -> None:
        found[i] = examples.wave(i)

    with concurrent.futures.ThreadPoolExecutor() as pool:
        list(pool.map(read, range(len(examples))))
    return found
