"""The verb `suggest_labels`, and the `LabelSuggestions` that it returns."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tlkeras._validation import check_choice, check_int
from tlkeras.description import Described, Description
from tlkeras.features.reading import (
    as_examples,
    choose_head,
    last_layer_of,
    read_by,
)
from tlkeras.few_labels.choosing import doubtful, typical
from tlkeras.problem import problem_of

METHODS = ("auto", "typical", "doubtful")

_SHOWN = 10
# Labels of each class below which typical examples teach more than doubtful ones:
# measured, docs/few_labels.md.
_LEAST_LABELS = 5


@dataclass(frozen=True, eq=False, repr=False)
class LabelSuggestions(Described):
    """What `suggest_labels` found; prints itself, in a notebook as HTML.

    Attributes:
        indices: int `(n,)`, places in what was given, the first to label first.
        scores: float `(n,)`, from 0 to 1: how doubtful the model's answer is; where
            outputs do not tell, NaN.
        reasons: Why each was chosen, in words.
        names: What each is called: its path, the text, or its place.
        method: `"typical"` or `"doubtful"`.
        examples: All `Examples` that there were to choose from.
        input: The `Input` that they are of.
        places: Theirs on paper, float `(examples, 2)`.
        uncertainty: Of all of them, as `scores`; `None` where outputs do not tell.
    """

    indices: np.ndarray
    scores: np.ndarray
    reasons: tuple[str, ...]
    names: tuple[str, ...]
    method: str
    examples: Any = field(repr=False)
    input: Any = field(repr=False)
    places: np.ndarray = field(repr=False)
    uncertainty: np.ndarray | None = field(repr=False)

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def table(self) -> Any:
        """A `pandas.DataFrame` with a row for each: index, example, score, reason."""
        import pandas as pd

        return pd.DataFrame(
            {
                "index": self.indices,
                "example": self.names,
                "score": self.scores,
                "reason": self.reasons,
            }
        )

    def show(self, n: int = 9) -> Any:
        """Draws the first pictures to label, or lists the first texts.

        Args:
            n: At most how many.

        Returns:
            The `matplotlib.axes.Axes` of a grid of pictures; for texts a table that
            prints itself, in a notebook as HTML.

        Raises:
            UnsupportedError: If the kind of input cannot be shown.
        """
        rows = self.indices[: check_int("n", n, 1)]
        increasing, order = np.unique(rows, return_inverse=True)
        some = self.examples.select(increasing)
        inputs, _ = next(iter(some.dataset(batch_size=len(rows))))
        about = f"{len(rows)} of {len(self)} {self.input.nouns} to label"
        titles = self.reasons[: len(rows)]
        return self.input.show(np.asarray(inputs)[order], titles, about)

    def plot(self, ax: Any = None) -> Any:
        """Draws all examples in two dimensions, with rings around those to label.

        Args:
            ax: A matplotlib axes to draw on; made if `None`.

        Returns:
            The `matplotlib.axes.Axes`.
        """
        from tlkeras.plots import plot_places

        return plot_places(
            self.places,
            self.indices,
            self.uncertainty,
            ax,
            label="to label",
            shade_label="doubt",
        )

    def _described(self) -> Description:
        cells = zip(self.names, self.scores, self.reasons, strict=True)
        rows = [
            (name, "" if np.isnan(score) else f"{score:.2f}", reason)
            for name, score, reason in cells
        ]
        more = len(rows) - _SHOWN
        return Description(
            f"{len(self)} of {len(self.examples)} {self.input.nouns} to label next, "
            f"the {self.method} ones",
            ("example", "score", "reason"),
            tuple(rows[:_SHOWN]),
            (f"and {more} more",) if more > 0 else (),
        )


def suggest_labels(
    model: keras.Model,
    unlabelled: Any,
    n: int,
    *,
    labelled: Any = None,
    head: str | None = None,
    method: str = "auto",
    seed: int = 0,
    cache: str | Path | bool = "auto",
    verbose: Any = "auto",
) -> LabelSuggestions:
    """Says which examples to label next, so that a model gains most of it.

    Where next to nothing is known, typical examples teach most: of each of the largest
    clusters of features the one in the densest place. A trained model gains more of
    those that it is in doubt about, and of them not the same ones twice: of ten times
    as many as are wanted as many clusters are made, and the example in the middle of
    each is taken. Numbers do not tell how sure they are: of these, typical ones.

    Label them, train again on all that is labelled, and ask again: two or three rounds
    of a few dozen are better than one. Features are kept in the cache, so that a round
    costs seconds.

    Args:
        model: A functional `keras.Model`, such as a `TransferModel`, whose outputs come
            from a Dense layer. Before anything is labelled: as it was built.
        unlabelled: Examples as `model.classify` takes them: paths, arrays or texts; or
            a dataset of `Splits`, whose labels are not looked at.
        n: How many to label, at least 1.
        labelled: Examples that have labels already, the same: where they lie no more
            typical ones are needed. `None`: none, or not at hand.
        head: The head whose labels are asked for, of a model with several.
        method: `"typical"`, `"doubtful"`, or `"auto"`: typical ones where no fit verb
            has trained the model, or `labelled` has fewer than 5 for each class.
        seed: Seed of the clusters.
        cache: Where to keep the features: `"auto"` or `"disk"` in the cache folder;
            `"memory"` or `False` nowhere; or a folder.
        verbose: `"auto"` or 1 for a progress bar, 0 for none.

    Returns:
        `LabelSuggestions` with `.indices` into `unlabelled`, `.table`, `.show()` and
        `.plot()`. The same call gives the same ones.

    Raises:
        UnsupportedError: If `method="doubtful"` and the head gives numbers.
        ValueError: If there are fewer than `n` examples, or the model cannot take them.

    Example:

    >>> x = np.random.default_rng(0).integers(0, 256, (30, 32, 32, 1), "uint8")
    >>> model = tl.image_classifier("glyphnet", ["a", "b"])
    >>> found = tl.suggest_labels(model, x, 4, cache=False, verbose=0)
    >>> len(found.indices), found.method
    (4, 'typical')

    Reference:
        Hacohen, Dekel and Weinshall, Active Learning on a Budget: Opposite Strategies
        Suit High and Low Budgets (2022): TypiClust; Zhdanov, Diverse mini-batch Active
        Learning (2019).
    """
    check_choice("method", method, METHODS)
    problem = problem_of(model)
    if problem is None:
        raise ValueError(
            "What `model` is for is not to be told: compile it with its loss, or use a "
            f"model that tlkeras built. Received: {type(model).__name__}."
        )
    head = choose_head(problem, head, "tl.suggest_labels")
    output, last = problem.outputs[head], last_layer_of(model, problem, head)
    examples = as_examples(model, unlabelled, "unlabelled")
    if check_int("n", n, 1) > len(examples):
        raise ValueError(
            f"`n` must be at most the number of examples, {len(examples)}. Received: "
            f"n={n}."
        )
    known = None if labelled is None else as_examples(model, labelled, "labelled")
    features = read_by(model, last, examples, cache, verbose)
    logits = last.logits(features)
    doubts = output.uncertainty(logits)
    if method == "auto":
        enough = _LEAST_LABELS * len(output.class_names or ())
        is_cold = known is not None and len(known) < enough
        cold = doubts is None or is_cold or not _is_trained(model)
        method = "typical" if cold else "doubtful"
    if method == "doubtful" and doubts is None:
        raise output.unsupported(f"tl.suggest_labels({method=})", "uncertainty")
    if method == "typical":
        before = features[:0]
        if known is not None:
            before = read_by(model, last, known, cache, verbose)
        vectors = np.concatenate([features, before])
        chosen = typical(vectors, n, np.arange(len(vectors)) >= len(features), seed)
        reasons = ["typical of many"] * n
    else:
        chosen = doubtful(features, doubts, n, seed)
        reasons = output.between(logits[chosen])
    return LabelSuggestions(
        chosen,
        np.full(n, np.nan) if doubts is None else doubts[chosen].astype("float64"),
        tuple(reasons),
        tuple(examples.names(chosen)),
        method,
        examples,
        problem.input,
        _on_paper(features),
        doubts,
    )


def _is_trained(model: keras.Model) -> bool:
    """Whether a fit verb has trained the model; of others it is not known."""
    record = getattr(model, "record", None)
    return record is None or bool(record.runs)


def _on_paper(features: np.ndarray) -> np.ndarray:
    """Returns the first two principal components, float `(n, 2)`."""
    from sklearn.decomposition import PCA

    count = min(2, *features.shape)
    places = PCA(count, svd_solver="randomized", random_state=0).fit_transform(features)
    return np.pad(places, ((0, 0), (0, 2 - count)))
