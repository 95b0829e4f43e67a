"""`Splits.check`: every check of a data set before a model is trained on it."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np

from tlkeras.data.check_labels import label_findings
from tlkeras.data.duplicates import (
    duplicate_findings,
    exact_groups,
    near_picture_groups,
    near_text_groups,
)
from tlkeras.data.findings import (
    Checks,
    Finding,
    Numbering,
    by_severity,
    finding_of_places,
    places_of,
)
from tlkeras.inputs.examples import Examples
from tlkeras.inputs.pictures.files import ImageFiles
from tlkeras.inputs.pictures.headers import PROGRESS_FROM
from tlkeras.inputs.pictures.thumbnails import (
    LEAST_CONTRAST,
    contrasts,
    read_thumbnails,
)

# A side that is enlarged by more than this looks blurred.
_ENLARGED = 2.0

# A picture of which the crop to the model's aspect ratio keeps less is not judged by
# what it shows.
_KEPT = 1 / 3

_TEXTS_AT_ONCE = 4096


def check_splits(
    parts: dict[str, Examples],
    *,
    title: str,
    task: str,
    class_names: Sequence[str] | None,
    skipped: Sequence[tuple[str, str]],
    verbose: Any,
) -> Checks:
    """Makes every check of the parts of a `Splits`.

    Args:
        parts: The examples of each part.
        title: What is checked, in words.
        task: As in `Splits`.
        class_names: As in `Splits`.
        skipped: As in `Splits`.
        verbose: 0 for no progress bar.
    """
    findings = [
        *_unreadable(skipped),
        *label_findings(parts, task, class_names),
        *_size_findings(parts),
        *_input_findings(parts, _progress_bar(parts, verbose)),
    ]
    return Checks(title, by_severity(findings))


def _progress_bar(parts: dict[str, Examples], verbose: Any) -> Callable[[int], None]:
    """Returns what shows how many examples were read, nothing where they are few."""
    total = sum(map(len, parts.values()))
    if total < PROGRESS_FROM or verbose not in ("auto", 1):
        return lambda done: None
    bar = keras.utils.Progbar(total, unit_name="example", interval=0.5)
    shown = [0]

    def update(done: int) -> None:
        # A bar that is full already would be drawn once more.
        if done > shown[0]:
            shown[0] = done
            bar.update(done)

    return update


def _unreadable(skipped: Sequence[tuple[str, str]]) -> Iterator[Finding]:
    if skipped:
        yield Finding(
            "unreadable",
            "warning",
            "these files or rows were left out.",
            len(skipped),
            tuple(f"{where} {reason}" for where, reason in skipped),
            "Repair or remove them; a format that cannot be decoded can be converted.",
        )


def _size_findings(parts: dict[str, Examples]) -> Iterator[Finding]:
    """Yields what headers tell: pictures that are too small, or too long."""
    small, long = [], []
    for part, examples in parts.items():
        if not isinstance(examples, ImageFiles):
            continue
        sides = _upright_sides(examples.headers)
        scale = sides / np.array(examples.image_size)
        # The shorter side, compared with its target, is the one that fills it.
        enlarged = 1 / scale.min(axis=1) > _ENLARGED
        kept = scale.min(axis=1) / scale.max(axis=1) < _KEPT
        for found, rows in ((small, enlarged), (long, kept)):
            found += [[x] for x in places_of(part, examples, np.flatnonzero(rows))]
    if small:
        yield finding_of_places(
            "small pictures",
            "warning",
            f"pictures that are enlarged more than {_ENLARGED:g} times to fill "
            "`image_size`: a model sees them blurred, and may learn the blur where "
            "classes differ in size.",
            small,
            "Choose a smaller `image_size`, or find larger originals.",
        )
    if long:
        yield finding_of_places(
            "extreme aspect ratios",
            "warning",
            "pictures that lose more than two thirds: only their middle is kept, in "
            "the aspect ratio of `image_size`.",
            long,
            "Cut out what matters, or choose an `image_size` of (height, width) like "
            "them.",
        )


def _upright_sides(headers: np.ndarray) -> np.ndarray:
    """Returns height and width as seen, float64 `(n, 2)`."""
    stored = np.stack([headers["height"], headers["width"]], axis=1).astype(float)
    sideways = headers["orientation"] >= 5
    return np.where(sideways[:, np.newaxis], stored[:, ::-1], stored)


def _input_findings(
    parts: dict[str, Examples], progress: Callable[[int], None]
) -> Iterator[Finding]:
    """Yields what the pictures or texts themselves tell: all of them are read."""
    numbering, exact = Numbering(parts), exact_groups(parts)
    labels = np.concatenate([examples.labels for examples in parts.values()])
    noun = next(iter(parts.values())).inputs_kind
    if noun == "images":
        thumbnails, whole = _all_thumbnails(parts, progress)
        near = near_picture_groups(thumbnails, whole, exact)
        yield from _picture_findings(thumbnails, whole, numbering)
        noun = "pictures"
    else:
        near = near_text_groups(_all_texts(parts), exact, progress)
        progress(len(numbering.part_of))
    yield from duplicate_findings(exact, near, numbering, labels, noun)


def _all_thumbnails(
    parts: dict[str, Examples], progress: Callable[[int], None]
) -> tuple[np.ndarray, np.ndarray]:
    """Returns thumbnails of all parts, and which of them could be decoded."""
    read, before = [], 0
    for examples in parts.values():
        read.append(
            read_thumbnails(examples, lambda done, start=before: progress(start + done))
        )
        before += len(examples)
    progress(before)  # The last files may have been damaged.
    thumbnails, whole = zip(*read, strict=True)
    return np.concatenate(thumbnails), np.concatenate(whole)


def _all_texts(parts: dict[str, Examples]) -> list[str]:
    """Returns the texts of all parts, both of a pair as one."""
    return [
        "\n".join(text.decode() for text in np.ravel(row))
        for examples in parts.values()
        for texts, _ in examples.dataset(_TEXTS_AT_ONCE)
        for row in texts.numpy()
    ]


def _picture_findings(
    thumbnails: np.ndarray, whole: np.ndarray, numbering: Numbering
) -> Iterator[Finding]:
    damaged = numbering.places(np.flatnonzero(~whole)[:, np.newaxis])
    if damaged:
        yield finding_of_places(
            "damaged pixels",
            "error",
            "files that cannot be decoded, though their headers are sound: training "
            "would stop at them.",
            damaged,
            "Repair or remove them.",
        )
    blank = np.flatnonzero(whole & (contrasts(thumbnails) < LEAST_CONTRAST))
    if len(blank):
        yield finding_of_places(
            "blank pictures",
            "warning",
            "pictures of one colour, or nearly so.",
            numbering.places(blank[:, np.newaxis]),
            "Look at them: they may be failed scans or placeholders of a download.",
        )
