"""The verb `sanity_check`: do explanations depend on what the model has learnt?"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from tlkeras import depth
from tlkeras._validation import check_int, check_number
from tlkeras.description import aligned
from tlkeras.explain.explaining import Explaining
from tlkeras.freezing import find_backbone
from tlkeras.inputs.explaining import Settings

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# What SSIM looks at, at most.
_WINDOW = 11
_STEPS = 32


@dataclass(frozen=True, eq=False)
class SanityCheck:
    """How like explanations stay to themselves while weights are randomised.

    Attributes:
        method: What was checked.
        stages: What was randomised, one after the other and each on top of those
            before: the head first, the lowest block of the backbone last.
        rank_correlation: Spearman's rank correlation of each explanation with that of
            the trained model, `(stages, inputs)`; 0 where the new one is constant.
        ssim: Structural similarity of the same, `(stages, inputs)`; `None` of texts.
        threshold: What the last mean rank correlation has to be below, whatever its
            sign.
    """

    method: str
    stages: tuple[str, ...]
    rank_correlation: np.ndarray
    ssim: np.ndarray | None
    threshold: float

    @property
    def similarities(self) -> list[dict[str, Any]]:
        """For each stage its name and the means over the inputs."""
        rows = []
        for number, name in enumerate(self.stages):
            row = {
                "randomised": name,
                "rank_correlation": float(self.rank_correlation[number].mean()),
            }
            if self.ssim is not None:
                row["ssim"] = float(self.ssim[number].mean())
            rows.append(row)
        return rows

    @property
    def passed(self) -> bool:
        """Whether nothing much is left of the explanations without what was learnt."""
        return abs(self.similarities[-1]["rank_correlation"]) < self.threshold

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draws the similarities by depth.

        Args:
            ax: A matplotlib axes to draw on; made if `None`.

        Returns:
            The axes.
        """
        from tlkeras.plots import plot_similarities

        lines = {"rank correlation": self.rank_correlation}
        if self.ssim is not None:
            lines["SSIM"] = self.ssim
        verdict = "passed" if self.passed else "failed"
        return plot_similarities(
            self.stages,
            lines,
            ax,
            threshold=self.threshold,
            title=f"{self.method}: sanity check {verdict}",
        )

    def __str__(self) -> str:
        verdict = "passed" if self.passed else "FAILED"
        measures = [key for key in self.similarities[0] if key != "randomised"]
        cells = [
            (f"{'+ ' * (number > 0)}{row['randomised']}",)
            + tuple(f"{row[key]:.2f}" for key in measures)
            for number, row in enumerate(self.similarities)
        ]
        lines = [
            f"Sanity check of {self.method} on {self.rank_correlation.shape[1]} "
            f"input(s): {verdict}",
            *aligned([("randomised", *measures), *cells], least=16),
        ]
        if not self.passed:
            lines.append(
                "The explanations hardly change when all that was learnt is destroyed: "
                "they show the input, not the model. Do not rely on them."
            )
        return "\n".join(lines)

    __repr__ = __str__


def sanity_check(
    model: keras.Model,
    inputs: Any,
    *,
    method: str | Callable[[keras.Model, Any], Sequence[np.ndarray]] = "auto",
    target: str | int | Sequence[str | int] | None = None,
    head: str | None = None,
    layer: str | None = None,
    stages: int = 6,
    threshold: float = 0.5,
    seed: int = 0,
) -> SanityCheck:
    """Checks that explanations depend on the model's weights.

    Some methods draw convincing maps that hardly depend on the model: they find edges.
    So weights are randomised from the output to the input, stage by stage: the head,
    then the backbone's blocks from the top. Each time the same inputs are explained
    again, for the same targets. An explanation of what the model has learnt must not
    outlive it.

    A weight is randomised by shuffling its values: it keeps their distribution, so that
    signals neither vanish nor explode. The model's weights are put back afterwards, bit
    for bit, also where something fails.

    Args:
        model: A functional `keras.Model` with outputs `(batch, units)`; of texts one
            that tlkeras made. With a nested backbone its blocks are the stages,
            otherwise its own.
        inputs: Pictures, texts, rows or windows of series, as `model.classify` takes
            them. Around ten give a stable mean.
        method: `"grad_cam"` (pictures), `"integrated_gradients"`, or `"auto"`: the
            first where the model has a feature map. Or a function of a model and inputs
            (raw pixels, or texts) that returns an array for each input, to check a
            method of your own.
        target: What is explained: the class, by name or number; of a regression the
            number of the output; or a list with one for each input. By default the
            most probable class of the model as it is.
        head: Which head, of a model with several.
        layer: Of Grad-CAM, the layer whose feature map is read; by default the last one
            that does not pool.
        stages: At most how many, at least 2: the head and the backbone. Blocks are
            put together where there are more.
        threshold: The check is passed where at last, with all weights randomised, the
            mean rank correlation is below, whatever its sign. The paper looks at the
            curves and names no number: look at `.plot()`, too.
        seed: Seed of the shuffling.

    Returns:
        A `SanityCheck` with `.passed`, `.similarities` and `.plot()`; it prints as a
        table.

    Raises:
        ValueError: If an argument is not one of the above, or no explanation varies
            over its input, so that there is nothing to compare.

    Example:

    >>> model = tl.image_classifier("glyphnet", ["a", "b"])
    >>> pixels = np.random.default_rng(0).uniform(0, 255, (1, 32, 32, 1))
    >>> check = tl.sanity_check(model, pixels, stages=2)
    >>> [row["randomised"] for row in check.similarities][0]
    'head'

    Reference:
        Adebayo et al., Sanity Checks for Saliency Maps (2018).
    """
    check_int("stages", stages, 2)
    check_int("seed", seed, 0)
    check_number("threshold", threshold, above=0)
    run, model, name = _runner(model, inputs, method, target, head, layer)
    parts = _stages(model, stages)
    before, found = run(), []
    # An empty text has an empty map.
    varies = [i for i, map in enumerate(before) if map.size and np.ptp(map) > 0]
    if not varies:
        raise ValueError(
            "No explanation varies over its input: there is nothing to compare. Choose "
            "other inputs, another `target` or another `method`."
        )
    kept = [np.array(variable) for variable in model.variables]
    random = np.random.default_rng(seed)
    try:
        for _, variables in parts:
            for variable in variables:
                values = np.array(variable)
                variable.assign(
                    random.permutation(values.ravel()).reshape(values.shape)
                )
            found.append(run())
    finally:
        for variable, values in zip(model.variables, kept, strict=True):
            variable.assign(values)
    pairs = [[(before[i], after[i]) for i in varies] for after in found]
    is_map = before[varies[0]].ndim == 2
    return SanityCheck(
        name,
        tuple(stage for stage, _ in parts),
        np.array([[_rank_correlation(*pair) for pair in row] for row in pairs]),
        np.array([[_ssim(*pair) for pair in row] for row in pairs]) if is_map else None,
        float(threshold),
    )


def _runner(
    model: keras.Model, inputs: Any, method: Any, target: Any, head: Any, layer: Any
) -> tuple[Callable[[], list[np.ndarray]], keras.Model, str]:
    """Returns what explains the inputs, the model whose weights count, and a name."""
    own = callable(method)
    settings = Settings("auto" if own else method, layer)
    explaining = Explaining(model, head, settings)
    explainer = explaining.explainer
    # The same path for all stages: what it costs does not depend on the weights.
    explainer.settings = replace(settings, steps=_STEPS)
    ready = explaining.read(inputs)
    if not len(ready):
        raise ValueError("There is nothing to explain: no input was given.")
    model = explaining.probe.model
    if own:
        name = getattr(method, "__name__", type(method).__name__)
        return lambda: _arrays(method(model, ready), len(ready)), model, name
    targets = [one.index for one in explaining(ready, target)]

    def run() -> list[np.ndarray]:
        return [one.values for one in explaining(ready, targets)]

    return run, model, explainer.method


def _arrays(found: Any, count: int) -> list[np.ndarray]:
    arrays = [np.asarray(each, "float64") for each in found]
    if len(arrays) != count:
        raise ValueError(
            "`method` must return an array for each input. Received: "
            f"{len(arrays)} arrays for {count} inputs."
        )
    return arrays


def _stages(model: keras.Model, most: int) -> list[tuple[str, list[keras.Variable]]]:
    """Returns names and variables of what is randomised, from the output on."""
    nested = [layer for layer in model.layers if isinstance(layer, keras.Model)]
    backbone = find_backbone(model) if nested else model
    blocks = depth.blocks(backbone)[::-1]
    inside = {
        id(v) for block in blocks for layer in block.layers for v in layer.weights
    }
    stages = []
    above = [v for v in model.weights if id(v) not in inside]
    if above:
        stages.append(("head", above))
    groups = max(1, min(len(blocks), most - len(stages)))
    for group in np.array_split(np.arange(len(blocks)), groups):
        chosen = [blocks[i] for i in group]
        name = chosen[-1].name
        weights = [v for b in chosen for layer in b.layers for v in layer.weights]
        stages.append((name, weights))
    return [(name, _floats(variables)) for name, variables in stages]


def _floats(variables: Sequence[keras.Variable]) -> list[keras.Variable]:
    """Returns the variables of numbers: not the states of random generators."""
    return [v for v in variables if keras.backend.is_float_dtype(v.dtype)]


def _rank_correlation(first: np.ndarray, second: np.ndarray) -> float:
    from scipy.stats import spearmanr

    if not np.ptp(second) > 0:
        return 0.0
    return float(spearmanr(first, second, axis=None).statistic)


def _ssim(first: np.ndarray, second: np.ndarray) -> float:
    """Returns the structural similarity of two maps, each scaled to at most 1."""
    import tensorflow as tf

    pair = [map / (np.abs(map).max() or 1.0) for map in (first, second)]
    a, b = (tf.constant(map[None, ..., None], "float32") for map in pair)
    size = min(_WINDOW, *first.shape)
    return float(tf.image.ssim(a, b, max_val=2.0, filter_size=size)[0])
