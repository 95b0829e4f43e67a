"""The table of backbones known by name: sizes, pixel scaling, weights file, licence."""

import re
from dataclasses import dataclass

# A size in pixels, `(height, width)`, `(height, width, channels)`, or `None`.
InputShape = int | tuple[int, ...] | None

_KERNELS = "{lower}_weights_tf_dim_ordering_tf_kernels_notop.h5"

# Where the name of a `keras.applications` constructor takes an underscore: before a
# version (`V2`), a size (`B0`, `S`, `Tiny`, `XLarge`) and an architecture within
# another (`InceptionResNet`).
_WORD_START = re.compile(
    r"(?<=[a-z0-9])(?=V\d|B\d|[SML]$|Tiny|Small|Base|X?Large|Mobile$|ResNet)"
)

# What `MobileNet(alpha=1.0)` adds to its own name: `_1.00_224`.
_WIDTH_AND_SIZE = re.compile(r"_\d\.\d+_(\d+|None)$")


@dataclass(frozen=True)
class TableEntry:
    """What is known of a backbone before it is built.

    Attributes:
        constructor: Its name in `keras.applications`.
        family: The `keras.applications` module with its `preprocess_input`.
        scaling: Key into `SCALINGS` of `tlkeras.inputs.pictures.preprocessing`: what
            the network expects of its pixels.
        scales_itself: Whether the model does that scaling itself.
        default_shape: `(height, width, channels)` that it was pretrained at.
        minimum_size: Smallest height and width that it can be built for.
        weights_pattern: Name of the published weights file.
        weights_sizes: Sizes for which there is a weights file of its own; the last one
            serves all other sizes. Empty where one file serves all.
        licence: Licence of the published weights.
    """

    constructor: str
    family: str
    scaling: str
    scales_itself: bool
    default_shape: tuple[int, int, int]
    minimum_size: int
    weights_pattern: str
    weights_sizes: tuple[int, ...]
    licence: str

    @property
    def name(self) -> str:
        """The name in snake case, as a user writes it."""
        return snake_case(self.constructor)

    def weights_file(self, input_shape: tuple[int, int, int]) -> str:
        """Returns the name of the published weights file without the classifier."""
        height, width, _ = input_shape
        sizes = self.weights_sizes or (height,)
        fits = height == width and height in sizes
        return self.weights_pattern.format(
            name=self.name,
            lower=self.constructor.lower(),
            variant=self.name.rsplit("_", 1)[-1],
            size=height if fits else sizes[-1],
        )


def snake_case(constructor: str) -> str:
    """Returns `"efficientnet_v2_b0"` for `"EfficientNetV2B0"`."""
    return _WORD_START.sub("_", constructor).lower()


def folded(name: str) -> str:
    """Returns `name` without what does not tell names apart: case, `_` and `-`."""
    return re.sub(r"[-_\s]", "", name).lower()


def entry_for(name: str) -> TableEntry | None:
    """Returns the entry of a name in any spelling, `None` where there is none."""
    return _BY_FOLDED_NAME.get(folded(name))


def entry_for_model_name(model_name: str) -> TableEntry | None:
    """Returns the entry of the name that Keras gives a model (`"efficientnetb0"`)."""
    return entry_for(_WIDTH_AND_SIZE.sub("", model_name))


def entries_by_family() -> dict[str, TableEntry]:
    """Returns one entry for each family whose members share their pixel scaling."""
    members: dict[str, list[TableEntry]] = {}
    for entry in TABLE.values():
        members.setdefault(entry.family, []).append(entry)
    return {
        family: entries[0]
        for family, entries in members.items()
        if len({entry.scaling for entry in entries}) == 1
    }


def _family(
    family: str,
    sizes: dict[str, int],
    scaling: str,
    licence: str,
    weights_pattern: str,
    *,
    scales_itself: bool = False,
    minimum_size: int = 32,
    channels: int = 3,
    weights_sizes: tuple[int, ...] = (),
) -> list[TableEntry]:
    return [
        TableEntry(
            constructor=constructor,
            family=family,
            scaling=scaling,
            scales_itself=scales_itself,
            default_shape=(size, size, channels),
            minimum_size=minimum_size,
            weights_pattern=weights_pattern,
            weights_sizes=weights_sizes,
            licence=licence,
        )
        for constructor, size in sizes.items()
    ]


# Licences: the Keras documentation of each family, or the repository that the weights
# were converted from (EfficientNet, MobileNetV3: TensorFlow's; ConvNeXt: Facebook's).
_ENTRIES = [
    *_family(
        "glyphnet",
        {"GlyphNet": 32},
        "unit",
        "Apache-2.0",
        "glyphnet.weights.h5",
        channels=1,
        minimum_size=8,
    ),
    *_family("vgg16", {"VGG16": 224}, "caffe", "CC-BY-4.0", _KERNELS),
    *_family("vgg19", {"VGG19": 224}, "caffe", "CC-BY-4.0", _KERNELS),
    *_family(
        "resnet",
        {"ResNet50": 224, "ResNet101": 224, "ResNet152": 224},
        "caffe",
        "MIT",
        _KERNELS,
    ),
    *_family(
        "resnet_v2",
        {"ResNet50V2": 224, "ResNet101V2": 224, "ResNet152V2": 224},
        "tf",
        "BSD-3-Clause",
        _KERNELS,
    ),
    *_family("xception", {"Xception": 299}, "tf", "MIT", _KERNELS, minimum_size=71),
    *_family(
        "inception_v3",
        {"InceptionV3": 299},
        "tf",
        "Apache-2.0",
        "{name}_weights_tf_dim_ordering_tf_kernels_notop.h5",
        minimum_size=75,
    ),
    *_family(
        "inception_resnet_v2",
        {"InceptionResNetV2": 299},
        "tf",
        "Apache-2.0",
        "{name}_weights_tf_dim_ordering_tf_kernels_notop.h5",
        minimum_size=75,
    ),
    *_family(
        "mobilenet",
        {"MobileNet": 224},
        "tf",
        "Apache-2.0",
        "mobilenet_1_0_{size}_tf_no_top.h5",
        weights_sizes=(128, 160, 192, 224),
    ),
    *_family(
        "mobilenet_v2",
        {"MobileNetV2": 224},
        "tf",
        "Apache-2.0",
        "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_{size}_no_top.h5",
        weights_sizes=(96, 128, 160, 192, 224),
    ),
    *_family(
        "mobilenet_v3",
        {"MobileNetV3Small": 224, "MobileNetV3Large": 224},
        "tf",
        "Apache-2.0",
        "weights_mobilenet_v3_{variant}_224_1.0_float_no_top_v2.h5",
        scales_itself=True,
    ),
    *_family(
        "densenet",
        {"DenseNet121": 224, "DenseNet169": 224, "DenseNet201": 224},
        "torch",
        "BSD-3-Clause",
        _KERNELS,
    ),
    *_family(
        "nasnet",
        {"NASNetMobile": 224, "NASNetLarge": 331},
        "tf",
        "Apache-2.0",
        "{name}_no_top.h5",
    ),
    *_family(
        "efficientnet",
        {
            "EfficientNetB0": 224,
            "EfficientNetB1": 240,
            "EfficientNetB2": 260,
            "EfficientNetB3": 300,
            "EfficientNetB4": 380,
            "EfficientNetB5": 456,
            "EfficientNetB6": 528,
            "EfficientNetB7": 600,
        },
        "torch",
        "Apache-2.0",
        "{lower}_notop.h5",
        scales_itself=True,
    ),
    *_family(
        "efficientnet_v2",
        {
            "EfficientNetV2B0": 224,
            "EfficientNetV2B1": 240,
            "EfficientNetV2B2": 260,
            "EfficientNetV2B3": 300,
        },
        "torch",
        "Apache-2.0",
        "efficientnetv2-{variant}_notop.h5",
        scales_itself=True,
    ),
    *_family(
        "efficientnet_v2",
        {"EfficientNetV2S": 384, "EfficientNetV2M": 480, "EfficientNetV2L": 480},
        "tf128",
        "Apache-2.0",
        "efficientnetv2-{variant}_notop.h5",
        scales_itself=True,
    ),
    *_family(
        "convnext",
        {
            "ConvNeXtTiny": 224,
            "ConvNeXtSmall": 224,
            "ConvNeXtBase": 224,
            "ConvNeXtLarge": 224,
            "ConvNeXtXLarge": 224,
        },
        "torch",
        "MIT",
        "{name}_notop.h5",
        scales_itself=True,
    ),
]

TABLE = {entry.name: entry for entry in _ENTRIES}
_BY_FOLDED_NAME = {folded(name): entry for name, entry in TABLE.items()}
