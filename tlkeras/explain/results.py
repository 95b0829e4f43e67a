"""What an explanation says: numbers first, drawn on request."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tlkeras.explain import _html

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, eq=False, kw_only=True)
class _Explanation:
    """What explanations of pictures and texts have in common."""

    target: str | int
    index: int
    method: str
    probability: float | None
    output: float
    logit: float
    baseline: float | None = None
    gap: float | None = None
    steps: int | None = None

    @property
    def title(self) -> str:
        """The target and what the model gives it."""
        if self.probability is None:
            return f"output {self.target}: {self.output:.3g}"
        return f"{self.target} {self.probability:.2f}"

    def _path(self) -> str:
        if self.gap is None:
            return ""
        return (
            f", logit {self.baseline:.3g} -> {self.logit:.3g}, gap {self.gap:.1%} in "
            f"{self.steps} steps"
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class ImageExplanation(_Explanation):
    """Where in a picture the evidence for a class lies.

    Attributes:
        image: The pixels as the model reads them, `(height, width, channels)`.
        map: `(height, width)`, in units of the logit. Of Grad-CAM at least 0: evidence
            for the target. Of integrated gradients positive for, negative against it.
        target: The class, or of a regression the number of the output.
        index: The number of the output that `target` is.
        method: `"grad_cam"` or `"integrated_gradients"`.
        probability: The model's probability of the target; `None` of a regression.
        output: What the model puts out for the target.
        logit: What is explained: `output` before its softmax or sigmoid.
        layer: Of Grad-CAM, the layer whose feature map was read.
        baseline: Of integrated gradients, the logit of the baseline.
        gap: Of integrated gradients, how far `map.sum()` is from `logit - baseline`,
            as a share of the logit's range on the path between them.
        steps: Of integrated gradients, the points on the path.
    """

    image: np.ndarray
    map: np.ndarray
    layer: str | None = None

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draws the map over the picture; returns the axes."""
        from tlkeras.plots import plot_heat

        return plot_heat(self.image, self.map, ax, title=self.title)

    def __repr__(self) -> str:
        at = f" at {self.layer!r}" if self.layer else ""
        return f"<{self.title}, {self.method}{at}{self._path()}>"

    def _repr_html_(self) -> str:
        return _html.pictures([self])


@dataclass(frozen=True, eq=False, kw_only=True)
class TextExplanation(_Explanation):
    """What each word of a text does for a class.

    Attributes:
        text: The text, or the pair of texts.
        words: Its words; those that the model does not read, because the text is too
            long, are left out.
        scores: For each word its share of `logit - baseline`: positive for the target,
            negative against it.
        parts: For each word 0, or 1 in the second text of a pair.
        tokens: The tokens that the words were read as.
        token_scores: For each token its score; those of a word sum to the word's.
        truncated: Whether the text is longer than the model reads.
        target: The class, or of a regression the number of the output.
        index: The number of the output that `target` is.
        method: `"integrated_gradients"`.
        probability: The model's probability of the target; `None` of a regression.
        output: What the model puts out for the target.
        logit: What is explained: `output` before its softmax or sigmoid.
        baseline: The logit of the text whose tokens all are padding.
        gap: How far the scores' sum is from `logit - baseline`, as a share of the
            logit's range on the path between them.
        steps: The points on the path.
    """

    text: str | tuple[str, ...]
    words: tuple[str, ...]
    scores: np.ndarray
    parts: tuple[int, ...]
    tokens: tuple[str, ...]
    token_scores: np.ndarray
    truncated: bool = False

    def top(self, count: int = 5) -> list[tuple[str, float]]:
        """Returns the words of the largest scores, for or against, and the scores."""
        order = np.argsort(-np.abs(self.scores), kind="stable")[:count]
        return [(self.words[i], float(self.scores[i])) for i in order]

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draws the words, coloured by their scores; returns the axes."""
        from tlkeras.plots import plot_words

        return plot_words([(self.title, self.words, self.scores)], ax)

    def __repr__(self) -> str:
        words = ", ".join(f"{word} {score:+.2g}" for word, score in self.top(3))
        return f"<{self.title}, {words}{self._path()}>"

    def _repr_html_(self) -> str:
        return _html.texts([self])


class Explanations(Sequence):
    """Explanations in the order of their inputs: a list that can be drawn.

    Args:
        items: `ImageExplanation`s or `TextExplanation`s.
    """

    def __init__(self, items: Sequence[Any]):
        self._items = tuple(items)

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, place: Any) -> Any:
        found = self._items[place]
        return Explanations(found) if isinstance(place, slice) else found

    def __iter__(self) -> Iterator[Any]:
        return iter(self._items)

    def plot(self, ax: "Axes | None" = None, *, columns: int | None = None) -> "Axes":
        """Draws all of them: pictures in a grid, texts below one another.

        Args:
            ax: Axes to draw on; a new figure by default.
            columns: Pictures per row. By default as many as make the grid square.

        Returns:
            The axes.

        Raises:
            ValueError: If there are none.
        """
        from tlkeras.plots import plot_heats, plot_words

        if not self:
            raise ValueError("There are no explanations to draw: no input was given.")
        if isinstance(self[0], TextExplanation):
            return plot_words([(x.title, x.words, x.scores) for x in self], ax)
        triples = [(x.image, x.map, x.title) for x in self]
        return plot_heats(triples, ax, columns=columns)

    def __repr__(self) -> str:
        return "[" + ",\n ".join(map(repr, self)) + "]"

    def _repr_html_(self) -> str:
        if not self:
            return "<p>No explanations.</p>"
        texts = isinstance(self[0], TextExplanation)
        return _html.texts(self) if texts else _html.pictures(self)
