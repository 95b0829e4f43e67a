"""Boxes from data sets of TensorFlow Datasets."""

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import tensorflow as tf

from tlkeras._validation import unknown_name
from tlkeras.data.boxes.annotated import Annotated, Read, Settings, splits_of
from tlkeras.data.splits import Splits
from tlkeras.data.tfds import prepared_builder, splits_in_use
from tlkeras.inputs import Pictures
from tlkeras.inputs.loading import plain_graph
from tlkeras.inputs.pictures.geometry import frames
from tlkeras.inputs.pictures.tfds import identity
from tlkeras.inputs.tfds import encoded_rows
from tlkeras.outputs.features import import_tfds, is_class

if TYPE_CHECKING:
    import tensorflow_datasets

# What data sets call boxes that count neither as right nor as missed.
_IGNORED = ("is_crowd", "is_difficult", "is_ignored")


def boxes_from_tfds(
    name_or_builder: "str | tensorflow_datasets.core.DatasetBuilder",
    *,
    objects: str | None = None,
    image_size: int | tuple[int, int] = 224,
    batch_size: int = 32,
    validation_split: float = 0.15,
    test_split: float = 0.15,
    seed: int = 0,
    color_mode: str = "rgb",
    fit: str = "pad",
    class_names: Sequence[str] | None = None,
    data_dir: str | os.PathLike | None = None,
) -> Splits:
    """Makes `Splits` of pictures with boxes from a data set of TensorFlow Datasets.

    Uses the data set's own train, validation and test splits; what is missing, or has
    no box, as COCO's test split, is split from train. Boxes of crowds and those marked
    as difficult (`is_crowd`, `is_difficult`, `is_ignored`) count neither as right nor
    as missed. Pictures stay on disk and are read in their order, so that they are
    shuffled within 256 MiB of them; each is decoded once beforehand, for its size. It
    needs `pip install "tlkeras[tfds]"`.

    Args:
        name_or_builder: A registered name (`"voc/2007"`), downloaded where it is not
            there yet, or a builder.
        objects: The feature that holds a box and a class label for each object. By
            default the only one that does.
        image_size: Side, or `(height, width)`, in pixels.
        batch_size: Pictures per batch.
        validation_split: Fraction for validation where there is no such split; 0 for
            none.
        test_split: Fraction for testing where there is no such split; 0 for none.
        seed: Seed of the split and of the order of training.
        color_mode: `"rgb"` or `"grayscale"`.
        fit: How pictures come to the shape of `image_size`: `"pad"` keeps all and fills
            up with black, `"stretch"` keeps all and distorts, `"crop"` keeps the
            largest window in the middle.
        class_names: Which classes to read, in the order of their numbers. By default
            all of them, in the data set's order.
        data_dir: Where data sets are kept, for a name. By default the folder of
            TensorFlow Datasets, `~/tensorflow_datasets`.

    Returns:
        The `Splits`. Labels are float32 `(batch, boxes, 6)`: x1, y1, x2, y2 as shares
        of the sides of the picture as it is read, the class number (-1: no box) and 1
        where the box is ignored.

    Raises:
        ValueError: If there is no such data set, or it has no picture or no objects of
            a box and a label each.
        RuntimeError: If it is not there and cannot be downloaded.
        ImportError: If a package that it needs is not installed.

    Example:
    >>> data = tl.boxes_from_tfds("voc/2007", image_size=320)

    Reference:
        https://www.tensorflow.org/datasets/api_docs/python/tfds/features/BBoxFeature.
    """
    settings = Settings(
        image_size, batch_size, validation_split, test_split, seed, color_mode, fit
    )
    builder = prepared_builder(name_or_builder, data_dir)
    keys = _find_keys(builder, objects)
    parts: dict[str, list[Annotated]] = {}
    pictures: dict[str, tuple[str, _Pictures]] = {}
    for split, part in splits_in_use(builder).items():
        found, its_pictures = _read_split(builder, split, keys)
        if part != "train" and not any(one.boxes for one in found):
            warnings.warn(
                f"The split {split!r} of {builder.info.full_name!r} has no boxes; "
                f"{part} is split from train instead.",
                UserWarning,
                stacklevel=2,
            )
            continue
        parts[part], pictures[part] = found, (split, its_pictures)

    def read_part(part: str, its_input: Pictures, _: Any) -> Read:
        split, its = pictures[part]
        read = its_input.of_features(
            builder,
            split,
            (keys.image,),
            {"hashes": its.hashes, "sizes": its.bytes},
            np.arange(len(its.bytes)),
        )
        shape = its_input.image_size, its_input.fits_by
        titles = [one.path for one in parts[part]]
        return Read(read.examples, frames(its.shapes, *shape), titles, read.skipped)

    return splits_of(
        parts,
        root=builder.info.full_name,
        format="rel_yxyx",
        names=keys.names,
        class_names=class_names,
        skipped=[],
        settings=settings,
        read_part=read_part,
    )


class _Keys(NamedTuple):
    """The names of the features that are used, and those of the classes."""

    image: str
    objects: str
    box: str
    label: str
    ignored: tuple[str, ...]
    names: tuple[str, ...]


class _Pictures(NamedTuple):
    """What is known of the pictures of a split without keeping them.

    Attributes:
        hashes: int64, of the encoded pictures.
        bytes: int64, how large these are.
        shapes: Height and width in pixels, int64 `(n, 2)`.
    """

    hashes: np.ndarray
    bytes: np.ndarray
    shapes: np.ndarray


def _find_keys(builder: Any, objects: str | None) -> _Keys:
    """Returns where pictures, boxes and labels are, or raises `ValueError`."""
    tfds = import_tfds()
    features = dict(builder.info.features.items())
    images = [k for k, one in features.items() if isinstance(one, tfds.features.Image)]
    image = _chosen("image", images)
    inner = {name: _inner(feature) for name, feature in features.items()}
    known = {}
    for name, its in inner.items():
        boxes = [k for k in its if isinstance(its[k], tfds.features.BBoxFeature)]
        labels = [k for k in its if is_class(its[k])]
        # Of several, such as a pose beside the label, those of the usual names.
        box, label = _chosen("bbox", boxes), _chosen("label", labels)
        if box is not None and label is not None:
            known[name] = box, label
    if objects is not None and objects not in known:
        raise unknown_name("feature of boxes and labels", objects, known)
    chosen = [objects] if objects is not None else list(known)
    if image is None or len(chosen) != 1:
        present = {key: type(feature).__name__ for key, feature in features.items()}
        raise ValueError(
            f"The data set {builder.info.full_name!r} must have one picture, and one "
            "sequence of objects with a box and a class label each, called 'bbox' and "
            "'label' where objects have several; of several such sequences name one: "
            f"objects=... Its features are {present}, of "
            f"boxes and labels {list(known)}."
        )
    (name,) = chosen
    its = inner[name]
    ignored = tuple(key for key in _IGNORED if key in its)
    return _Keys(image, name, *known[name], ignored, tuple(its[known[name][1]].names))


def _chosen(usual: str, names: Sequence[str]) -> str | None:
    """Returns the only name, or the usual one of several; `None` for neither."""
    return usual if usual in names else names[0] if len(names) == 1 else None


def _inner(feature: Any) -> Mapping[str, Any]:
    """Returns the features of each element of a sequence; none where it is no such."""
    inside = getattr(feature, "feature", None)
    return dict(inside.items()) if hasattr(inside, "items") else {}


def _read_split(
    builder: Any, split: str, keys: _Keys
) -> tuple[list[Annotated], _Pictures]:
    """Returns a split's boxes, and what is known of its pictures."""
    decode = builder.info.features[keys.image].decode_example

    @plain_graph
    def summarise(example):
        image, its = example[keys.image], example[keys.objects]
        wanted = (keys.box, keys.label, *keys.ignored)
        shape = tf.shape(decode(image), "int64")[:2]
        return {name: its[name] for name in wanted}, identity(image) | {"shape": shape}

    rows = encoded_rows(builder, split).map(summarise, tf.data.AUTOTUNE)
    found, about = [], []
    for number, (objects, picture) in enumerate(rows.as_numpy_iterator()):
        one = Annotated(f"{split}[{number}]")
        for box, label, ignored in _each(objects, keys):
            one.add(box.tolist(), keys.names[label], ignored)
        found.append(one)
        about.append(picture)
    columns = ([row[name] for row in about] for name in ("hashes", "sizes", "shape"))
    hashes, sizes, shapes = (np.array(column, "int64") for column in columns)
    return found, _Pictures(hashes, sizes, shapes.reshape(-1, 2))


def _each(
    objects: Mapping[str, np.ndarray], keys: _Keys
) -> Iterator[tuple[np.ndarray, int, bool]]:
    """Yields box, class number and whether it is ignored; skips hidden labels."""
    count = len(objects[keys.label])
    ignored = np.zeros(count, bool)
    for name in keys.ignored:
        ignored |= objects[name].astype(bool)
    for box, label, its in zip(
        objects[keys.box], objects[keys.label], ignored, strict=True
    ):
        if label >= 0:
            yield box, int(label), bool(its)
