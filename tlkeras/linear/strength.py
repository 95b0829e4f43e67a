"""The strength of the penalty, chosen by what rows that were held out say."""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tlkeras.linear.least_squares import minimum_of
from tlkeras.linear.minimum import Held
from tlkeras.linear.rows import Rows
from tlkeras.linear.targets import Targets

# From strong to weak, so that each fit starts where the one before ended.
STRENGTHS = np.logspace(3, -5, 17)
# A path ends after so many strengths without a better one.
_PATIENCE = 3
_FOLDS = 5
# With fewer examples of a class than this, folds are drawn several times over.
_FEW, _REPEATS = 20, 4
# Multiplications of a pass over the rows at most; of more rows some are drawn.
_MOST_WORK = 1e9
# In cross-validation the tenth digit does not matter.
_TOLERANCE = 3e-5
# With so few examples of each class the least of many held-out losses is least by
# chance: what is usual has a say (of four examples or more, it has none). Log-normal
# priors: median and deviation of the penalty on the sum of the losses, and the
# deviation of the scale, whose median is 1.
_SCARCE = 3
_USUAL, _USUAL_DEVIATION, _SCALE_DEVIATION = 10.0, np.log(10), 1.0
# Where nothing can be held out it is the usual one, and at least this on the mean of
# the losses: no more than the means of classes can be trusted.
_UNKNOWN = 1.0
_LARGEST_SCALE = 1e4


@dataclass(frozen=True)
class Choice:
    """A strength, and what speaks for it.

    Attributes:
        strength: The penalty.
        scale: What weights are multiplied with.
        folds: How many fits chose it.
        loss: The loss on rows that were held out, after scaling; `None` for no folds.
        held_out: For each fold the targets of the rows that it held out, and the logits
            that were found for them without these.
    """

    strength: float
    scale: float = 1.0
    folds: int = 0
    loss: float | None = None
    held_out: tuple[tuple[Targets, np.ndarray], ...] = field(default=(), repr=False)


def choose_strength(
    rows: Rows,
    targets: Targets,
    groups: np.ndarray | None,
    seed: int,
    progress: Callable[[int, int], Any],
    repeated: bool = True,
) -> Choice:
    """Returns the strength, and the scale, with the least loss in cross-validation.

    Args:
        rows: Standardised features.
        targets: What is to be learnt.
        groups: int `(n,)`; rows of one group are held out together.
        seed: Seed of the folds and of what is drawn.
        progress: As in `solve`.
        repeated: Whether folds are drawn several times where a class has few examples.
    """
    drawn = _drawn(rows, targets, seed)
    features, some = _reduced(rows.at(drawn)), targets.at(drawn)
    groups = None if groups is None else groups[drawn]
    folds = list(_folds(some, groups, seed, repeated))
    if not folds:
        return Choice(max(_UNKNOWN, _USUAL / len(drawn)))
    paths = [_Path(features, some, kept, held, len(drawn)) for kept, held in folds]
    scarce = _are_scarce(some)
    done, best, since, least = 0, None, 0, np.inf
    repeats = round(sum(len(held) for _, held in folds) / len(drawn))
    for strength in STRENGTHS:
        products = []
        for path in paths:
            products.append(path.held_out(strength))
            done += 1
            progress(done, len(STRENGTHS) * len(paths))
        scale, loss = _best_scale(products, repeats, scarce)
        criterion = loss
        if scarce:
            criterion += _unusual(strength * len(drawn), scale) / len(drawn)
        if best is None or criterion < least:
            best, since = Choice(float(strength), scale, len(paths), loss), 0
            least, best_products = criterion, products
        else:
            since += 1
        if since == _PATIENCE:
            break
    progress(len(STRENGTHS) * len(paths), len(STRENGTHS) * len(paths))
    # Of a part of the rows the same evidence needs a weaker penalty on its mean.
    held_out = tuple((one, best.scale * x + biases) for one, x, biases in best_products)
    return replace(
        best, strength=best.strength * len(drawn) / len(targets), held_out=held_out
    )


class _Path:
    """Fits of one fold, from strong penalties to weak ones."""

    def __init__(
        self,
        features: np.ndarray,
        targets: Targets,
        kept: np.ndarray,
        held: np.ndarray,
        count: int,
    ):
        self.features = features[held]
        # Of a class that the other folds have not, nothing can be learnt there.
        self.targets = targets.at(held).known_from(targets.at(kept))
        self.minimum = minimum_of(Held(features[kept]), targets.at(kept), _TOLERANCE)
        # The strength is one for all rows; a fold has fewer.
        self.ratio = count / len(kept)
        self.start: Any = None

    def held_out(self, strength: float) -> tuple[Targets, np.ndarray, np.ndarray]:
        """Returns targets that were held out, their products with weights, biases."""
        self.start = self.minimum.find(strength * self.ratio, self.start)
        weights, biases = self.start
        return self.targets, self.features @ weights.astype("float32"), biases


def _are_scarce(targets: Targets) -> bool:
    """Tells whether each of exclusive classes has but a few examples."""
    sizes = _sizes(targets.strata)
    return targets.link == "softmax" and 0 < max(sizes, default=0) <= _SCARCE


def _unusual(strength: float, scale: float) -> float:
    """Returns how far from the usual a choice is: what its prior density costs.

    Args:
        strength: The penalty on the sum of the losses.
        scale: What weights are multiplied with.
    """
    by_strength = np.log(strength / _USUAL) / _USUAL_DEVIATION
    return float(by_strength**2 + (np.log(scale) / _SCALE_DEVIATION) ** 2) / 2


def _best_scale(
    products: list, repeats: int, scarce: bool = False
) -> tuple[float, float]:
    """Returns the factor on weights with the least loss on held-out rows, and that."""
    total = sum(targets.total for targets, _, _ in products)

    def loss(scale: float) -> float:
        return sum(
            targets.mean_loss(scale * product + biases) * targets.total
            for targets, product, biases in products
        ) / max(total, 1e-12)

    if products[0][0].link == "identity":
        return 1.0, loss(1.0)
    # As if one example more had been held out that could be anything: where all are
    # right, nothing else keeps the factor from growing (the rule of succession).
    count = sum(len(targets) for targets, _, _ in products) / repeats
    seen = np.any([targets.seen for targets, _, _ in products], axis=0)
    products = [(one.doubted(1 / (1 + count), seen), *rest) for one, *rest in products]
    from scipy.optimize import minimize_scalar

    def criterion(exponent: float) -> float:
        usual = _unusual(_USUAL, np.exp(exponent)) / count if scarce else 0.0
        return loss(np.exp(exponent)) + usual

    bounds = -2, np.log(_LARGEST_SCALE)
    scale = np.exp(minimize_scalar(criterion, bounds=bounds, method="bounded").x)
    return float(scale), float(loss(scale))


def _drawn(rows: Rows, targets: Targets, seed: int) -> np.ndarray:
    """Returns rows to choose by: all, or as many as can be passed over often."""
    count = len(targets)
    most = int(_MOST_WORK / (rows.width * targets.values.shape[1]))
    if count <= max(most, 200):
        return np.arange(count)
    random = np.random.RandomState(seed % 2**32)
    return np.sort(random.permutation(count)[: max(most, 200)])


def _reduced(features: np.ndarray) -> np.ndarray:
    """Returns fewer columns in which distances and products of rows are the same.

    A penalised solution is a combination of rows: nothing is lost.
    """
    if len(features) >= features.shape[1]:
        return features
    products = features.astype("float64") @ features.T.astype("float64")
    values, vectors = np.linalg.eigh(products)
    known = values > max(values[-1], 0) * 1e-10
    return (vectors[:, known] * np.sqrt(values[known])).astype("float32")


def _folds(
    targets: Targets,
    groups: np.ndarray | None,
    seed: int,
    repeated: bool = True,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields rows to fit and rows to hold out; nothing where there are too few."""
    from sklearn import model_selection

    count = len(targets)
    sizes = _sizes(targets.strata)
    names = np.arange(count) if groups is None else groups
    # Of no class more folds than the largest one has examples.
    wanted = min(_FOLDS, len(np.unique(names)), max(sizes, default=count))
    if wanted < 2 or len(sizes) == 1:
        return
    few = min(sizes, default=count) < _FEW
    repeats = _REPEATS if few and repeated else 1
    for repeat in range(repeats):
        given = {"shuffle": True, "random_state": (seed + repeat) % 2**32}
        if targets.strata is None and groups is None:
            folds = model_selection.KFold(wanted, **given)
        elif targets.strata is None:
            folds = model_selection.GroupKFold(wanted, **given)
        elif groups is None:
            folds = model_selection.StratifiedKFold(wanted, **given)
        else:
            folds = model_selection.StratifiedGroupKFold(wanted, **given)
        with warnings.catch_warnings():
            # A class may have fewer examples than there are folds.
            warnings.simplefilter("ignore", UserWarning)
            split = folds.split(np.zeros(count), targets.strata, groups)
            yield from ((kept, held) for kept, held in split if len(held) and len(kept))


def _sizes(strata: np.ndarray | None) -> list[int]:
    return [] if strata is None else np.unique(strata, return_counts=True)[1].tolist()
