"""`Boxes`: the output of a detector."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from keras import ops

from tlkeras._validation import check_int, check_number
from tlkeras.findings import Finding
from tlkeras.metrics import detection
from tlkeras.metrics.per_example import PerExample
from tlkeras.metrics.table import ClassTable, class_table
from tlkeras.outputs import label_findings
from tlkeras.outputs.base import Output
from tlkeras.outputs.boxes.detections import Detections
from tlkeras.outputs.boxes.head import BoxHead
from tlkeras.outputs.boxes.layout import (
    BOX,
    CLASS,
    FOUND_COLUMNS,
    IGNORED,
    LABEL_COLUMNS,
    OUTPUT_COLUMNS,
    SCORE,
)
from tlkeras.outputs.boxes.loss import DetectionLoss
from tlkeras.outputs.boxes.moving import moved, moved_by_layer
from tlkeras.outputs.boxes.suppression import suppressed, suppressed_rows
from tlkeras.outputs.labels import checked_thresholds
from tlkeras.outputs.losses import find_loss
from tlkeras.outputs.naming import name_classes, names_config
from tlkeras.outputs.shown import Plot, Table
from tlkeras.outputs.weighing import Weighing

# From which score on a box is given where nothing else was said.
THRESHOLD = 0.3

# Logits are those of scores this far from 0 and 1 at least.
_NO_SCORE = 1e-7

# Of the longer side of a picture: smaller boxes are hardly ever meant.
_TINY = 0.01


@dataclass(frozen=True)
class Boxes(Output):
    """Objects in a picture: for each a box, a class and a score.

    Attributes:
        names: The classes' names in the order of their numbers, or how many there are.
        thresholds: From which score on `classify` and `detect` give a box: a number
            from 0 to 1, or one for each class; `None`: 0.3.
        iou_threshold: Of boxes of one class whose intersection over union is above it,
            the surest is kept (non-maximum suppression).
        max_detections: How many boxes of a picture are kept at most.
        loss: `None`: focal loss of the classes and generalized IoU loss of the boxes.
            Or a Keras loss or a function of what the model gives and of labels.
        weight: Not used beside a single head.
        hidden: Not for boxes, like `dropout` and `class_weight`.
        dropout: Not for boxes.
        class_weight: Not for boxes: the focal loss turns to what is not yet right.
        metrics: Keras metrics of labels and outputs, or `None` for none.

    `tl.image_detector` makes models with this output, `tl.boxes_from_coco` and its
    siblings data for it.

    Raises:
        ValueError: If an attribute is not one of the above.

    Example:

    >>> tl.Boxes(["sign", "walker"], iou_threshold=0.6).class_names
    ('sign', 'walker')
    """

    names: Sequence[str] | int
    thresholds: float | Sequence[float] | None = None
    iou_threshold: float = 0.5
    max_detections: int = 100

    task: ClassVar[str] = "detection"
    title: ClassVar[str] = "object detection"
    noun: ClassVar[str] = "box"
    nouns: ClassVar[str] = "boxes"
    output_name: ClassVar[str] = "cells"
    has_thresholds: ClassVar[bool] = True
    has_rows: ClassVar[bool] = True
    has_places: ClassVar[bool] = True
    goal: ClassVar[str] = "detector"
    hub_task: ClassVar[str | None] = "object-detection"
    first_figures: ClassVar[tuple[str, ...]] = (
        "ap",
        "ap50",
        "ap75",
        "ar",
        "f1",
        "exact",
    )
    headline_figures: ClassVar[tuple[str, ...]] = ("ap", "ap50")

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", name_classes(self.names, 1))
        kept = checked_thresholds(self.thresholds, len(self.names))
        object.__setattr__(self, "thresholds", kept)
        check_number("iou_threshold", self.iou_threshold, minimum=0)
        check_int("max_detections", self.max_detections, 1)
        if self.hidden or self.dropout:
            raise ValueError(
                "`hidden` and `dropout` are for heads on a vector of features; boxes "
                "are found on feature maps. See `width` and `depth` of "
                f"tl.image_detector. Received: hidden={self.hidden!r}, "
                f"dropout={self.dropout!r}."
            )
        super().__post_init__()

    @property
    def units(self) -> int:
        return OUTPUT_COLUMNS + len(self.names)

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.names

    @property
    def least(self) -> np.ndarray:
        """From which score on boxes are given, float32 `(classes,)`."""
        least = THRESHOLD if self.thresholds is None else self.thresholds
        return np.broadcast_to(np.float32(least), len(self.names))

    def with_thresholds(self, thresholds: Any) -> "Boxes":
        return self.but(thresholds=thresholds)

    def get_config(self) -> dict[str, Any]:
        kept = self.thresholds
        return {
            **super().get_config(),
            "names": names_config(self.names),
            "thresholds": list(kept) if isinstance(kept, tuple) else kept,
            "iou_threshold": self.iou_threshold,
            "max_detections": self.max_detections,
        }

    # The layers.

    def attach(self, features: Any, name: str, **head: Any) -> Any:
        if not isinstance(features, (list, tuple)):
            raise ValueError(
                "Boxes are found on feature maps: build the model by tl.image_detector."
            )
        return BoxHead(len(self.names), name=name, **head)(list(features))

    # Labels.

    @classmethod
    def of_labels(
        cls, values: np.ndarray, names: tuple[str, ...] | None
    ) -> tuple["Boxes", np.ndarray]:
        raise ValueError(
            "Boxes are read by tl.boxes_from_coco, tl.boxes_from_voc, "
            "tl.boxes_from_yolo and tl.boxes_from_csv."
        )

    def check(self, labels: np.ndarray, part: str) -> None:
        if labels.ndim != 3 or labels.shape[-1] != LABEL_COLUMNS:
            raise ValueError(
                f"Labels in `{part}` have shape {labels.shape}; a detector takes "
                f"(n, boxes, {LABEL_COLUMNS}): x1, y1, x2, y2 as shares of the "
                "picture's sides, class number (-1: no box) and 1 where the box is to "
                "be ignored, as tl.boxes_from_coco and its siblings make them."
            )
        bad, valid = self._impossible(labels, gaps=False)
        if bad.any():
            raise ValueError(
                f"Labels in `{part}` must be {valid}. Received, of example "
                f"{int(np.argmax(bad))}: {labels[np.argmax(bad)].tolist()}."
            )

    def _impossible(self, labels: np.ndarray, gaps: bool) -> tuple[np.ndarray, str]:
        classes, boxes = labels[..., CLASS], labels[..., BOX]
        there = classes >= 0
        whole = (classes >= -1) & (classes < len(self.names)) & (classes % 1 == 0)
        within = (boxes >= 0).all(-1) & (boxes <= 1).all(-1)
        has_area = (boxes[..., 2:] > boxes[..., :2]).all(-1)
        fits = whole & (~there | (within & has_area))
        valid = "boxes with x1 < x2 and y1 < y2, all from 0 to 1, of classes from 0 "
        valid += f"to {len(self.names) - 1}"
        return ~fits.all(axis=1), valid

    def _valid(self, known: np.ndarray) -> tuple[np.ndarray, str]:
        return np.isfinite(known), "finite"

    def label_text(self, label: Any) -> str:
        counts = self._numbers(np.asarray(label)[None])[0]
        found = [f"{counts[i]} {self.names[i]}" for i in np.flatnonzero(counts)]
        return ", ".join(found) or "no box"

    def _numbers(self, labels: np.ndarray) -> np.ndarray:
        """Returns how many boxes of each class count, int `(n, classes)`."""
        rows = np.where(labels[..., IGNORED] > 0.5, -1, labels[..., CLASS])
        return (rows[..., None] == np.arange(len(self.names))).sum(axis=1)

    def strata(self, labels: np.ndarray) -> np.ndarray:
        """Returns each picture's rarest class; -1 without one, or of very few."""
        has = self._numbers(labels) > 0
        pictures = has.sum(axis=0)
        rarest = np.where(has, pictures, len(labels) + 1).argmin(axis=1)
        strata = np.where(has.any(axis=1), rarest, -1)
        sizes = np.bincount(strata[strata >= 0], minlength=len(self.names))
        # What is too small to be in each part may lie in any.
        return np.where(sizes[strata] < 3, -1, strata)

    def counts(self, labels: np.ndarray) -> np.ndarray:
        return self._numbers(labels).sum(axis=0)

    @property
    def amount(self) -> str:
        return f"{len(self.names)} classes of boxes"

    def planned_weights(self, sizes: Sequence[int]) -> None:
        return None

    # Data.

    def check_train(self, labels: np.ndarray) -> None:
        if not self.counts(labels).any():
            raise ValueError("No training picture has a box: nothing could be learnt.")

    def lost(self, labels: np.ndarray, others: np.ndarray) -> list[str]:
        gone = (self.counts(labels) > 0) & (self.counts(others) == 0)
        return [self.names[i] for i in np.flatnonzero(gone)]

    def label_table(
        self, labels: Mapping[str, np.ndarray]
    ) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
        columns = {part: self.counts(rows) for part, rows in labels.items()}
        empty = {
            p: np.sum(self._numbers(rows).sum(1) == 0) for p, rows in labels.items()
        }
        ignored = {
            p: np.sum((rows[..., CLASS] >= 0) & (rows[..., IGNORED] > 0.5))
            for p, rows in labels.items()
        }
        pictures = {part: len(rows) for part, rows in labels.items()}
        rows = [
            (name, {part: count[i] for part, count in columns.items()})
            for i, name in enumerate(self.names)
        ]
        rows += [("(ignored)", ignored)] if any(ignored.values()) else []
        rows += [("(pictures)", pictures), ("(pictures without boxes)", empty)]
        table = (
            (name, *map(str, by_part.values()), str(sum(by_part.values())))
            for name, by_part in rows
        )
        return ("class", *labels, "total"), tuple(table)

    def _findings(self, labels: Mapping[str, np.ndarray]) -> Iterator[Finding]:
        counts = {part: self.counts(rows) for part, rows in labels.items()}
        yield from label_findings.similar_names(self.names)
        yield from label_findings.absent_classes(counts, self.names)
        yield from label_findings.small_classes(counts, self.names)
        yield from _of_boxes(
            "tiny boxes",
            labels,
            lambda boxes: (boxes[:, 2:4] - boxes[:, 0:2]).max(axis=1) < _TINY,
            f"boxes less than {_TINY:.0%} of the picture wide and high are a few "
            "pixels of what the model sees.",
            "Read the pictures at a larger `image_size`, or cut them into tiles.",
        )
        yield from _of_boxes(
            "doubled boxes",
            labels,
            _doubled,
            "boxes of one class that lie on each other count as two objects.",
            "Remove one of each pair.",
        )

    def mark(
        self, ax: Any, size: tuple[int, int], true: Any, found: Any = None
    ) -> None:
        from tlkeras.plots.boxes import draw_boxes

        sides = np.tile(np.array(size, "float32")[::-1], 2)
        for rows, color, style in ((true, None, "-"), (found, "black", ":")):
            if rows is None:
                continue
            rows = np.asarray(rows)
            rows = rows[rows[:, CLASS] >= 0]
            titles = [self.names[int(number)] for number in rows[:, CLASS]]
            draw_boxes(ax, rows[:, BOX] * sides, titles, color, style)

    # Training.

    def make_loss(self) -> Any:
        return DetectionLoss() if self.loss is None else find_loss(self.loss)

    def default_metrics(self) -> list[Any]:
        return []

    def weighing(
        self, class_weight: Any, labels: np.ndarray | None, loss: Any = None
    ) -> Weighing | None:
        if class_weight is None:
            return None
        raise ValueError(
            "`class_weight` is for examples of one class each; a picture may have "
            "boxes of several. `sampling='balanced'` shows pictures with rare classes "
            f"more often. Received: class_weight={class_weight!r}."
        )

    def check_augmented(self, name: str, takes_labels: bool) -> None:
        if not takes_labels:
            raise ValueError(
                f"`augment`: {name} changes pictures and leaves boxes where they were. "
                "Pass 'light', 'medium' or 'strong', Keras' layers, or a function "
                "`f(images, labels)` that moves both; labels are (batch, boxes, 6), "
                "and their first four columns x1, y1, x2, y2 as shares of the "
                "picture's sides."
            )

    def moved(self, labels: Any, scales: Any, starts: Any) -> Any:
        return moved(labels, scales, starts)

    def moved_by_layer(self, layer: Any, images: Any, labels: Any) -> tuple[Any, Any]:
        return moved_by_layer(layer, images, labels)

    def shares(self, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        from tlkeras.outputs.sampling import label_shares

        return label_shares((self._numbers(labels) > 0).astype("float32"))

    def _check_class_weight(self) -> None:
        self.weighing(self.class_weight, None)

    # Predictions.

    def condensed(self, outputs: np.ndarray) -> np.ndarray:
        found = suppressed_rows(outputs, self.iou_threshold, self.max_detections)
        return found.reshape(len(found), -1)

    def read_predictions(
        self, labels: np.ndarray, outputs: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        labels = labels.astype("float64")
        self.check(labels, "data")
        rows = outputs.reshape(len(outputs), -1, FOUND_COLUMNS)
        return labels, rows.astype("float64")

    def predictions(self, outputs: np.ndarray) -> np.ndarray:
        """Returns the boxes that are given; of others the class is -1."""
        classes = outputs[..., CLASS].astype(int)
        given = (classes >= 0) & (outputs[..., SCORE] >= self.least[classes])
        kept = outputs.copy()
        kept[..., CLASS] = np.where(given, kept[..., CLASS], -1)
        return kept

    def answers(self, outputs: np.ndarray) -> list[Detections]:
        found = suppressed_rows(outputs, self.iou_threshold, self.max_detections)
        return [self._answer(rows) for rows in self.predictions(found)]

    def _answer(self, rows: np.ndarray) -> Detections:
        rows = rows[rows[:, CLASS] >= 0]
        labels = tuple(self.names[int(number)] for number in rows[:, CLASS])
        return Detections(rows[:, BOX], labels, rows[:, SCORE], (1, 1))

    def placed(self, answers: list[Any], frames: Callable[[], Any]) -> list[Any]:
        where = frames() if answers else None
        return [
            Detections(
                where.own(i, each.boxes),
                each.labels,
                each.scores.astype("float32"),
                tuple(where.sizes[i].tolist()),
            )
            for i, each in enumerate(answers)
        ]

    def check_detects(self) -> None:
        """They are."""

    def graph_answers(self, outputs: Any) -> dict[str, Any]:
        import tensorflow as tf

        found = suppressed(outputs, self.iou_threshold, self.max_detections)
        classes = tf.cast(found[..., CLASS], "int32")
        names = tf.constant(["", *self.names])
        least = tf.constant([1.0, *self.least])
        given = found[..., SCORE] >= tf.gather(least, classes + 1)
        return {
            self.output_name: outputs,
            "boxes": found[..., BOX],
            "scores": tf.where(given, found[..., SCORE], 0.0),
            "label": tf.where(given, tf.gather(names, classes + 1), ""),
        }

    def same_answers(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Returns of which pictures both give the same boxes, to a hundredth."""
        pairs = zip(self.answers(first), self.answers(second), strict=True)
        return np.array(
            [
                a.labels == b.labels and bool(np.all(np.abs(a.boxes - b.boxes) < 0.01))
                for a, b in pairs
            ]
        )

    # Explanations.

    def explained_scores(self, logits: Any) -> Any:
        """Returns the logits of all classes, of one cell after the other."""
        scores = logits[..., OUTPUT_COLUMNS:]
        p = ops.clip(scores, _NO_SCORE, 1.0 - _NO_SCORE)
        count = scores.shape[1] * scores.shape[2]
        return ops.reshape(ops.log(p) - ops.log(1.0 - p), (-1, count))

    def explained_of(self, output: np.ndarray, number: int) -> int:
        cell = output[:, OUTPUT_COLUMNS + number].argmax()
        return int(cell) * len(self.names) + number

    def explained_facts(self, index: int, output: np.ndarray) -> dict[str, Any]:
        cell, number = divmod(index, len(self.names))
        score = float(output[cell, OUTPUT_COLUMNS + number])
        facts = {"target": self.names[number], "output": score, "probability": score}
        return {**facts, "box": output[cell, BOX]}

    def explained(self, outputs: np.ndarray) -> np.ndarray:
        scores = outputs[..., OUTPUT_COLUMNS:]
        return scores.reshape(len(scores), -1).argmax(axis=1)

    # The report.

    def figures(
        self,
        y_true: np.ndarray,
        outputs: np.ndarray,
        sample_weight: np.ndarray | None = None,
    ) -> dict[str, float]:
        by_picture, by_class = self._counted(y_true, self.predictions(outputs))
        there = by_class.right + by_class.missed > 0
        each = {"precision": by_class.precision, "recall": by_class.recall}
        each["f1"] = by_class.f1
        return {
            **self._coco(y_true, outputs).figures(),
            **{
                f"macro_{name}": float(values[there].mean()) if there.any() else np.nan
                for name, values in each.items()
            },
            "f1": float(by_picture.f1.mean()),
            "exact": float(np.mean(by_picture.false + by_picture.missed == 0)),
        }

    def main_values(self, y_true: np.ndarray, y_pred: np.ndarray) -> PerExample:
        counts = self._counted(y_true, y_pred)[0]
        exact = (counts.false + counts.missed == 0).astype("float64")
        return PerExample("exact", exact, True, are_hits=True)

    def losses(self, y_true: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        """Returns how many boxes of each picture are false or missed."""
        counts, _ = self._counted(y_true, self.predictions(outputs))
        return (counts.false + counts.missed).astype("float64")

    def verdict(self, true: Any, predicted: Any, outputs: np.ndarray) -> str:
        result = detection.matched(true, predicted)
        said = [
            f"{word} {self.names[int(number)]}"
            for word, rows, which in (
                ("missed", true, result.seen),
                ("false", predicted, result.right),
            )
            for number in rows[which == 0, CLASS]
        ]
        return ", ".join(said) or f"right: {self.label_text(true)}"

    def per_class(self, y_true: np.ndarray, outputs: np.ndarray) -> ClassTable:
        _, counts = self._counted(y_true, self.predictions(outputs))
        support = counts.right + counts.missed
        figures = counts.precision, counts.recall, counts.f1, support
        return class_table(self.names, figures)

    def best_thresholds(self, y_true: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        return detection.best_thresholds(y_true, outputs, len(self.names))

    def plot_precision_recall(self, report: Any, ax: Any = None) -> Any:
        from tlkeras.plots import plot_precision_recall

        coco = self._coco(report.y_true, report.outputs)
        areas = coco.per_class(detection.IOU)
        known = np.flatnonzero(~np.isnan(areas))
        if not len(known):
            raise ValueError("There is no box in these data: no curve can be drawn.")
        worst = known[np.argsort(areas[known], kind="stable")[:6]]
        curves = {self.names[i]: (*coco.curve(i), areas[i]) for i in sorted(worst)}
        return plot_precision_recall(curves, ax)

    def plots(self, report: Any) -> Iterator[Plot]:
        description = (
            "Precision over recall of each class, of boxes that overlap a true one by "
            "half or more."
        )
        draw, size = report.plot_precision_recall, (4.8, 4.2)
        if self.counts(report.y_true).any():
            yield Plot("precision_recall", "Precision", description, size, draw)

    def tables(self, report: Any) -> Iterator[Table]:
        _, counts = self._counted(report.y_true, report.y_pred)
        coco = self._coco(report.y_true, report.outputs)
        header = ("class", "ap", "ap50", "right", "false", "missed")
        rows = detection.class_figures(counts, coco, self.names)
        yield Table("Average precision of each class", header, rows, scrolls=True)

    def sentences(self, report: Any) -> Iterator[str]:
        yield (
            "Average precision and recall are COCO's; precision, recall and F1 are of "
            "boxes from the thresholds on, that overlap a true one by half or more; "
            "`exact` is the share of pictures with neither a false nor a missed one."
        )

    def _coco(self, y_true: np.ndarray, outputs: np.ndarray) -> detection.Coco:
        return detection.Coco(y_true, outputs, len(self.names))

    def _counted(self, y_true: np.ndarray, y_pred: np.ndarray) -> tuple[Any, Any]:
        return detection.count(y_true, y_pred, len(self.names))

    # The command line.

    def record(self, answer: Detections) -> dict[str, Any]:
        boxes = answer.boxes.round(1).tolist()
        each = zip(answer.labels, answer.scores.tolist(), boxes, strict=True)
        return {
            "size": list(answer.size),
            "boxes": [
                {"label": label, "score": score, "box": box}
                for label, score, box in each
            ],
        }

    def fields(self, answer: Detections) -> list[str]:
        return ["; ".join(answer.lines())]

    # The card.

    def does(self, noun: str, names: str) -> str:
        of = f" of the classes {names}" if names else ""
        return f"finds objects{of} in each {noun}, and says where they are"

    def limits(self, noun: str) -> Iterator[str]:
        yield (
            "It finds objects of the classes that it learnt alone, and at most "
            f"{self.max_detections} in a {noun}; objects of a class that hide each "
            "other may be taken for one."
        )

    def calibration(
        self, temperature: float | None, names: Sequence[str]
    ) -> Iterator[str]:
        yield "Scores rank boxes; they are not calibrated probabilities."
        least = self.least
        if np.all(least == least[0]):
            yield f"A box is given from a score of {least[0]:.3g} on."
        else:
            pairs = zip(names, least, strict=True)
            each = ", ".join(f"{name} {value:.3g}" for name, value in pairs)
            yield f"A box is given from these scores on: {each}."


def _of_boxes(
    kind: str,
    labels: Mapping[str, np.ndarray],
    which: Callable[[np.ndarray], np.ndarray],
    what: str,
    advice: str,
) -> Iterator[Finding]:
    """Yields a finding on the boxes of pictures that a function picks."""
    places = []
    for part, pictures in labels.items():
        for i, rows in enumerate(pictures):
            number = int(which(rows[rows[:, CLASS] >= 0]).sum())
            places += [f"{part}[{i}]: {number}"] * (number > 0)
    if places:
        yield Finding(kind, "warning", what, len(places), tuple(places), advice)


def _doubled(rows: np.ndarray) -> np.ndarray:
    """Returns which boxes lie on an earlier one of their class, nearly all of them."""
    overlaps = detection.overlaps(rows[:, BOX], rows[:, BOX])[0]
    same = rows[:, None, CLASS] == rows[None, :, CLASS]
    return (np.tril(overlaps, -1) * same > 0.9).any(axis=1)
