"""The verb `domain_gap`, and the `DomainGap` that it returns."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tlkeras._validation import check_choice, check_int
from tlkeras.description import Described, Description
from tlkeras.features.extraction import reading_for
from tlkeras.features.reading import (
    as_examples,
    choose_head,
    last_layer_of,
    read_by,
)
from tlkeras.inputs.examples import reading_of
from tlkeras.metrics.two_samples import TwoSamples, compare
from tlkeras.problem import check_names, own_problem, problem_of

# What is said to differ: both tests together are wrong less often than this.
_LEVEL = 0.05
# Of a class with fewer examples in either set nothing is said.
_LEAST = 8
_NAMED = 5
_ALL = "all"


@dataclass(frozen=True, eq=False, repr=False)
class DomainGap(Described):
    """What `domain_gap` found; prints itself, in a notebook as HTML.

    Attributes:
        accuracy: Of a linear classifier that tells the two sets apart by their
            features, held out: 0.5 is chance, 1.0 that no example is taken for one of
            the other set.
        p: The p-value: how often two sets of one distribution would differ as much. At
            least 0.004.
        a_distance: The proxy A-distance, from 0 to 2.
        mmd: The squared maximum mean discrepancy, about 0 where there is no difference.
        classes: From each class that both sets have enough labels of to its
            `TwoSamples`; empty without labels.
        foreign: int, positions in the second set, those that are least like the first
            one first; of a large set, of the examples that were drawn.
        names: What these are called: paths, texts or places.
        sizes: How many examples of each set were looked at.
        whole: The `TwoSamples` of all of them: both tests with their own p-values.
    """

    accuracy: float
    p: float
    a_distance: float
    mmd: float
    classes: Mapping[str, TwoSamples]
    foreign: np.ndarray
    names: tuple[str, ...]
    sizes: tuple[int, int]
    whole: TwoSamples = field(repr=False)

    @property
    def differs(self) -> bool:
        """Whether the sets differ by more than chance: `p` below 0.05."""
        return self.p < _LEVEL

    @property
    def table(self) -> Any:
        """A `pandas.DataFrame` with a row for all examples, and one for each class."""
        import pandas as pd

        return pd.DataFrame(
            {
                "accuracy": found.accuracy,
                "p": found.p,
                "a_distance": found.a_distance,
                "mmd": found.mmd,
            }
            for found in self._rows.values()
        ).set_axis(list(self._rows), axis=0)

    def to_dict(self) -> dict[str, Any]:
        """Returns the figures as plain values that `json.dumps` takes.

        Returns:
            Dictionary with `"sizes"`, `"differs"`, and `"rows"`, from `"all"` and each
            class to its figures.
        """
        rows = self.table.to_dict("index")
        return {"sizes": list(self.sizes), "differs": self.differs, "rows": rows}

    def plot(self, ax: Any = None) -> Any:
        """Draws how well the sets can be told apart, in all and by class.

        Args:
            ax: A matplotlib axes to draw on; made if `None`.

        Returns:
            The `matplotlib.axes.Axes`.
        """
        from tlkeras.plots import plot_bars

        ax = plot_bars(
            {name: [found.accuracy] for name, found in self._rows.items()},
            ax,
            ylabel="accuracy of telling the sets apart",
        )
        ax.axhline(0.5, color="0.4", linestyle="--")
        return ax

    @property
    def _rows(self) -> dict[str, TwoSamples]:
        return {_ALL: self.whole, **self.classes}

    def _described(self) -> Description:
        verdict = "differ" if self.differs else "do not differ by more than chance"
        rows = [
            (
                name,
                f"{found.accuracy:.3f}",
                f"{found.p:.3f}",
                f"{found.a_distance:.2f}",
                f"{found.mmd:.4f}",
            )
            for name, found in self._rows.items()
        ]
        notes = ("accuracy of telling the sets apart: 0.5 is chance",)
        if self.differs:
            notes += (f"least like the first set: {', '.join(self.names[:_NAMED])}",)
        return Description(
            f"{self.sizes[0]} and {self.sizes[1]} examples {verdict}",
            ("", "accuracy", "p", "A-distance", "MMD"),
            tuple(rows),
            notes,
        )


def domain_gap(
    model: keras.Model,
    first: Any,
    second: Any,
    *,
    head: str | None = None,
    most: int = 1000,
    seed: int = 0,
    cache: str | Path | bool = "auto",
    verbose: Any = "auto",
) -> DomainGap:
    """Says how different two sets of examples are to a model.

    Are the test data like the training data, is what comes in after deployment still
    what the model was made for? The features that the head reads are compared: by a
    linear classifier that is to tell the sets apart, in cross-validation, and by the
    maximum mean discrepancy, which also sees differences of spread. A p-value says how
    often random halves of all examples would differ as much. A difference does not
    mean that the model is worse there; labels of some dozen examples tell that.

    Args:
        model: A functional `keras.Model`, such as a `TransferModel`, whose outputs come
            from a Dense layer.
        first: The one set, such as training data: examples as `model.classify` takes
            them, a dataset of `Splits`, or a tuple of arrays `(x, y)`.
        second: The other one, such as incoming data, the same. Where both have labels
            of classes, each class with at least 8 examples in both is compared, too.
        head: The head whose features are compared, of a model with several.
        most: How many examples of each set are looked at, at most; drawn by `seed`.
        seed: Seed of draws, folds and permutations.
        cache: Where to keep the features: `"auto"` or `"disk"` in the cache folder;
            `"memory"` or `False` nowhere; or a folder.
        verbose: `"auto"` or 1 for a progress bar, 0 for none.

    Returns:
        A `DomainGap` with `.p`, `.differs`, `.table` and `.plot()`.

    Raises:
        ValueError: If the model cannot take a set, or one has fewer than 8 examples.

    Example:

    >>> x = np.random.default_rng(0).integers(0, 256, (40, 32, 32, 1), "uint8")
    >>> model = tl.image_classifier("glyphnet", ["a", "b"])
    >>> gap = tl.domain_gap(model, x[:20], x[20:] // 2, cache=False, verbose=0)
    >>> gap.differs
    True

    Reference:
        Lopez-Paz and Oquab, Revisiting Classifier Two-Sample Tests (2017); Gretton et
        al., A Kernel Two-Sample Test (2012); Ben-David et al., Analysis of
        Representations for Domain Adaptation (2006); Rabanser et al., Failing Loudly:
        An Empirical Study of Methods for Detecting Dataset Shift (2019).
    """
    check_int("most", most, _LEAST)
    check_int("seed", seed, 0)
    check_choice("verbose", verbose, ("auto", 0, 1, 2))
    sets = {"first": first, "second": second}
    return gap_between(model, sets, head, most, seed, cache, verbose)


def gap_between(
    model: keras.Model,
    sets: Mapping[str, Any],
    head: str | None,
    most: int,
    seed: int,
    cache: str | Path | bool,
    verbose: Any,
) -> DomainGap:
    """Returns how different two sets are, which have names for messages.

    Args:
        model: As in `domain_gap`, like all but the next.
        sets: The first and the second one, by what they are called.
        head: The head.
        most: How many examples are looked at.
        seed: Seed of what is drawn.
        cache: Where features are kept.
        verbose: 0 for no progress bar.
    """
    if isinstance(model, keras.Sequential):
        raise ValueError(
            "`tl.domain_gap` takes a functional `keras.Model`: make one by "
            "`keras.Model(model.inputs, model.outputs)` and compile it with the loss. "
            "Received: a Sequential model."
        )
    problem = problem_of(model)
    if problem is None:
        raise ValueError(
            "What the model is for is not to be told: compile it with its loss, or use "
            "a model that tlkeras built."
        )
    head = choose_head(problem, head, "tl.domain_gap")
    last, output = last_layer_of(model, problem, head), problem.outputs[head]
    sides = [
        _Side.of(model, given, name, most, seed, problem, head)
        for name, given in sets.items()
    ]
    features = [
        read_by(model, last, side.examples, cache, verbose).astype("float64")
        for side in sides
    ]
    whole = compare(*features, seed)
    order = np.argsort(-whole.scores, kind="stable")
    return DomainGap(
        whole.accuracy,
        whole.p,
        whole.a_distance,
        whole.mmd,
        _by_class(sides, features, output, seed),
        sides[1].rows[order],
        _names(sides[1], order),
        (len(features[0]), len(features[1])),
        whole,
    )


def _by_class(
    sides: "list[_Side]", features: list[np.ndarray], output: Any, seed: int
) -> dict[str, TwoSamples]:
    """Compares each class that both sets have enough labels of."""
    if not output.is_exclusive or any(side.labels is None for side in sides):
        return {}
    numbers = [np.asarray(output.strata(side.labels)) for side in sides]
    found = {}
    for number, name in enumerate(output.class_names):
        some = [rows[of == number] for rows, of in zip(features, numbers, strict=True)]
        if min(map(len, some)) >= _LEAST:
            found[name] = compare(*some, seed)
    return found


def _names(side: "_Side", order: np.ndarray) -> tuple[str, ...]:
    given = side.examples.names(order)
    places = map(str, side.rows[order])
    return tuple(name or place for name, place in zip(given, places, strict=True))


@dataclass(frozen=True)
class _Side:
    """One of the sets: some of its examples.

    Attributes:
        examples: They.
        rows: Their positions in what was given.
        labels: Theirs of the head, `None` without.
    """

    examples: Any
    rows: np.ndarray
    labels: np.ndarray | None

    @classmethod
    def of(
        cls,
        model: keras.Model,
        given: Any,
        about: str,
        most: int,
        seed: int,
        problem: Any,
        head: str,
    ) -> "_Side":
        own = own_problem(model)
        if own is not None:
            check_names(own, given, about)
        examples, labels = labelled_examples(model, given, about, problem, head)
        if labels is not None and labels.dtype.kind not in "biuf":
            raise ValueError(
                f"Labels in `{about}` must be numbers here. `tl.from_arrays(x, y, "
                "class_names=model.class_names)` takes names; its `.train` will do. "
                f"Received: dtype {labels.dtype}."
            )
        if len(examples) < _LEAST:
            raise ValueError(
                f"`{about}` must have at least {_LEAST} examples, better 50: of fewer "
                f"nothing can be told. Received: {len(examples)}."
            )
        rows = np.random.default_rng(seed).permutation(len(examples))[:most]
        rows = np.sort(rows)
        some = None if labels is None else labels[rows]
        return cls(examples.select(rows), rows, some)


def labelled_examples(
    model: keras.Model, given: Any, about: str, problem: Any, head: str
) -> tuple[Any, np.ndarray | None]:
    """Returns `Examples`, and the labels of a head where they have some.

    Args:
        model: What they are for.
        given: As in `domain_gap`.
        about: What they are called.
        problem: What the model is for.
        head: The head.
    """
    if isinstance(given, tuple) and len(given) > 1 and isinstance(given[1], Mapping):
        examples, of_head = as_examples(model, given[0], about), given[1].get(head)
        if of_head is not None and len(of_head) != len(examples):
            raise ValueError(
                f"`{about}` must hold as many labels as examples. Received "
                f"{len(examples)} examples and {len(of_head)} labels of {head!r}."
            )
        return examples, None if of_head is None else np.asarray(of_head)
    if isinstance(given, tuple) and (reading := reading_for(given)) is not None:
        given = reading.dataset()
    is_data = hasattr(given, "cardinality") or isinstance(given, keras.utils.PyDataset)
    if is_data and reading_of(given) is None:
        raise ValueError(
            f"`{about}` must be examples as `model.classify` takes them, a tuple of "
            "arrays (x, y) or a dataset of `Splits`, such as `data.train`: examples "
            f"are read in any order. Received: {type(given).__name__}. Of a dataset of "
            "your own pass some batches as one array."
        )
    examples = as_examples(model, given, about)
    reading = reading_of(given)
    if reading is None:
        return examples, None
    own = problem if reading.problem is None else reading.problem
    labels = own.unpack(np.asarray(examples.labels))
    return examples, labels.get(head)
