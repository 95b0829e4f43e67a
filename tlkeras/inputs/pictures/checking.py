"""What is wrong with pictures: damaged, blank, small, too long or nearly the same."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from tlkeras.findings import (
    Finding,
    Numbering,
    finding_of_places,
    places_of,
)
from tlkeras.inputs.examples import Examples
from tlkeras.inputs.grouping import Group, first_of_its_kind, joined
from tlkeras.inputs.pictures.files import ImageFiles
from tlkeras.inputs.pictures.geometry import upright_sizes
from tlkeras.inputs.pictures.thumbnails import (
    LEAST_CONTRAST,
    contrasts,
    near_pairs,
    read_thumbnails,
)

# A side that is enlarged by more than this looks blurred.
_ENLARGED = 2.0

# A picture of which the crop to the model's aspect ratio keeps less is not judged by
# what it shows.
_KEPT = 1 / 3


def check_pictures(
    parts: dict[str, Examples],
    exact: Sequence[Group],
    numbering: Numbering,
    progress: Callable[[int], None],
) -> tuple[list[Finding], list[Group]]:
    """Reads every picture once, small, and tells what is wrong with them.

    Args:
        parts: The examples of each part.
        exact: Groups of the same pictures.
        numbering: The examples' numbers.
        progress: Called with the number of pictures that are done.

    Returns:
        The findings, and groups of pictures that look the same.
    """
    thumbnails, whole = _all_thumbnails(parts, progress)
    findings = [
        *_size_findings(parts),
        *_thumbnail_findings(thumbnails, whole, numbering),
    ]
    return findings, _near_groups(thumbnails, whole, exact)


def _thumbnail_findings(
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


def _near_groups(
    thumbnails: np.ndarray, whole: np.ndarray, exact: Sequence[Group]
) -> list[Group]:
    """Finds pictures that look the same: resized, or saved in another quality.

    Args:
        thumbnails: Of all parts, in the order of `Numbering`.
        whole: Which of them could be decoded.
        exact: Groups of the same pictures; only one of each group is compared.

    Returns:
        Groups of numbers, each with at least two different files.
    """
    chosen = whole & (contrasts(thumbnails) >= LEAST_CONTRAST)
    chosen &= first_of_its_kind(len(thumbnails), exact)
    rows = np.flatnonzero(chosen)
    return joined(len(thumbnails), rows[near_pairs(thumbnails[rows])], exact)


def _size_findings(parts: dict[str, Examples]) -> Iterator[Finding]:
    """Yields what headers tell: pictures that are too small, or too long."""
    small, long = [], []
    for part, examples in parts.items():
        if not isinstance(examples, ImageFiles):
            continue
        sides = upright_sizes(examples.headers)
        scale = sides / np.array(examples.image_size)
        # The shorter side, compared with its target, is the one that fills it; of
        # what is padded it is the longer one.
        least, most = scale.min(axis=1), scale.max(axis=1)
        filling = most if examples.fit == "pad" else least
        is_long = (least / most < _KEPT) & (examples.fit == "crop")
        for found, rows in ((small, 1 / filling > _ENLARGED), (long, is_long)):
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
            "Cut out what matters, choose an `image_size` of (height, width) like "
            "them, or keep all of them with `fit='pad'`.",
        )
