"""`Pictures`: the kind of input that image files and arrays of pixels are."""

import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import keras
import numpy as np

from tlkeras._validation import in_order
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
from tlkeras.inputs.pictures import backbones, exporting
from tlkeras.inputs.pictures import tfds as tfds_pictures
from tlkeras.inputs.pictures.arrays import PixelArrays
from tlkeras.inputs.pictures.checking import check_pictures
from tlkeras.inputs.pictures.decoding import (
    AS_PIXELS,
    COLOR_CHANNELS,
    ENDINGS,
    check_color_mode,
    check_fit,
    check_image_size,
    load_images,
    resize_image,
)
from tlkeras.inputs.pictures.explaining import PictureExplainer
from tlkeras.inputs.pictures.files import read_listed
from tlkeras.inputs.pictures.geometry import Frames, frames, upright_sizes
from tlkeras.inputs.pictures.headers import read_headers
from tlkeras.inputs.pictures.likeness import PictureLikeness
from tlkeras.inputs.pictures.pixels import (
    as_pixels,
    check_finite,
    range_problem,
    read_pixels,
)
from tlkeras.inputs.pictures.planning import PicturePlanRules
from tlkeras.inputs.pictures.pyramids import pyramid
from tlkeras.inputs.pictures.scale import takes_raw_pixels
from tlkeras.inputs.pictures.sizing import at_size
from tlkeras.inputs.planning import QUADRANT, SMALL
from tlkeras.inputs.tfds import import_tfds

# How far pixels outside of 0 to 255 pass: bicubic resizing goes beyond, for one.
_SLACK = 25.5


@keras.saving.register_keras_serializable("tlkeras")
class Pictures(Input):
    """Pictures: float32 raw pixels, 0 to 255, `(batch, height, width, channels)`.

    Args:
        image_size: `(height, width)` in pixels, `None` for a side of any length.
        channels: 3 (RGB) or 1 (grey).
        fit: How files and arrays of another shape come to `image_size`: `"crop"`: the
            middle, in its aspect ratio; `"pad"`: all of the picture, on black;
            `"stretch"`: all of it, in another aspect ratio. Of a model `None` until it
            is trained on data that say it, which means `"crop"`.
    """

    name: ClassVar[str] = "images"
    noun: ClassVar[str] = "picture"
    nouns: ClassVar[str] = "pictures"
    prefix: ClassVar[str] = "image"
    source_noun: ClassVar[str] = "file"
    small_backbones: ClassVar[tuple[str, ...]] = (
        "glyphnet",
        "mobilenet_v3_small",
        "mobilenet_v2",
        "mobilenet_v3_large",
        "efficientnet_b0",
        "efficientnet_v2_b0",
        "densenet121",
        "resnet50_v2",
        "convnext_tiny",
    )
    augmentable: ClassVar[bool] = True
    goes_in: ClassVar[str] = (
        "Raw pixels (0 to 255) go in; the preprocessing that belongs to the backbone "
        "is a layer of the model."
    )
    builder_references: ClassVar[str] = (
        "the Keras guide to transfer learning and fine-tuning, "
        "https://keras.io/guides/transfer_learning/"
    )
    builder_examples: ClassVar[Mapping[str, str]] = {
        "classifier": """
>>> model = tl.image_classifier("vgg16", ["cat", "dog"], weights=None,
...                             head="flatten", hidden=(256,))
>>> model.output_shape
(None, 2)
>>> model = tl.image_classifier("glyphnet", {
...     "letter": tl.Classes(["a", "b"]),
...     "slant": tl.Numbers(1, loss="huber", weight=0.1),
... })
>>> outputs = model.predict(np.zeros((5, 32, 32, 1)), verbose=0)
>>> {name: values.shape for name, values in outputs.items()}
{'letter': (5, 2), 'slant': (5, 1)}
""",
        "regressor": """
>>> tl.image_regressor("glyphnet").output_shape
(None, 1)
""",
        "detector": """
>>> model = tl.image_detector("mobilenet_v2", ["stop", "yield"], weights=None,
...                           input_shape=96)
>>> model.output_shape
(None, 189, 10)
""",
    }

    def __init__(
        self,
        image_size: Sequence[int | None] | None = None,
        channels: int = 3,
        fit: str | None = None,
    ):
        sides = (None, None) if image_size is None else tuple(image_size)
        self.image_size = sides
        self.channels = channels
        self.fit = fit if fit is None else check_fit(fit)

    @classmethod
    def of_arguments(
        cls, image_size: int | tuple[int, int], color_mode: str, fit: str
    ) -> "Pictures":
        """Makes the input of data from what the user asked for, or raises."""
        size = check_image_size(image_size)
        return cls(size, COLOR_CHANNELS[check_color_mode(color_mode)], fit)

    def get_config(self) -> dict[str, Any]:
        return {
            "image_size": list(self.image_size),
            "channels": self.channels,
            "fit": self.fit,
        }

    @property
    def color_mode(self) -> str:
        """`"rgb"` or `"grayscale"`."""
        return "grayscale" if self.channels == 1 else "rgb"

    @property
    def fits_by(self) -> str:
        """How pictures come to `image_size`, where nothing was said, too."""
        return self.fit or "crop"

    # Data.

    @classmethod
    def claims(cls, x: Any) -> bool:
        return True

    @classmethod
    def of_arrays(cls, x: Any) -> tuple["Pictures", np.ndarray]:
        pixels = read_pixels(x)
        return cls(pixels.shape[1:3], pixels.shape[3]), pixels

    def of_rows(
        self,
        rows: np.ndarray,
        labels: np.ndarray,
        image_size: int | tuple[int, int] | None = None,
        color_mode: str | None = None,
        fit: str | None = None,
        **reading: Any,
    ) -> tuple[Input, Examples]:
        if reading:
            return super().of_rows(rows, labels, **reading)
        if image_size is None and color_mode is None:
            if fit is not None:
                raise ValueError(
                    "`fit` says how pictures come to `image_size`: pass that as well. "
                    f"Received: fit={fit!r}."
                )
            return super().of_rows(rows, labels)
        size = self.image_size if image_size is None else image_size
        read = type(self).of_arguments(
            size, color_mode or self.color_mode, fit or "crop"
        )
        examples = PixelArrays(
            rows,
            labels,
            image_size=read.image_size,
            color_mode=read.color_mode,
            fit=read.fits_by,
        )
        return read, examples

    @classmethod
    def cell_problem(cls, cell: Any) -> str | None:
        return path_problem(cell, "image")

    def of_cells(self, cells: Cells, labels: np.ndarray) -> ReadExamples:
        (column,) = cells.columns
        files, paths = Files(ENDINGS), list(map(path_text, column))
        full = list(map(files.meant, cells.folders, paths))
        read = self.of_files(cells.root, full, labels)
        return read._replace(
            skipped=files.hinted(read.skipped, full, cells.folders, paths, "image_root")
        )

    def of_files(
        self, root: str, paths: Sequence[str], labels: np.ndarray
    ) -> ReadExamples:
        form = self.image_size, self.color_mode, self.fit
        return ReadExamples(self, *read_listed(root, paths, labels, *form))

    @classmethod
    def claims_feature(cls, feature: Any) -> bool:
        return isinstance(feature, import_tfds().features.Image)

    def keep_of_features(self, values: Sequence[Any]) -> dict[str, Any]:
        return tfds_pictures.identity(*values)

    def of_features(
        self,
        builder: Any,
        split: str,
        names: Sequence[str],
        kept: Mapping[str, Sequence[Any]],
        labels: np.ndarray,
    ) -> ReadExamples:
        columns = {name: np.array(rows, np.int64) for name, rows in kept.items()}
        examples = tfds_pictures.TfdsExamples(
            builder,
            split,
            *names,
            labels,
            **columns,
            image_size=self.image_size,
            color_mode=self.color_mode,
            fit=self.fit,
        )
        return ReadExamples(self, examples, np.arange(len(labels)), [])

    def describe(self, parts: Mapping[str, Any]) -> str:
        height, width = self.image_size
        return f"{sum(map(len, parts.values()))} examples of {height} x {width} pixels"

    def show(self, inputs: np.ndarray, titles: Sequence[str], about: str) -> Any:
        from tlkeras.plots.images import image_grid

        return image_grid(inputs, titles)

    def findings(
        self,
        parts: Mapping[str, Any],
        exact: Sequence[Group],
        numbering: Numbering,
        progress: Callable[[int], None],
    ) -> tuple[list[Finding], list[Group]]:
        return check_pictures(parts, exact, numbering, progress)

    def facts(self, examples: Any) -> dict[str, Any]:
        facts = {"image_size": list(self.image_size)}
        if None not in self.image_size:
            facts["size"] = self._pixels
        return facts

    # Plans.

    def usual(self, examples: int | None, blocks: Sequence[str]) -> dict[str, Any]:
        small = examples is None or examples < SMALL
        share, rate = (
            QUADRANT["small", "near"] if small else QUADRANT["medium", "middling"]
        )
        return {
            "epochs": 10,
            "unfreeze_from": share,
            "fine_tune_learning_rate": rate,
            "schedule": "constant" if small else "cosine",
        }

    plan_rules: ClassVar[PicturePlanRules] = PicturePlanRules()

    # Models.

    claims_backbone = staticmethod(backbones.claims_backbone)
    backbone_names = staticmethod(backbones.backbone_names)
    load_backbone = staticmethod(backbones.load_backbone)

    @classmethod
    def assemble(
        cls,
        backbone: str | keras.Model,
        *,
        head: str = "pool",
        weights: str | Path | None = "pretrained",
        input_shape: int | tuple[int, ...] | None = None,
        preprocessing: Any = "auto",
    ) -> Assembled:
        """Puts a backbone behind raw pixels and the preprocessing that belongs to it.

        Args:
            backbone: A name from `tl.list_backbones()`, a KerasHub preset name or local
                preset folder, or a functional `keras.Model` of your own.
            head: `"pool"` averages the feature map, `"flatten"` keeps every place, as
                the classic VGG16 recipe does.
            weights: `"pretrained"` (or `"imagenet"`), `None` for random ones, a weights
                file, or a folder that holds it.
            input_shape: `(height, width, channels)`, or one number for a square
                picture; the backbone's own size by default.
            preprocessing: `"auto"`, `None`, another family's name, or a layer, for
                backbones of your own.
        """
        loaded = cls.load_backbone(
            backbone,
            weights=weights,
            input_shape=input_shape,
            preprocessing=preprocessing,
        )
        inputs = keras.Input(loaded.input_shape, dtype="float32", name="image")
        x = loaded.preprocessing(inputs) if loaded.preprocessing else inputs
        features = to_vector(loaded.model(x), head)
        *size, channels = loaded.input_shape
        its_input = cls(size, channels)
        return Assembled(inputs, features, its_input, loaded.name, loaded.licence)

    @classmethod
    def assemble_pyramid(
        cls,
        backbone: str | keras.Model,
        *,
        strides: Sequence[int] = (8, 16, 32),
        weights: str | Path | None = "pretrained",
        input_shape: int | tuple[int, ...] | None = None,
        preprocessing: Any = "auto",
    ) -> Assembled:
        """Puts a backbone behind raw pixels, and takes several feature maps of it.

        Args:
            backbone: A name from `tl.list_backbones()`, a KerasHub preset name or local
                preset folder, or a functional `keras.Model` of your own: a
                convolutional one, with feature maps of several sizes. Of KerasHub's
                RetinaNet (`"retinanet_resnet50_fpn_coco"`) backbone and feature pyramid
                serve, without the predictors of its own classes.
            strides: Pixels between the cells of each feature map that boxes are looked
                for on, each twice the one before. Small objects need small ones, which
                cost most; a box of fewer than 8 cells is found on the finest.
            weights: `"pretrained"` (or `"imagenet"`), `None` for random ones, a weights
                file, or a folder that holds it.
            input_shape: `(height, width, channels)`, or one number for a square
                picture; the backbone's own size by default. Larger ones show more of
                small objects.
            preprocessing: `"auto"`, `None`, another family's name, or a layer, for
                backbones of your own.
        """
        loaded = cls.load_backbone(
            backbone,
            weights=weights,
            input_shape=input_shape,
            preprocessing=preprocessing,
        )
        *size, channels = loaded.input_shape
        if None in size:
            raise ValueError(
                "A detector needs pictures of one size: pass `input_shape=`. Received: "
                f"input_shape={loaded.input_shape}."
            )
        inputs = keras.Input(loaded.input_shape, dtype="float32", name="image")
        x = loaded.preprocessing(inputs) if loaded.preprocessing else inputs
        features = pyramid(loaded.model, strides, size)(x)
        its_input = cls(size, channels)
        return Assembled(inputs, features, its_input, loaded.name, loaded.licence)

    def builder_arguments(self) -> dict[str, Any]:
        if None in self.image_size:
            return {}
        return {"input_shape": (*self.image_size, self.channels)}

    @classmethod
    def timed_as(cls, **arguments: Any) -> tuple[str, Callable[[Any], keras.Model]]:
        shape = arguments.get("input_shape")
        wanted = ("input_shape", "preprocessing")
        given = {name: arguments[name] for name in wanted if name in arguments}

        def build(name: Any) -> keras.Model:
            return cls.load_backbone(name, weights=None, **given).model

        return f" at {shape}" if shape else "", build

    @classmethod
    def of_model(cls, model: keras.Model) -> "Pictures | None":
        shapes = [tuple(tensor.shape) for tensor in model.inputs or ()]
        if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][-1] not in (1, 3):
            return None
        return cls(shapes[0][1:3], shapes[0][3])

    def check_reading(self, other: Input, part: str) -> None:
        fit = other.fit if type(other) is type(self) else None
        if None not in (fit, self.fit) and fit != self.fit:
            warnings.warn(
                f"The pictures of `{part}` are read with fit={fit!r}; the model was "
                f"trained on pictures with fit={self.fit!r}. Read them alike.",
                UserWarning,
                stacklevel=2,
            )

    def check(self, model: keras.Model, inputs: Any, part: str) -> None:
        try:
            super().check(model, inputs, part)
        except ValueError as error:
            hint = self._mended(tuple(model.inputs[0].shape), np.shape(inputs))
            raise ValueError(f"{error}{hint}") from None

    def _mended(self, takes: tuple, came: tuple) -> str:
        """Returns how pictures can be read that a model takes, `""` for no idea."""
        if len(takes) != 4 or len(came) != 4 or came[-1] not in (1, 3):
            return ""
        size = takes[1:3]
        read = f"color_mode={'rgb' if takes[3] == 3 else 'grayscale'!r}"
        if None not in size:
            side = size[0] if size[0] == size[1] else size
            read = f"image_size={side}, {read}"
        return (
            f" Read the pictures with {read}; or build the model with input_shape="
            f"{(*came[1:3], takes[3])}: the pretrained weights of most backbones fit "
            "pictures of any size."
        )

    def check_values(self, model: keras.Model, inputs: Any, part: str) -> None:
        pixels = as_pixels(inputs)
        if pixels is None:
            return
        check_finite(pixels, part)
        problem = range_problem(pixels, part, slack=_SLACK)
        if problem is not None and takes_raw_pixels(model):
            warnings.warn(problem, UserWarning, stacklevel=3)

    def adopt(self, other: Input) -> Input:
        fit = other.fit if type(other) is type(self) else None
        return self if fit is None else type(self)(self.image_size, self.channels, fit)

    def read(self, inputs: Any, shape: tuple | None = None) -> np.ndarray:
        height, width = self.image_size
        channels = self.channels
        inputs = in_order("inputs", inputs)
        paths = listed_paths("inputs", inputs, AS_PIXELS)
        if paths is not None:
            return self._load(paths)
        takes = (
            "A model of pictures takes paths, or raw pixels of shape (height, width, "
            f"{channels}) or (n, height, width, {channels})."
        )
        if hasattr(inputs, "element_spec") or isinstance(inputs, keras.utils.PyDataset):
            raise ValueError(
                f"{takes} Received a dataset, {type(inputs).__name__}: pass the inputs "
                "of a batch, `next(iter(data))[0]`, or ask `model.predict(data)`."
            )
        try:
            pixels = np.asarray(inputs)
        except ValueError as error:
            raise ValueError(
                f"{takes} Received a list of unlike things: classify them one by one."
            ) from error
        if pixels.ndim == 3:
            pixels = pixels[None]
        if pixels.ndim != 4 or pixels.dtype == object or pixels.shape[-1] != channels:
            raise ValueError(
                f"{takes} Received an array of shape {pixels.shape} and dtype "
                f"{pixels.dtype}."
            )
        pixels = pixels.astype("float32")
        if height is None or pixels.shape[1:3] == (height, width):
            return pixels
        size, fit = self.image_size, self.fits_by
        return np.stack([resize_image(image, size, fit) for image in pixels])

    def frames(self, inputs: Any) -> Frames:
        inputs = in_order("inputs", inputs)
        paths = listed_paths("inputs", inputs, AS_PIXELS)
        if paths is not None:
            sizes = upright_sizes(read_headers(paths)[0])
        else:
            pixels = np.asarray(inputs)
            pixels = pixels[None] if pixels.ndim == 3 else pixels
            sizes = np.tile(pixels.shape[1:3], (len(pixels), 1))
        return frames(sizes, self.image_size, self.fits_by)

    def frames_of(self, examples: Any) -> Frames:
        """Returns where the pictures of files lie in what is read of them.

        Args:
            examples: `ImageFiles`, as `of_files` made them.
        """
        return frames(upright_sizes(examples.headers), self.image_size, self.fits_by)

    def unlabelled(self, inputs: Any) -> Examples:
        inputs = in_order("inputs", inputs)
        paths = listed_paths("inputs", inputs, AS_PIXELS)
        if not paths or None in self.image_size:
            return super().unlabelled(inputs)
        # Read when they are needed: many files do not fit into memory.
        paths = [os.path.abspath(os.path.expanduser(path)) for path in paths]
        labels = np.zeros(len(paths), "int32")
        form = self.image_size, self.color_mode, self.fits_by
        files, _, unreadable = read_listed(os.getcwd(), paths, labels, *form)
        if unreadable:
            raise ValueError(
                f"{len(unreadable)} of {len(paths)} pictures cannot be read: leave "
                f"them out. The first is {unreadable[0][0]!r}: {unreadable[0][1]}."
            )
        return files

    def read_each(self, inputs: Sequence[str]) -> tuple[np.ndarray, dict[int, str]]:
        if None in self.image_size:
            raise ValueError(
                "The model takes pictures of any size, so there is none to bring files "
                "to. Build it with `input_shape=`."
            )
        parts = [np.empty((0, *self.image_size, self.channels), "float32")]
        errors: dict[int, str] = {}
        try:
            return (self._load(inputs) if inputs else parts[0]), errors
        except ValueError:
            pass
        for i, path in enumerate(inputs):
            try:
                parts.append(self._load([path]))
            except ValueError as error:
                errors[i] = str(error)
        return np.concatenate(parts), errors

    def _load(self, paths: Sequence[str | os.PathLike]) -> np.ndarray:
        return load_images(paths, self.image_size, self.color_mode, self.fits_by)

    # Export.

    def signatures(
        self, exported: Any, archive: Any, inputs: Any
    ) -> dict[str, Signature]:
        found = super().signatures(exported, archive, inputs)
        if self._shape_of_files is not None:
            encoded = exporting.encoded(
                exported.labelled, self._shape_of_files, self.fits_by
            )
            found["encoded"] = Signature(*encoded)
        return found

    def trials(self, inputs: Any) -> Iterator[Trial]:
        yield from super().trials(inputs)
        if self._shape_of_files is not None:
            ((name, pixels),) = inputs.arrays.items()
            whole = exporting.rounded(pixels)
            given = {"image_bytes": exporting.as_png(whole)}
            yield Trial("encoded", given, {name: whole})

    def made_up(self, shapes: Sequence[tuple], count: int) -> Any:
        return [exporting.waves(shape, count) for shape in shapes]

    def export_facts(self) -> dict[str, Any]:
        return {"fit": self.fits_by}

    def signature_notes(self) -> Iterator[str]:
        if self._shape_of_files is not None:
            yield "signature 'encoded' takes the bytes of JPEG, PNG, GIF, BMP files"

    @property
    def _shape_of_files(self) -> tuple[int, int, int] | None:
        """The shape that picture files are brought to, `None` where there is none."""
        if None in self.image_size or self.channels not in (1, 3):
            return None
        return (*self.image_size, self.channels)

    # The card.

    def usage(self) -> Usage:
        if None not in self.image_size:
            return Usage('["picture.jpg"]', "picture.jpg")
        grey = f', color_mode="{self.color_mode}"' if self.channels == 1 else ""
        return Usage(f'tl.load_images(["picture.jpg"], image_size=224{grey})', None)

    def limits(self) -> Iterator[str]:
        if None in self.image_size:
            return
        lost = {
            "crop": "so are the edges of pictures of another shape",
            "pad": "pictures of another shape lose more of it",
            "stretch": "pictures of another shape are distorted",
        }
        yield (
            f"It sees pictures at {self._pixels}: finer detail is lost, and "
            f"{lost[self.fits_by]}."
        )

    @property
    def _pixels(self) -> str:
        return "{} x {} pixels".format(*self.image_size)

    # Explanations.

    def explainer(self, probe: Any, settings: Settings) -> PictureExplainer:
        return PictureExplainer(probe, settings, self)

    # Distillation.

    def seen(self, examples: Examples, about: str) -> Examples:
        return at_size(examples, self, about)

    # Suspects.

    def likeness(self, parts: Mapping[str, Examples]) -> PictureLikeness:
        return PictureLikeness(parts)

    def draw_grid(
        self, inputs: np.ndarray, titles: Sequence[str], columns: int | None = None
    ) -> Any:
        from tlkeras.plots.images import image_grid

        return image_grid(inputs, titles, columns=columns)
