"""Pictures with their boxes, whatever files these came from, made `Splits`."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import keras
import numpy as np

from tlkeras._validation import check_choice, few, unknown_name
from tlkeras.data.skipped import first_skipped, warn_of_skipped
from tlkeras.data.splits import Splits, make_splits
from tlkeras.data.splitting import check_splitting
from tlkeras.inputs import Pictures
from tlkeras.inputs.pictures.geometry import Frames
from tlkeras.outputs import Boxes
from tlkeras.outputs.boxes.layout import CLASS, LABEL_COLUMNS, LEAST_SEEN
from tlkeras.outputs.naming import check_class_names
from tlkeras.problem import Problem

# Pixels that a box may reach beyond its picture, as roundings do.
_SLACK = 1.5

FORMATS = (
    *("xyxy", "yxyx", "xywh", "center_xywh", "center_yxhw"),
    *("rel_xyxy", "rel_yxyx", "rel_xywh", "rel_center_xywh"),
)


@dataclass
class Annotated:
    """A picture and the boxes that files tell of it.

    Attributes:
        path: The picture's file.
        size: Its height and width as the files tell them, `None` where they do not.
        boxes: Four numbers for each box.
        names: Each one's class.
        ignored: Whether each counts neither as right nor as missed: a crowd, or marked
            as difficult.
    """

    path: str
    size: tuple[int, int] | None = None
    boxes: list[Sequence[float]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    ignored: list[bool] = field(default_factory=list)

    def add(self, box: Sequence[float], name: str, ignored: bool = False) -> None:
        """Adds a box."""
        self.boxes.append(box)
        self.names.append(name)
        self.ignored.append(ignored)


@dataclass(frozen=True)
class Settings:
    """How pictures are read and split, as the user asked.

    Attributes:
        image_size: As in `image_folder`, like all that follow.
        batch_size: Pictures per batch.
        validation_split: Fraction for validation.
        test_split: Fraction for testing.
        seed: Seed of the split and of the order of training.
        color_mode: `"rgb"` or `"grayscale"`.
        fit: How pictures come to the shape of `image_size`.
    """

    image_size: int | tuple[int, int]
    batch_size: int
    validation_split: float
    test_split: float
    seed: int
    color_mode: str
    fit: str

    def __post_init__(self) -> None:
        check_splitting(
            self.batch_size, self.seed, self.validation_split, self.test_split
        )

    def pictures(self) -> Pictures:
        """Returns what is read, or raises `ValueError`."""
        return Pictures.of_arguments(self.image_size, self.color_mode, self.fit)


def four_numbers(box: Any) -> tuple[float, ...] | None:
    """Returns the numbers of a box as a file has them; `None` where they are none."""
    try:
        numbers = tuple(float("nan" if one is None else one) for one in box)
    except (TypeError, ValueError):
        return None
    return numbers if len(numbers) == 4 else None


def check_format(format: str) -> str:
    """Returns the name of a format of boxes, or raises `ValueError`."""
    return check_choice("format", format, FORMATS)


class Read(NamedTuple):
    """The pictures of a part that can be read.

    Attributes:
        examples: `Examples`, whose labels are their numbers among all of the part.
        frames: Where they lie in what is read of them.
        titles: What each is called.
        skipped: What the others are called, and why they cannot be read.
    """

    examples: Any
    frames: Frames
    titles: Sequence[str]
    skipped: list[tuple[str, str]]


def of_files(root: str, its_input: Pictures, pictures: Sequence[Annotated]) -> Read:
    """Reads the pictures of a part that are files.

    Args:
        root: The folder that names of files are relative to.
        its_input: How they are read.
        pictures: All of them.
    """
    paths = [one.path for one in pictures]
    found = its_input.of_files(root, paths, np.arange(len(pictures)))
    skipped = [(os.path.relpath(file, root), why) for file, why in found.skipped]
    frames = its_input.frames_of(found.examples)
    return Read(found.examples, frames, found.examples.files, skipped)


def splits_of(
    parts: Mapping[str, Sequence[Annotated]],
    *,
    root: str,
    format: str,
    names: Sequence[str],
    class_names: Sequence[str] | None,
    skipped: Sequence[tuple[str, str]],
    settings: Settings,
    read_part: Callable[[str, Pictures, Sequence[Annotated]], Read] | None = None,
) -> Splits:
    """Makes `Splits` of pictures with boxes.

    Args:
        parts: The pictures of each part, `"train"` among them.
        root: The folder that names of files are relative to, or what the data set is
            called.
        format: What the boxes' numbers are, as Keras' `convert_format` calls it.
        names: The classes that the files name, in their order.
        class_names: Those that the user wants, in the order of their numbers; `None`:
            all of them.
        skipped: What was left out already, and why.
        settings: How pictures are read and split.
        read_part: From a part's name, how pictures are read, and these, to what can be
            read. `None`: they are files.
    """
    its_input = settings.pictures()
    _check_unit(parts, root, format)
    named = [name for name in names if name.strip()]
    if not named:
        raise ValueError(
            f"No box with a class can be read in {root!r}"
            + (f": {first_skipped(skipped)}." if skipped else ".")
        )
    names = check_class_names(named if class_names is None else class_names)
    numbers = {name: number for number, name in enumerate(names)}
    absent = [name for name in names if name not in named]
    if len(absent) == len(names):
        raise unknown_name("class", absent[0], named)
    read, skipped = (
        {},
        [
            *skipped,
            *((root, f"names no class {name!r}, only {few(named)}") for name in absent),
        ],
    )
    for part, pictures in parts.items():
        if read_part is None:
            found = of_files(root, its_input, pictures)
        else:
            found = read_part(part, its_input, pictures)
        skipped += found.skipped
        read[part] = _rows(found, pictures, format, numbers, class_names, skipped)
    most = max([1, *(len(rows) for _, each in read.values() for rows in each)])
    examples = {
        part: some.with_labels(_filled_up(rows, most))
        for part, (some, rows) in read.items()
    }
    used = sum(map(len, examples.values()))
    warn_of_skipped(skipped, used, f"pictures and boxes in {root!r}", stacklevel=4)
    if not len(examples.get("train", ())):
        raise ValueError(
            f"No picture of {root!r} can be read"
            + (f": {first_skipped(skipped)}." if skipped else ".")
        )
    return make_splits(
        **examples,
        problem=Problem(its_input, Boxes(names)),
        validation_split=settings.validation_split,
        test_split=settings.test_split,
        batch_size=settings.batch_size,
        seed=settings.seed,
        skipped=skipped,
    )


def _check_unit(
    parts: Mapping[str, Sequence[Annotated]], root: str, format: str
) -> None:
    """Raises `ValueError` where pixels are given as shares, or shares as pixels."""
    numbers = [n for each in parts.values() for one in each for n in _numbers(one)]
    if not numbers:
        return
    typical = float(np.median(numbers))
    relative = format.startswith("rel_")
    if typical > 2 if relative else 0 < max(numbers) <= 1:
        are, meant = "shares of the sides", "pixels"
        if relative:
            are, meant = meant, are
        raise ValueError(
            f"The boxes of {root!r} look like {are}, but are read as {meant}: half of "
            f"their numbers are at most {typical:g}, and all of them at most "
            f"{max(numbers):g}. tl.boxes_from_csv reads either, by its `format`; "
            f"received: format={format!r}."
        )


def _numbers(one: Annotated) -> list[float]:
    return [abs(n) for box in one.boxes for n in box if np.isfinite(n)]


def _filled_up(pictures: Sequence[np.ndarray], most: int) -> np.ndarray:
    """Returns the boxes of all pictures as one array, filled up with class -1."""
    labels = np.zeros((len(pictures), most, LABEL_COLUMNS), "float32")
    labels[..., CLASS] = -1
    for row, boxes in zip(labels, pictures, strict=True):
        row[: len(boxes)] = boxes
    return labels


def _rows(
    read: Read,
    pictures: Sequence[Annotated],
    format: str,
    numbers: Mapping[str, int],
    wanted: Sequence[str] | None,
    skipped: list[tuple[str, str]],
) -> tuple[Any, list[np.ndarray]]:
    """Returns the pictures whose size is right, and each one's boxes.

    Args:
        read: The pictures that can be read.
        pictures: All of them.
        format: What boxes' numbers are.
        numbers: From names of classes to their numbers.
        wanted: Those that the user named, `None` where she named none.
        skipped: What is left out is added to it.
    """
    examples, frames = read.examples, read.frames
    corners = as_corners([one.boxes for one in pictures], format)
    kept, found = [], []
    for position, number in enumerate(examples.labels.tolist()):
        one, own = pictures[number], tuple(frames.sizes[position].tolist())
        file = read.titles[position]
        if one.size is not None and tuple(one.size) != own:
            skipped.append(
                (
                    file,
                    "is {1} x {0} pixels, but its annotation was made for "
                    "{3} x {2}".format(*own, *one.size),
                )
            )
            continue
        boxes = corners[number]
        if not format.startswith("rel_"):
            boxes = boxes / np.tile(own[::-1], 2)
        rows, faults = _checked(one, boxes, own, numbers, wanted)
        skipped += [(file, fault) for fault in faults]
        kept.append(position)
        found.append(_seen(rows, frames, position))
    return examples.select(np.array(kept, int)), found


def _checked(
    one: Annotated,
    boxes: np.ndarray,
    size: tuple[int, int],
    numbers: Mapping[str, int],
    wanted: Sequence[str] | None,
) -> tuple[np.ndarray, list[str]]:
    """Returns rows of labels, and what is wrong with others.

    Args:
        one: The picture.
        boxes: x1, y1, x2, y2 as shares of its sides, `(boxes, 4)`.
        size: Its height and width in pixels.
        numbers: From names of classes to their numbers.
        wanted: Those that the user named, `None` where she named none.
    """
    height, width = size
    rows, faults = [], []
    for i, box in enumerate(boxes):
        name = one.names[i]
        inside = np.clip(box, 0, 1)
        scale = np.array([width, height] * 2)
        if not name.strip():
            faults.append(f"box {i} has a class without a name")
        elif name not in numbers:
            if wanted is None:
                faults.append(f"box {i} has the unknown class {name!r}")
        elif not np.isfinite(box).all():
            faults.append(f"box {i} is not finite")
        elif not (box[2:] > box[:2]).all():
            faults.append(f"box {i} has no area")
        elif not (inside[2:] > inside[:2]).all():
            faults.append(f"box {i} lies outside of the picture")
        else:
            if (np.abs(box - inside) * scale > _SLACK).any():
                faults.append(f"box {i} reaches beyond the picture, and was cut there")
            rows.append([*inside, numbers[name], one.ignored[i]])
    return np.array(rows, "float64").reshape(-1, LABEL_COLUMNS), faults


def as_corners(
    pictures: Sequence[Sequence[Sequence[float]]], format: str
) -> list[np.ndarray]:
    """Returns each picture's boxes as x1, y1, x2, y2, `(boxes, 4)`.

    All of them are converted at once: a call of Keras' function for each of many
    pictures would take longer than reading their files.

    Args:
        pictures: Four numbers for each box, of each picture.
        format: What they are; those that begin with `"rel_"` stay shares of the
            picture's sides, others pixels.

    Example:

    >>> as_corners([[[2, 1, 4, 3]], []], "xywh")[0].tolist()
    [[2.0, 1.0, 6.0, 4.0]]
    """
    counts = [len(boxes) for boxes in pictures]
    values = [box for boxes in pictures for box in boxes]
    # No size is needed between pixels and pixels, or shares and shares.
    found = keras.utils.bounding_boxes.convert_format(
        np.array(values, "float32").reshape(1, -1, 4),
        format,
        "rel_xyxy" if format.startswith("rel_") else "xyxy",
        height=1,
        width=1,
    )
    return np.split(np.asarray(found, "float64")[0], np.cumsum(counts)[:-1])


def _seen(rows: np.ndarray, frames: Any, position: int) -> np.ndarray:
    """Returns boxes in what the model sees; those that are hardly seen are ignored."""
    if not len(rows):
        return rows.astype("float32")
    whole = frames.seen(position, rows[:, :4])
    inside = np.clip(whole, 0, 1)
    area = np.prod(whole[:, 2:] - whole[:, :2], axis=1)
    share = np.prod(np.clip(inside[:, 2:] - inside[:, :2], 0, None), axis=1) / area
    ignored = np.maximum(rows[:, 5], share < LEAST_SEEN)
    found = np.concatenate([inside, rows[:, 4:5], ignored[:, None]], axis=1)
    found = found.astype("float32")
    return found[(found[:, 2:4] > found[:, :2]).all(axis=1)]
