"""Explanations of texts: integrated gradients of the tokens, summed over words."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tlkeras.inputs.explaining import Choose, Explainer, Explanation, Settings
from tlkeras.inputs.integrated_gradients import Integral, integrate
from tlkeras.inputs.texts.token_words import Tokens, baseline_id, read_text
from tlkeras.inputs.texts.words_html import Row, words_html

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, eq=False, kw_only=True)
class TextExplanation(Explanation):
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

    @property
    def values(self) -> np.ndarray:
        return self.scores

    def top(self, count: int = 5) -> list[tuple[str, float]]:
        """Returns the words of the largest scores, for or against, and the scores.

        Args:
            count: How many words.
        """
        order = np.argsort(-np.abs(self.scores), kind="stable")[:count]
        return [(self.words[i], float(self.scores[i])) for i in order]

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draws the words, coloured by their scores.

        Args:
            ax: A matplotlib axes to draw on; made if `None`.

        Returns:
            The axes.
        """
        return self.plot_all([self], ax)

    @staticmethod
    def plot_all(
        found: Sequence["TextExplanation"],
        ax: "Axes | None" = None,
        columns: int | None = None,
    ) -> "Axes":
        from tlkeras.plots import plot_words

        return plot_words([(one.title, one.words, one.scores) for one in found], ax)

    @staticmethod
    def html_of_all(found: Sequence["TextExplanation"]) -> str:
        return words_html(
            [
                Row(x.title, x.words, x.scores, x.parts, x.top(), x.truncated)
                for x in found
            ]
        )

    def __repr__(self) -> str:
        words = ", ".join(f"{word} {score:+.2g}" for word, score in self.top(3))
        return f"<{self.title}, {words}{self._path()}>"


class TextExplainer(Explainer):
    """Integrated gradients from a text without its tokens to the text.

    Args:
        probe: As in `Explainer`.
        settings: As in `Explainer`.
        its_input: The model's `Texts`.

    Raises:
        ValueError: If the settings are of pictures.
    """

    method = "integrated_gradients"

    def __init__(self, probe: Any, settings: Settings, its_input: Any):
        super().__init__(probe, settings)
        self._input, self._preprocessor = its_input, its_input.preprocessor
        if settings.method == "grad_cam" or settings.layer is not None:
            raise ValueError(
                "Grad-CAM is for pictures: texts have no feature map. Use "
                "method='integrated_gradients' without `layer`."
            )

    def read(self, inputs: Any) -> list[Any]:
        return list(self._input.read(inputs))

    def explain(self, ready: list[Any], choose: Choose) -> list[TextExplanation]:
        texts = [_plain(text) for text in ready]
        tokens = [read_text(self._preprocessor, text) for text in texts]
        targets, facts = choose([self._in_order(one.inputs) for one in tokens])
        tokenizer = self._preprocessor.tokenizer
        nothing = baseline_id(tokenizer, self.settings.baseline)
        slot = embeddings(self.probe)
        function = self.probe.gradient_function(slot)
        found = []
        for text, read, target, about in zip(
            texts, tokens, targets, facts, strict=True
        ):
            integral = self._integral(function, slot, read, target, nothing)
            scores = integral.attributions.sum(axis=-1)[read.places]
            found.append(
                TextExplanation(
                    **about,
                    method=self.method,
                    text=text,
                    words=tuple(read.words),
                    scores=np.bincount(read.word_of, scores, len(read.words)),
                    parts=tuple(read.part_of),
                    tokens=tuple(_token_names(tokenizer, read)),
                    token_scores=scores,
                    truncated=read.truncated,
                    baseline=integral.start,
                    gap=integral.gap,
                    steps=integral.steps,
                )
            )
        return found

    def _integral(
        self, function: Any, slot: int, read: Tokens, target: int, nothing: int
    ) -> Integral:
        """Integrates from the text with `nothing` in place of each of its tokens."""
        blank = read.inputs["token_ids"].copy()
        blank[0, read.places] = nothing
        start, end = (
            np.asarray(self.probe.at(slot, self._in_order(inputs)))[0]
            for inputs in ({**read.inputs, "token_ids": blank}, read.inputs)
        )
        choice = np.eye(self.probe.units, dtype="float32")[target]
        return integrate(
            _at_embeddings(function, choice, self._in_order(read.inputs)),
            start,
            end,
            self.settings.steps,
            self.settings.tolerance,
            self.settings.batch_size,
        )

    def _in_order(self, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        """Returns inputs by name in the order of the model's graph."""
        return [inputs[name] for name in self.probe.input_names]


def embeddings(probe: Any) -> int:
    """Returns the slot of the tokens' embeddings.

    Raises:
        ValueError: If no single layer with weights reads the tokens.
    """
    names = probe.input_names
    if "token_ids" in names:
        tokens = probe.graph.inputs[names.index("token_ids")]
        found = [
            call.outputs[0]
            for call in probe.graph.between(probe.graph.inputs, probe.output)
            if tokens in call.inputs and getattr(call.operation, "weights", ())
        ]
        if len(found) == 1:
            return found[0]
    raise ValueError(
        "Texts are explained by the layer that embeds their tokens: the model must "
        "have an input 'token_ids' that a single layer with weights reads. "
        f"{probe.model.name!r} has the inputs {names}."
    )


def _at_embeddings(function: Any, choice: np.ndarray, inputs: list[np.ndarray]) -> Any:
    def at(points):
        rows = np.broadcast_to(choice, (len(points), len(choice)))
        same = [np.repeat(each, len(points), axis=0) for each in inputs]
        values, gradients = function([points, rows, *same])
        return np.asarray(values), np.asarray(gradients)

    return at


def _token_names(tokenizer: Any, read: Tokens) -> list[str]:
    ids = read.inputs["token_ids"][0, read.places]
    # What a byte-pair vocabulary has no letter for has the id -1.
    return [str(tokenizer.id_to_token(int(i))) if i >= 0 else "?" for i in ids]


def _plain(text: Any) -> str | tuple[str, ...]:
    if isinstance(text, bytes):
        return text.decode(errors="replace")
    if isinstance(text, (list, tuple, np.ndarray)):
        return tuple(str(_plain(part)) for part in text)
    return text
