"""`find_suspects` and the `Suspects` that it returns."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from tlkeras._validation import check_choice, check_int
from tlkeras.data import Splits
from tlkeras.data.splitting import PARTS
from tlkeras.description import Described, Description, Descriptions
from tlkeras.features import extract_features
from tlkeras.findings import Place, places_of
from tlkeras.freezing import find_backbone
from tlkeras.inputs.examples import Examples, examples_of
from tlkeras.inputs.grouping import components
from tlkeras.suspects.duplicates import find_duplicates
from tlkeras.suspects.pooling import pooled

_SHOWN = 10


class LabelSuspect(NamedTuple):
    """An example whose label is likely wrong.

    Attributes:
        place: Where it is.
        given: Its label.
        likely: The label that the other examples speak for.
        score: From 0 (surely wrong) to 1 (surely right): half of 1 plus the
            probability of the given label less that of the likeliest other one. For
            regression: the share of examples that are as far from their prediction.
    """

    place: Place
    given: str
    likely: str
    score: float


class Duplicate(NamedTuple):
    """Two examples that are likely the same.

    Attributes:
        first: Where one is.
        second: Where the other is.
        similarity: Up to 1.
        same_label: Whether their labels are equal.
    """

    first: Place
    second: Place
    similarity: float
    same_label: bool

    @property
    def is_leak(self) -> bool:
        """Whether they are in different parts."""
        return self.first.part != self.second.part


@dataclass(frozen=True, eq=False, repr=False)
class Suspects(Described):
    """What `find_suspects` found; prints itself, in a notebook as HTML.

    Attributes:
        label_errors: `LabelSuspect`s of all parts, the most suspicious first.
        duplicates: `Duplicate`s, the most similar first.
        data: The `Splits`.
    """

    label_errors: tuple[LabelSuspect, ...]
    duplicates: tuple[Duplicate, ...]
    data: Splits = field(repr=False)

    @property
    def leaks(self) -> tuple[Duplicate, ...]:
        """The duplicates across parts: what is trained on and tested on, say."""
        return tuple(pair for pair in self.duplicates if pair.is_leak)

    def _described(self) -> Descriptions:
        return Descriptions("", tuple(self._tables()))

    def _tables(self) -> Iterator[Description]:
        rows = [
            (str(x.place), x.given, x.likely, f"{x.score:.3f}")
            for x in self.label_errors
        ]
        header = ("example", "label", "likely", "score")
        yield _first_rows("labels that may be wrong", header, rows)
        rows = [
            (
                str(x.first),
                str(x.second),
                f"{x.similarity:.3f}",
                "" if x.same_label else "labels differ",
            )
            for x in sorted(self.duplicates, key=lambda x: not x.is_leak)
        ]
        title = f"pairs that may be the same, {len(self.leaks)} across parts"
        yield _first_rows(title, ("example", "the same as", "similarity", ""), rows)

    def plot(self, kind: str = "label_errors", n: int = 12) -> Any:
        """Draws the examples that are most suspicious.

        Args:
            kind: `"label_errors"`, or `"duplicates"`: pairs side by side, those across
                parts first.
            n: At most how many examples or pairs.

        Returns:
            The `matplotlib.axes.Axes` of the grid.

        Raises:
            ValueError: If there are none, or the data cannot be drawn, as texts.
        """
        check_choice("kind", kind, ("label_errors", "duplicates"))
        check_int("n", n, 1)
        if not getattr(self, kind):
            raise ValueError(f"There is nothing to draw: no {kind} were found.")
        if kind == "label_errors":
            shown = [(x.place, f"{x.given}: {x.likely}?") for x in self.label_errors]
            shown, columns = shown[:n], None
        else:
            pairs = sorted(self.duplicates, key=lambda x: not x.is_leak)[:n]
            both = [place for pair in pairs for place in (pair.first, pair.second)]
            shown, columns = [(place, str(place)) for place in both], 4
        places, titles = zip(*shown, strict=True)
        input = self.data.problem.input
        return input.draw_grid(self._inputs(places), titles, columns)

    def _inputs(self, places: Sequence[Place]) -> np.ndarray:
        """Returns the inputs at some places, as one batch."""
        found = {}
        for part, examples in _parts_of(self.data).items():
            wanted = np.unique([x.position for x in places if x.part == part])
            if len(wanted):
                chosen = examples.select(wanted.astype(int))
                inputs, _ = next(iter(chosen.dataset(len(wanted))))
                keys = [(part, int(i)) for i in wanted]
                found.update(zip(keys, inputs.numpy(), strict=True))
        return np.stack([found[x.part, x.position] for x in places])


def _first_rows(title: str, header: tuple[str, ...], rows: list) -> Description:
    more = len(rows) - _SHOWN
    notes = (f"and {more} more",) if more > 0 else ()
    return Description(f"{len(rows)} {title}", header, tuple(rows[:_SHOWN]), notes)


def find_suspects(
    model: keras.Model,
    data: Splits,
    *,
    cache: str | Path | bool = "auto",
    verbose: Any = "auto",
) -> Suspects:
    """Finds labels that are likely wrong, and examples that are there twice.

    A frozen backbone knows more than pixels tell. Each example's label is compared
    with what a linear classifier on the features, trained on the other examples,
    makes of it: where another class is likelier, the label is suspected (confident
    learning). And examples
    that are alike in features and in pixels (or letters) are likely the same, such as
    resized, cropped, mirrored or recoloured copies, which `Splits.check` may not find.

    These are suspects: look at them before you change anything. Features are kept in
    the cache, where `fit_head` finds them.

    Args:
        model: A model as its builder made it (`tl.image_classifier(...)`); its head is
            not used. It need not be trained: the better the backbone, the better the
            suspicions.
        data: `Splits`. All parts are looked at, together.
        cache: Where to keep the features: `"auto"` or `"disk"` in the cache folder;
            `"memory"` or `False` nowhere; or a folder.
        verbose: 0 for no progress bar.

    Returns:
        `Suspects` with `.label_errors` and `.duplicates`, ranked, and `.plot()`.

    Raises:
        ValueError: If `data` is no `Splits`, `model` has no backbone, or the features
            do not fit.

    Example:
    >>> x = np.random.default_rng(0).integers(0, 256, (60, 32, 32, 1), "uint8")
    >>> data = tl.from_arrays(x, np.arange(60) % 2)
    >>> model = tl.image_classifier("glyphnet", data.class_names)
    >>> suspects = tl.find_suspects(model, data, cache=False, verbose=0)
    >>> suspects.leaks
    ()

    Reference:
        Northcutt, Jiang and Chuang, Confident learning: estimating uncertainty in
        dataset labels (2021). Barz and Denzler, Do we train on test data? Purging
        CIFAR of near-duplicates (2020).
    """
    if not isinstance(data, Splits):
        raise ValueError(
            "`data` must be `Splits`, as `tl.image_folder` and `tl.from_arrays` make "
            f"them. Received: {type(data).__name__}."
        )
    find_backbone(model)
    parts = _parts_of(data)
    features = np.concatenate(
        [
            pooled(extract_features(model, dataset, cache=cache, verbose=verbose))
            for dataset in (getattr(data, part) for part in parts)
        ]
    )
    labels = np.concatenate([examples.labels for examples in parts.values()])
    problem = data.problem
    pairs, similarities = find_duplicates(features, problem.input.likeness(parts))
    groups = components(len(labels), pairs)
    wrong = problem.output.wrong_labels(features, labels, groups)
    places = [
        place
        for part, examples in parts.items()
        for place in places_of(part, examples, range(len(examples)))
    ]
    return Suspects(
        tuple(LabelSuspect(places[x.row], *x[1:]) for x in wrong),
        tuple(
            Duplicate(
                places[i], places[j], float(s), bool(np.all(labels[i] == labels[j]))
            )
            for (i, j), s in zip(pairs, similarities, strict=True)
        ),
        data,
    )


def _parts_of(data: Splits) -> dict[str, Examples]:
    found = {part: examples_of(getattr(data, part)) for part in PARTS}
    return {part: examples for part, examples in found.items() if examples is not None}
