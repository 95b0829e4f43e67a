"""Figures of boxes that are found: COCO's, by its own evaluator, and per picture."""

import contextlib
import io
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from tlkeras._validation import optional_import

# COCO's limits of small and large, 32 x 32 and 96 x 96 pixels, are of pictures of about
# this size: boxes are measured as if theirs were.
WIDTH, HEIGHT = 640.0, 480.0

# From this overlap on, a box counts as found.
IOU = 0.5

_NAMES = {
    "ap": ("precision", None, "all"),
    "ap50": ("precision", 0.5, "all"),
    "ap75": ("precision", 0.75, "all"),
    "ap_small": ("precision", None, "small"),
    "ap_medium": ("precision", None, "medium"),
    "ap_large": ("precision", None, "large"),
    "ar": ("recall", None, "all"),
    "ar_small": ("recall", None, "small"),
    "ar_medium": ("recall", None, "medium"),
    "ar_large": ("recall", None, "large"),
}


class Coco:
    """COCO's evaluation of boxes.

    Args:
        truth: What is there, `(pictures, boxes, 6)`: x1, y1, x2, y2 as shares of the
            picture's sides, class number (-1: none), and whether it is to be ignored.
        found: What was found, `(pictures, boxes, 6)`: box, class number, score.
        classes: Number of classes.

    Raises:
        ImportError: If pycocotools is not installed.

    Example:

    >>> truth = np.array([[[0.0, 0.0, 0.5, 0.5, 0, 0]]])
    >>> found = np.array([[[0.0, 0.0, 0.5, 0.5, 0, 0.9]]])
    >>> round(Coco(truth, found, 1).figures()["ap"], 3)
    1.0

    Reference:
        Lin et al., Microsoft COCO: Common Objects in Context (2014);
        https://cocodataset.org/#detection-eval.
    """

    def __init__(self, truth: np.ndarray, found: np.ndarray, classes: int):
        purpose, install = "The evaluation of boxes", "'tlkeras[boxes]'"
        tools = optional_import("pycocotools.coco", purpose, install)
        evaluating = optional_import("pycocotools.cocoeval", purpose, install)
        with contextlib.redirect_stdout(io.StringIO()):
            there, seen = tools.COCO(), tools.COCO()
            there.dataset = _data_set(truth, classes, crowds=True)
            seen.dataset = _data_set(found, classes, crowds=False)
            there.createIndex()
            seen.createIndex()
            evaluation = evaluating.COCOeval(there, seen, "bbox")
            evaluation.evaluate()
            evaluation.accumulate()
        self._params = evaluation.params
        self._found = evaluation.eval

    def figures(self) -> dict[str, float]:
        """Returns average precision and recall by name, NaN where nothing was there."""
        return {
            name: _mean(self._part(which, iou, size))
            for name, (which, iou, size) in _NAMES.items()
        }

    def per_class(self, iou: float | None = None) -> np.ndarray:
        """Returns each class's average precision, `(classes,)`.

        Args:
            iou: At which overlap; `None`: the mean from 0.5 to 0.95.
        """
        part = self._part("precision", iou, "all")
        return np.array([_mean(part[..., k]) for k in range(part.shape[-1])])

    def curve(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns recall and precision of a class at an overlap of 0.5.

        Args:
            number: The class's.
        """
        precision = self._part("precision", IOU, "all")[0, :, number]
        known = precision > -1
        return self._params.recThrs[known], precision[known]

    def _part(self, which: str, iou: float | None, size: str) -> np.ndarray:
        """Returns a part of COCO's results, the overlaps first, the classes last."""
        size = self._params.areaRngLbl.index(size)
        values = self._found[which][..., size, -1]
        if iou is None:
            return values
        return values[np.isclose(self._params.iouThrs, iou)]


def _mean(values: np.ndarray) -> float:
    known = values[values > -1]
    return float(known.mean()) if known.size else float("nan")


def _data_set(rows: np.ndarray, classes: int, crowds: bool) -> dict[str, Any]:
    """Returns boxes as COCO's evaluator has them."""
    annotations = []
    pictures, places = np.nonzero(rows[..., 4] >= 0)
    for picture, place in zip(pictures.tolist(), places.tolist(), strict=True):
        x1, y1, x2, y2, number, last = rows[picture, place].astype("float64").tolist()
        box = [x1 * WIDTH, y1 * HEIGHT, (x2 - x1) * WIDTH, (y2 - y1) * HEIGHT]
        annotations.append(
            {
                "id": len(annotations) + 1,
                "image_id": picture,
                "category_id": int(number),
                "bbox": box,
                "area": box[2] * box[3],
                "iscrowd": int(crowds and last > 0.5),
                **({} if crowds else {"score": last}),
            }
        )
    return {
        "images": [{"id": i} for i in range(len(rows))],
        "annotations": annotations,
        "categories": [{"id": i} for i in range(classes)],
    }


class Matched(NamedTuple):
    """Which boxes of a picture are right.

    Attributes:
        right: Of each box that was found: 1 right, 0 false, -1 neither, since it lies
            on one that is ignored; -1 for padding, too.
        seen: Of each box that is there: 1 found, 0 missed, -1 ignored or padding.
    """

    right: np.ndarray
    seen: np.ndarray


def matched(truth: np.ndarray, found: np.ndarray, iou: float = IOU) -> Matched:
    """Returns which boxes of one picture are right, as COCO's evaluator counts them.

    The surest box comes first, and takes the box of its class that is not taken and
    that it overlaps most.

    Args:
        truth: `(boxes, 6)`, as in `Coco`.
        found: `(boxes, 6)`, as in `Coco`.
        iou: The least overlap.

    Example:

    >>> there = np.array([[0.0, 0.0, 0.5, 0.5, 0, 0]])
    >>> seen = np.array([[0.0, 0.0, 0.5, 0.4, 0, 0.9], [0.5, 0.5, 1.0, 1.0, 0, 0.8]])
    >>> matched(there, seen).right.tolist()
    [1, 0]
    """
    right = np.full(len(found), -1)
    counts = (truth[:, 4] >= 0) & (truth[:, 5] < 0.5)
    seen = np.where(counts, 0, -1)
    common, shares = overlaps(found[:, :4], truth[:, :4])
    for i in np.argsort(-found[:, 5], kind="stable"):
        if found[i, 4] < 0:
            continue
        same = truth[:, 4] == found[i, 4]
        free = same & (seen == 0) & (common[i] >= iou)
        if free.any():
            best = int(np.argmax(np.where(free, common[i], -1)))
            seen[best], right[i] = 1, 1
        else:
            right[i] = -1 if (same & ~counts & (shares[i] >= iou)).any() else 0
    return Matched(right, seen)


def overlaps(found: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns IoU, and the share of each box found that lies on each that is there."""
    low = np.maximum(found[:, None, :2], truth[None, :, :2])
    high = np.minimum(found[:, None, 2:], truth[None, :, 2:])
    common = np.prod(np.clip(high - low, 0, None), axis=-1)
    own = np.prod(np.clip(found[:, 2:] - found[:, :2], 0, None), axis=-1)[:, None]
    other = np.prod(np.clip(truth[:, 2:] - truth[:, :2], 0, None), axis=-1)[None]
    tiny = 1e-12
    return common / np.maximum(own + other - common, tiny), common / np.maximum(
        own, tiny
    )


class Counts(NamedTuple):
    """How many boxes of each class, or of each picture, are right.

    Attributes:
        right: Found where they are.
        false: Found where they are not.
        missed: There, and not found.
    """

    right: np.ndarray
    false: np.ndarray
    missed: np.ndarray

    @property
    def f1(self) -> np.ndarray:
        """F1, 1 where nothing was there and nothing was found."""
        wrong = self.false + self.missed
        both = 2 * self.right + wrong
        return np.where(both > 0, 2 * self.right / np.maximum(both, 1), 1.0)

    @property
    def precision(self) -> np.ndarray:
        """The share of what was found that is there; 0 where nothing was found."""
        return self.right / np.maximum(self.right + self.false, 1)

    @property
    def recall(self) -> np.ndarray:
        """The share of what is there that was found; 0 where nothing is there."""
        return self.right / np.maximum(self.right + self.missed, 1)


def count(truth: np.ndarray, found: np.ndarray, classes: int) -> tuple[Counts, Counts]:
    """Counts boxes by picture and by class.

    Args:
        truth: `(pictures, boxes, 6)`, as in `Coco`.
        found: `(pictures, boxes, 6)`, as in `Coco`: those that the model decides for.
        classes: Number of classes.

    Returns:
        Counts `(pictures,)`, and counts `(classes,)`.
    """
    table = np.zeros((len(truth), classes, 3), int)
    for row, there, seen in zip(table, truth, found, strict=True):
        result = matched(there, seen)
        for place, which, value, boxes in (
            (0, result.right, 1, seen),
            (1, result.right, 0, seen),
            (2, result.seen, 0, there),
        ):
            numbers = boxes[which == value, 4].astype(int)
            row[:, place] = np.bincount(numbers, minlength=classes)[:classes]
    by_picture, by_class = table.sum(axis=1).T, table.sum(axis=0).T
    return Counts(*by_picture), Counts(*by_class)


def best_thresholds(truth: np.ndarray, found: np.ndarray, classes: int) -> np.ndarray:
    """Returns from which score on each class has the best F1, float32 `(classes,)`.

    Args:
        truth: `(pictures, boxes, 6)`, as in `Coco`.
        found: `(pictures, boxes, 6)`, as in `Coco`, of all scores.
        classes: Number of classes.
    """
    pairs = zip(truth, found, strict=True)
    right = np.stack([matched(there, seen).right for there, seen in pairs])
    there = (truth[..., 4] >= 0) & (truth[..., 5] < 0.5)
    best = np.full(classes, 0.5, "float32")
    for number, rows in _by_class(found, right, classes):
        scores, hits = rows
        total = int(np.sum(there & (truth[..., 4] == number)))
        if not total or not hits.any():
            continue
        hits, at = np.cumsum(hits), np.arange(1, len(hits) + 1)
        f1 = 2 * hits / (at + total)
        # Of equal scores all are taken.
        last = np.append(scores[1:] < scores[:-1], True)
        place = int(np.argmax(np.where(last, f1, -1)))
        # Between it and the next one, so that rounding does not matter.
        below = scores[place + 1] if place + 1 < len(scores) else 0.0
        best[number] = (scores[place] + below) / 2
    return best


def _by_class(
    found: np.ndarray, right: np.ndarray, classes: int
) -> Iterator[tuple[int, tuple[np.ndarray, np.ndarray]]]:
    for number in range(classes):
        of_it = (found[..., 4] == number) & (right >= 0)
        scores, hits = found[of_it][:, 5], right[of_it]
        order = np.argsort(-scores, kind="stable")
        yield number, (scores[order], hits[order])


def class_figures(
    by_class: Counts, coco: Coco | None, names: Sequence[str]
) -> list[tuple[str, ...]]:
    """Returns rows of a table: each class's average precision and counts.

    Args:
        by_class: What `count` returned.
        coco: COCO's evaluation.
        names: The classes' names.
    """
    columns = coco.per_class(), coco.per_class(IOU), *by_class
    return [
        (name, *(_cell(value) for value in row))
        for name, *row in zip(names, *columns, strict=True)
    ]


def _cell(value: Any) -> str:
    if isinstance(value, np.integer):
        return str(value)
    return "undefined" if value != value else f"{value:.3f}"
