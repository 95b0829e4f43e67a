"""Splits from TensorFlow Datasets."""

import os
import warnings
from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import tensorflow as tf

from tlkeras._validation import check_int, unknown_name
from tlkeras.data.description import warn_of_skipped
from tlkeras.data.labels import Labels
from tlkeras.data.splits import Splits, make_splits
from tlkeras.data.splitting import PART_OF_NAME, check_fractions
from tlkeras.inputs.arrays import ArrayExamples
from tlkeras.inputs.examples import Examples
from tlkeras.inputs.loading import plain_graph
from tlkeras.inputs.pictures.decoding import (
    check_color_mode,
    check_fit,
    check_image_size,
)
from tlkeras.inputs.pictures.tfds import TfdsExamples, encoded_rows, import_tfds
from tlkeras.inputs.texts.reading import text_problem

if TYPE_CHECKING:
    import tensorflow_datasets

_LABELS_AT_ONCE = 1024


def from_tfds(
    name_or_builder: "str | tensorflow_datasets.core.DatasetBuilder",
    *,
    text: str | Sequence[str] | None = None,
    image_size: int | tuple[int, int] = 224,
    batch_size: int = 32,
    validation_split: float = 0.15,
    test_split: float = 0.15,
    seed: int = 0,
    color_mode: str = "rgb",
    fit: str = "crop",
    data_dir: str | os.PathLike | None = None,
    groups: str | None = None,
) -> Splits:
    """Makes `Splits` from an image or text data set of TensorFlow Datasets.

    Uses the data set's own train, validation and test splits; what is missing is
    split from train. Images are decoded by TensorFlow Datasets and resized as in
    `image_folder`. They stay on disk: to shuffle, up to 256 MiB of encoded images
    are held at a time, so a larger data set is shuffled within that window only.
    Texts are held in memory.

    Args:
        name_or_builder: A registered name (`"tf_flowers"`), downloaded where it is
            not there yet, or a builder, such as `tfds.folder_dataset.ImageFolder`.
        text: The feature that holds the texts, or two of them for pairs. By default
            the data set's image, or its only text where it has no image.
        image_size: Side, or `(height, width)`, in pixels.
        batch_size: Examples per batch.
        validation_split: Fraction for validation where the data set has no such split;
            0 for none.
        test_split: Fraction for testing where the data set has no such split; 0
            for none.
        seed: Seed of the split and of the order of training.
        color_mode: `"rgb"` or `"grayscale"`.
        fit: How pictures come to the shape of `image_size`: `"crop"` keeps the largest
            window in the middle, `"pad"` keeps all and fills up with black, `"stretch"`
            keeps all and distorts.
        data_dir: Where data sets are kept, for a name. By default the folder of
            TensorFlow Datasets, `~/tensorflow_datasets`.
        groups: A feature that says what belongs together, such as a patient. Examples
            of one group stay in one part, which is then only nearly as large as asked
            for.

    Returns:
        The `Splits`. The task is classification for a class label, multi-label for
        a sequence of them, regression for a float.

    Raises:
        ValueError: If there is no such data set, or it has no image or text and
            label.
        RuntimeError: If it is not there and cannot be downloaded.
        ImportError: If a package that it needs is not installed.

    Example:
    >>> data = tl.from_tfds("tf_flowers", image_size=224)
    """
    size = check_image_size(image_size)
    check_int("batch_size", batch_size, 1)
    check_int("seed", seed, 0)
    check_fractions(validation_split, test_split)
    check_color_mode(color_mode)
    check_fit(fit)
    builder = _prepared_builder(name_or_builder, data_dir)
    keys = _find_keys(builder, text, groups)
    skipped: list[tuple[str, str]] = []
    parts, labels, together = _read_parts(builder, keys, size, color_mode, fit, skipped)
    warn_of_skipped(skipped, sum(map(len, parts.values())), "texts")
    return make_splits(
        **parts,
        validation_split=validation_split,
        test_split=test_split,
        batch_size=batch_size,
        seed=seed,
        task=labels.task,
        class_names=labels.class_names,
        image_size=None if keys.is_text else size,
        skipped=skipped,
        groups=together or None,
    )


def _prepared_builder(name_or_builder: Any, data_dir: str | os.PathLike | None) -> Any:
    """Returns a builder whose data is on disk."""
    if not isinstance(name_or_builder, str):
        if not hasattr(name_or_builder, "as_dataset"):
            raise ValueError(
                "`name_or_builder` must be the name of a data set or a "
                f"`tfds.core.DatasetBuilder`. Received: {name_or_builder!r}."
            )
        if data_dir is not None:
            raise ValueError("`data_dir` goes with a name; a builder has its own.")
        builder = name_or_builder
    else:
        builder = _named_builder(name_or_builder, data_dir)
    if not builder.info.splits:
        _download(builder)
    return builder


def _named_builder(name: str, data_dir: str | os.PathLike | None) -> Any:
    tfds = import_tfds()
    data_dir = None if data_dir is None else os.path.expanduser(data_dir)
    try:
        return tfds.builder(name, data_dir=data_dir)
    except tfds.core.DatasetNotFoundError as error:
        known = tfds.list_builders(with_community_datasets=False)
        raise unknown_name(
            "data set", name.split("/")[0].split(":")[0], known
        ) from error


def _download(builder: Any) -> None:
    try:
        builder.download_and_prepare()
    except ImportError as error:
        raise ImportError(
            f"The data set {builder.info.full_name!r} needs a package that is not "
            f"installed: {error}. Install it with pip and try again."
        ) from error
    except Exception as error:  # Every data set downloads with code of its own.
        raise RuntimeError(
            f"The data set {builder.info.full_name!r} is not in "
            f"{str(builder.data_dir)!r} and could not be downloaded "
            f"({type(error).__name__}: {error}). Check the connection; or prepare it "
            "where there is one, copy the folder and pass its parent as `data_dir`; "
            "or read images of your own with `image_folder`."
        ) from error


class _Keys(NamedTuple):
    """The names of the features that are used: an image, a text or two, a label."""

    inputs: tuple[str, ...]
    label: str
    group: str | None
    is_text: bool


def _find_keys(
    builder: Any, text: str | Sequence[str] | None, group: str | None
) -> _Keys:
    """Finds the inputs and the label among a data set's features."""
    features = dict(builder.info.features.items())
    declared = builder.info.supervised_keys or (None, None)
    label = _only_name(declared[1]) or _label_name(features)
    if text is not None:
        inputs = _named_texts(features, text)
    else:
        inputs = tuple(tf.nest.flatten(declared[0] or _only_input(features)))
    is_image = len(inputs) == 1 and _is_image(features.get(inputs[0]))
    is_text = len(inputs) in (1, 2) and all(_is_text(features.get(i)) for i in inputs)
    if not (is_image or is_text) or label not in features:
        present = {key: type(feature).__name__ for key, feature in features.items()}
        raise ValueError(
            f"The data set {builder.info.full_name!r} must have one image and one "
            "label, or one text and one label; where it has several texts, name one "
            f"or two: text=... Its features are {present}, its supervised keys "
            f"{builder.info.supervised_keys}."
        )
    single = [key for key, feature in features.items() if feature.shape == ()]
    if group is not None and group not in single:
        raise unknown_name("feature of single values for `groups`", group, single)
    return _Keys(inputs, label, group, is_text)


def _only_name(key: Any) -> str | None:
    """Returns the one feature name in a supervised key, which may be nested."""
    names = [] if key is None else tf.nest.flatten(key)
    return names[0] if len(names) == 1 else None


def _label_name(features: Mapping[str, Any]) -> str | None:
    kind = import_tfds().features.ClassLabel
    names = [key for key, value in features.items() if isinstance(value, kind)]
    return names[0] if len(names) == 1 else "label"


def _only_input(features: Mapping[str, Any]) -> list[str]:
    """Returns the one image, or the one text where there is no image."""
    images = [key for key, value in features.items() if _is_image(value)]
    found = images or [key for key, value in features.items() if _is_text(value)]
    return found if len(found) == 1 else []


def _is_image(feature: Any) -> bool:
    return isinstance(feature, import_tfds().features.Image)


def _is_text(feature: Any) -> bool:
    # A text with an encoder, as in old data sets, is a sequence of numbers.
    return isinstance(feature, import_tfds().features.Text) and feature.shape == ()


def _named_texts(
    features: Mapping[str, Any], text: str | Sequence[str]
) -> tuple[str, ...]:
    names = (text,) if isinstance(text, str) else tuple(text)
    known = [key for key, value in features.items() if _is_text(value)]
    for name in names:
        if name not in known:
            raise unknown_name("text feature", name, known)
    if len(names) not in (1, 2):
        raise ValueError(
            f"`text` must name one feature or two. Received: text={text!r}."
        )
    return names


class _Table(NamedTuple):
    """What one pass over a split finds out without decoding an image.

    Attributes:
        labels: As they come, one per example.
        hashes: int64 `(n,)`, hashes of the encoded images; of texts, none.
        sizes: int64 `(n,)`, their sizes in bytes.
        texts: The texts of each example, one or two; of images, none.
        groups: The group of each example, where that is asked for.
    """

    labels: list[np.ndarray]
    hashes: np.ndarray
    sizes: np.ndarray
    texts: list[np.ndarray]
    groups: list[Hashable]


def _read_parts(
    builder: Any,
    keys: _Keys,
    image_size: tuple[int, int],
    color_mode: str,
    fit: str,
    skipped: list[tuple[str, str]],
) -> tuple[dict[str, Examples], Labels, dict[str, list[Hashable]]]:
    """Returns each split's examples, what their labels mean, and their groups.

    What has no text is added to `skipped`.
    """
    parts: dict[str, Examples] = {}
    groups: dict[str, list[Hashable]] = {}
    meaning = None
    for split, part in _splits_in_use(builder).items():
        table = _read_table(builder, split, keys)
        labels = _read_labels(builder.info.features[keys.label], table.labels)
        if _is_unlabelled(labels):
            _check_not_train(builder, split, part)
            warnings.warn(
                f"The split {split!r} of {builder.info.full_name!r} has no labels; "
                f"{part} is split from train instead.",
                UserWarning,
                stacklevel=3,
            )
            continue
        meaning = meaning or labels
        together = table.groups
        if keys.is_text:
            parts[part], rows, without = _text_examples(
                split, table.texts, labels.values
            )
            skipped += without
            together = together and [together[row] for row in rows]
        else:
            image = keys.inputs[0]
            parts[part] = TfdsExamples(
                builder,
                split,
                image,
                labels.values,
                table.hashes,
                table.sizes,
                image_size,
                color_mode,
                fit,
            )
        if keys.group is not None:
            groups[part] = together
    return parts, meaning, groups


def _check_not_train(builder: Any, split: str, part: str) -> None:
    if part == "train":
        raise ValueError(
            f"The split {split!r} of {builder.info.full_name!r} has no labels to "
            "train on."
        )


def _text_examples(
    split: str, texts: list[np.ndarray], labels: np.ndarray
) -> tuple[ArrayExamples, np.ndarray, list[tuple[str, str]]]:
    """Returns the examples that have texts, their rows, and why others have none."""
    rows = np.array(texts, dtype=object)
    problems = [next(filter(None, map(text_problem, row)), None) for row in rows]
    skipped = [(f"{split}[{i}]", why) for i, why in enumerate(problems) if why]
    is_good = np.array([why is None for why in problems], bool)
    inputs = rows[:, 0] if rows.shape[1] == 1 else rows
    examples = ArrayExamples(inputs[is_good], labels[is_good])
    return examples, np.flatnonzero(is_good), skipped


def _splits_in_use(builder: Any) -> dict[str, str]:
    """Returns which of a data set's splits is which part, train first."""
    used: dict[str, str] = {}
    for split in sorted(builder.info.splits):
        part = PART_OF_NAME.get(split.lower())
        if part and part not in used.values():
            used[split] = part
    if "train" not in used.values():
        raise ValueError(
            f"The data set {builder.info.full_name!r} has no split named 'train'. "
            f"Its splits are {sorted(builder.info.splits)}."
        )
    return dict(sorted(used.items(), key=lambda item: item[1] != "train"))


def _read_table(builder: Any, split: str, keys: _Keys) -> _Table:
    @plain_graph
    def summarise(example):
        label = example[keys.label]
        if isinstance(label, tf.RaggedTensor):
            label = label.to_tensor()
        row = {"labels": label}
        if keys.group is not None:
            row["groups"] = example[keys.group]
        if keys.is_text:
            return row | {"texts": tf.stack([example[key] for key in keys.inputs])}
        image = example[keys.inputs[0]]
        hashed = tf.strings.to_hash_bucket_fast(image, 2**63 - 1)
        return row | {"hashes": hashed, "sizes": tf.strings.length(image, "BYTE")}

    rows = encoded_rows(builder, split).map(summarise, tf.data.AUTOTUNE)
    rows = list(rows.prefetch(_LABELS_AT_ONCE).as_numpy_iterator())

    def column(name: str) -> list[Any]:
        return [row[name] for row in rows if name in row]

    return _Table(
        labels=column("labels"),
        hashes=np.array(column("hashes"), np.int64),
        sizes=np.array(column("sizes"), np.int64),
        texts=column("texts"),
        groups=[_plain(group) for group in column("groups")],
    )


def _plain(value: Any) -> Hashable:
    """Returns a NumPy scalar or bytes as a number or a string."""
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return value.item()


def _read_labels(feature: Any, labels: list[np.ndarray]) -> Labels:
    """Works out what a label feature means, and its values as `Examples` hold them."""
    kinds = import_tfds().features
    if isinstance(feature, kinds.ClassLabel):
        return Labels(
            np.array(labels, np.int32), tuple(feature.names), "classification"
        )
    inner = getattr(feature, "feature", None)
    if isinstance(feature, kinds.Sequence) and isinstance(inner, kinds.ClassLabel):
        rows = np.zeros((len(labels), inner.num_classes), np.float32)
        for row, ids in zip(rows, labels, strict=True):
            row[ids] = 1
        return Labels(rows, tuple(inner.names), "multi_label")
    is_tensor = isinstance(feature, kinds.Tensor)
    if is_tensor and tf.dtypes.as_dtype(feature.dtype).is_floating:
        return Labels(np.array(labels, np.float32), None, "regression")
    raise ValueError(
        "The label of a data set must be a class, a sequence of classes or a float. "
        f"Received: {feature!r}."
    )


def _is_unlabelled(labels: Labels) -> bool:
    """TensorFlow Datasets marks unknown classes by -1, and GLUE unknown targets."""
    if labels.task == "regression":
        return bool((labels.values == -1).all())
    return labels.task == "classification" and bool((labels.values < 0).any())
