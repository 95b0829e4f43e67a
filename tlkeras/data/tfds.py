"""Splits from TensorFlow Datasets."""

import os
import warnings
from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import tensorflow as tf

from tlkeras._validation import unknown_name
from tlkeras.data.skipped import warn_of_skipped
from tlkeras.data.splits import Splits, make_splits
from tlkeras.data.splitting import check_splitting, parts_of
from tlkeras.inputs import Examples, Input, Pictures, Sounds, Texts
from tlkeras.inputs.loading import plain_graph
from tlkeras.inputs.tfds import encoded_rows
from tlkeras.outputs import read_feature
from tlkeras.outputs.features import import_tfds, is_class
from tlkeras.problem import Problem

if TYPE_CHECKING:
    import tensorflow_datasets

_LABELS_AT_ONCE = 1024


def from_tfds(
    name_or_builder: "str | tensorflow_datasets.core.DatasetBuilder",
    *,
    text: str | Sequence[str] | None = None,
    audio: str | None = None,
    image_size: int | tuple[int, int] = 224,
    batch_size: int = 32,
    validation_split: float = 0.15,
    test_split: float = 0.15,
    seed: int = 0,
    color_mode: str = "rgb",
    fit: str = "crop",
    seconds: float = 1.0,
    sample_rate: int = 16_000,
    data_dir: str | os.PathLike | None = None,
    groups: str | None = None,
) -> Splits:
    """Makes `Splits` from an image, text or sound data set of TensorFlow Datasets.

    Uses the data set's own train, validation and test splits; what is missing is
    split from train. Images are decoded by TensorFlow Datasets and resized
    bilinearly, cropped to the target's aspect ratio first unless `fit` says
    otherwise. They stay on disk: to shuffle, up to 256 MiB of encoded images are
    held at a time, so a larger data set is shuffled within that window only. Texts and
    sounds are held in memory. It needs `pip install "tlkeras[tfds]"`.

    Args:
        name_or_builder: A registered name (`"tf_flowers"`), downloaded where it is
            not there yet, or a builder, such as `tfds.folder_dataset.ImageFolder`.
        text: The feature that holds the texts, or two of them for pairs. By default
            the data set's image, or its only text where it has no image.
        audio: The feature that holds the sounds. By default the only one of a data set
            without images and texts.
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
        seconds: Length of what is read of each sound, as in `audio_folder`.
        sample_rate: Samples per second that sounds are brought to.
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
    pictures = Pictures.of_arguments(image_size, color_mode, fit)
    check_splitting(batch_size, seed, validation_split, test_split)
    builder = prepared_builder(name_or_builder, data_dir)
    sounds = Sounds(sample_rate, seconds)
    offered = ((pictures, None), (Texts(), text), (sounds, audio))
    keys = _find_keys(builder, offered, groups)
    parts, problem, skipped, together = _read_parts(builder, keys)
    warn_of_skipped(skipped, sum(map(len, parts.values())), keys.input.nouns)
    return make_splits(
        **parts,
        problem=problem,
        validation_split=validation_split,
        test_split=test_split,
        batch_size=batch_size,
        seed=seed,
        skipped=skipped,
        groups=together or None,
    )


def prepared_builder(name_or_builder: Any, data_dir: str | os.PathLike | None) -> Any:
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
    except tfds.core.DatasetNotFoundError:
        known = tfds.list_builders(with_community_datasets=False)
        # Its own words are the names of all data sets.
        raise unknown_name(
            "data set", name.split("/")[0].split(":")[0], known
        ) from None


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
    """The names of the features that are used, and the input that they are of."""

    input: Input
    inputs: tuple[str, ...]
    label: str
    group: str | None


def _find_keys(
    builder: Any, offered: Sequence[tuple[Input, Any]], group: str | None
) -> _Keys:
    """Finds the inputs and the label among a data set's features.

    Args:
        builder: The data set's.
        offered: Inputs, each with the features that the user named for it, or `None`.
        group: As in `from_tfds`.
    """
    features = dict(builder.info.features.items())
    declared = builder.info.supervised_keys or (None, None)
    label = _only_name(declared[1]) or _label_name(features)
    kinds = [kind for kind, _ in offered]
    named = [(kind, names) for kind, names in offered if names is not None]
    if named:
        names = _named_features(features, *named[0])
    else:
        names = tuple(tf.nest.flatten(declared[0] or _only_input(features, kinds)))
    its_input = next((x for x in kinds if _is_made_of(x, names, features)), None)
    if its_input is None or label not in features:
        present = {key: type(feature).__name__ for key, feature in features.items()}
        raise ValueError(
            f"The data set {builder.info.full_name!r} must have one image and one "
            "label, or one text or sound and one label; where it has several texts, "
            f"name one or two: text=... Its features are {present}, its supervised "
            f"keys {builder.info.supervised_keys}."
        )
    single = [key for key, feature in features.items() if feature.shape == ()]
    if group is not None and group not in single:
        raise unknown_name("feature of single values for `groups`", group, single)
    return _Keys(its_input, names, label, group)


def _is_made_of(
    its_input: Input, names: Sequence[str], features: Mapping[str, Any]
) -> bool:
    fits = 1 <= len(names) <= its_input.most_columns
    return fits and all(its_input.claims_feature(features.get(name)) for name in names)


def _only_name(key: Any) -> str | None:
    """Returns the one feature name in a supervised key, which may be nested."""
    names = [] if key is None else tf.nest.flatten(key)
    return names[0] if len(names) == 1 else None


def _label_name(features: Mapping[str, Any]) -> str | None:
    names = [key for key, value in features.items() if is_class(value)]
    return names[0] if len(names) == 1 else "label"


def _only_input(features: Mapping[str, Any], kinds: Sequence[Input]) -> list[str]:
    """Returns the one feature of the first kind of input that there is."""
    for kind in kinds:
        found = [key for key, value in features.items() if kind.claims_feature(value)]
        if found:
            return found if len(found) == 1 else []
    return []


def _named_features(
    features: Mapping[str, Any], kind: Input, given: str | Sequence[str]
) -> tuple[str, ...]:
    names = (given,) if isinstance(given, str) else tuple(given)
    known = [key for key, value in features.items() if kind.claims_feature(value)]
    for name in names:
        if name not in known:
            raise unknown_name(f"{kind.noun} feature", name, known)
    if not 1 <= len(names) <= kind.most_columns:
        or_two = " or two" * (kind.most_columns > 1)
        raise ValueError(
            f"`{kind.prefix}` must name one feature{or_two}. Received: "
            f"{kind.prefix}={given!r}."
        )
    return names


class _Table(NamedTuple):
    """What one pass over a split finds out without decoding an image.

    Attributes:
        labels: As they come, one per example.
        kept: What the input keeps of all examples, by names of its own.
        groups: The group of each example, where that is asked for.
    """

    labels: list[np.ndarray]
    kept: dict[str, list[Any]]
    groups: list[Hashable]


def _read_parts(
    builder: Any, keys: _Keys
) -> tuple[
    dict[str, Examples], Problem, list[tuple[str, str]], dict[str, list[Hashable]]
]:
    """Returns each split's examples, what they are for, what is skipped, and groups."""
    parts: dict[str, Examples] = {}
    groups: dict[str, list[Hashable]] = {}
    skipped: list[tuple[str, str]] = []
    problem = None
    for split, part in splits_in_use(builder).items():
        table = _read_table(builder, split, keys)
        output, labels = read_feature(builder.info.features[keys.label], table.labels)
        if output.are_hidden(labels):
            _check_not_train(builder, split, part)
            warnings.warn(
                f"The split {split!r} of {builder.info.full_name!r} has no labels; "
                f"{part} is split from train instead.",
                UserWarning,
                stacklevel=3,
            )
            continue
        read = keys.input.of_features(builder, split, keys.inputs, table.kept, labels)
        problem = problem or Problem(read.input, output)
        parts[part] = read.examples
        skipped += read.skipped
        if keys.group is not None:
            groups[part] = [table.groups[row] for row in read.rows]
    return parts, problem, skipped, groups


def _check_not_train(builder: Any, split: str, part: str) -> None:
    if part == "train":
        raise ValueError(
            f"The split {split!r} of {builder.info.full_name!r} has no labels to "
            "train on."
        )


def splits_in_use(builder: Any) -> dict[str, str]:
    """Returns which of a data set's splits is which part, train first."""
    used: dict[str, str] = {}
    # Of several for one part the one with the usual name.
    usual = ("train", "validation", "val", "valid", "test")
    names = sorted(builder.info.splits, key=lambda name: (name not in usual, name))
    for split, part in parts_of(names).items():
        if part not in used.values():
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
        return row, keys.input.keep_of_features([example[key] for key in keys.inputs])

    rows = encoded_rows(builder, split).map(summarise, tf.data.AUTOTUNE)
    rows = list(rows.prefetch(_LABELS_AT_ONCE).as_numpy_iterator())
    kept = rows[0][1] if rows else {}
    return _Table(
        labels=[row["labels"] for row, _ in rows],
        kept={name: [each[name] for _, each in rows] for name in kept},
        groups=[_plain(row["groups"]) for row, _ in rows if "groups" in row],
    )


def _plain(value: Any) -> Hashable:
    """Returns a NumPy scalar or bytes as a number or a string."""
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return value.item()
