"""`rank_backbones`: which backbone suits data, and what it costs."""

import gc
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from tlkeras._validation import check_choice, check_int, check_number, shown
from tlkeras.choosing.candidates import Candidate, built, named_candidates
from tlkeras.choosing.costs import Costs, measure_costs
from tlkeras.choosing.progress import Clock, in_words
from tlkeras.choosing.scores import h_score, log_me
from tlkeras.data import Splits
from tlkeras.description import Described, Description
from tlkeras.features import extract_features
from tlkeras.freezing import FreezePoint
from tlkeras.inputs.examples import Reading, examples_of, reading_of
from tlkeras.linear import probe
from tlkeras.outputs.linear import linear_targets
from tlkeras.problem import input_of
from tlkeras.suspects.pooling import pooled
from tlkeras.training.plan_facts import sample_rows
from tlkeras.training.unchanged import set_freeze_point, unchanged

if TYPE_CHECKING:
    import pandas as pd

# What candidates can be ranked by, and whether it is to be high.
_BY = {"probe": True, "loss": False, "log_me": True, "h_score": True}
# Fewer examples, or fewer of each class, say nothing.
_FEWEST, _FEWEST_PER_CLASS = 20, 4
# The share of the seconds that the passes over the sample may take; the rest is for
# files, graphs and scores.
_FOR_PASSES = 0.6
_COSTS = ("ms_per_example", "job_seconds", "parameters", "weights_mb", "training_mb")


@dataclass(frozen=True)
class Scores:
    """How well a backbone's frozen features suit labels.

    Attributes:
        probe: A cross-validated linear model's accuracy, area under the curve or share
            of the variance.
        loss: Its loss.
        log_me: LogME.
        h_score: The H-score; NaN for what are not exclusive classes.
    """

    probe: float
    loss: float
    log_me: float
    h_score: float


@dataclass(frozen=True)
class Ranked:
    """What was found out about a candidate.

    Attributes:
        name: The candidate's.
        scores: Its scores, `None` where there are none.
        costs: Its costs, `None` where there are none.
        input: What the model takes, in words.
        licence: Of the weights, `None` where it is not known.
        seconds: How long looking at it took.
        reason: Why there are no scores; `""` where there are.
    """

    name: str
    scores: Scores | None = None
    costs: Costs | None = None
    input: str = ""
    licence: str | None = None
    seconds: float = 0.0
    reason: str = ""


@dataclass(frozen=True, eq=False, repr=False)
class Ranking(Described):
    """Backbones, the most suitable first; prints as a table, in a notebook as HTML.

    Attributes:
        ranked: A `Ranked` for each candidate, best first; those without scores last.
        candidates: From each name to the candidate as it was given.
        by: What it is ranked by: a column of `table`.
        measure: What the column `probe` holds: `"accuracy"`, `"AUC"` or `"R2"`; of
            several heads that are measured differently, `"probe"`.
        examples: How many training examples were looked at.
        of: Of how many.
        seconds: How long it took.
    """

    ranked: tuple[Ranked, ...]
    candidates: Mapping[str, Candidate] = field(repr=False)
    by: str
    measure: str
    examples: int
    of: int
    seconds: float

    @property
    def best(self) -> str:
        """The name of the first one; `candidates` has what it stands for."""
        return self.ranked[0].name

    @property
    def table(self) -> "pd.DataFrame":
        """A row for each candidate, in the order of the ranking.

        Columns: `probe`, `loss`, `log_me`, `h_score`, `ms_per_example` (a forward
        pass here), `job_seconds` (estimate of head and fine-tuning, without what is
        paid once), `parameters`, `weights_mb`, `training_mb` (estimate, from
        `unfreeze_from` on), `unfreeze_from`, `input`, `licence`, `seconds` (of looking
        at it) and `reason` (why there are no scores).
        """
        import pandas as pd

        rows = {one.name: _row(one) for one in self.ranked}
        table = pd.DataFrame.from_dict(rows, orient="index")
        table.index.name = "backbone"
        return table

    def pareto(self, cost: str = "ms_per_example") -> list[str]:
        """Returns the candidates that none beats in both quality and cost.

        Args:
            cost: A column of `table`: `"ms_per_example"`, `"job_seconds"`,
                `"parameters"`, `"weights_mb"` or `"training_mb"`.
        """
        from tlkeras.plots import pareto_front

        names, costs, qualities = self._points(cost)
        return [names[i] for i in pareto_front(costs, qualities)]

    def plot(self, cost: str = "ms_per_example", ax: Any = None) -> Any:
        """Draws quality over cost, and the Pareto front.

        Args:
            cost: A column of `table`: `"ms_per_example"`, `"job_seconds"`,
                `"parameters"`, `"weights_mb"` or `"training_mb"`.
            ax: A matplotlib axes to draw on; made if `None`.

        Returns:
            The axes.
        """
        from tlkeras.plots import plot_pareto

        names, costs, qualities = self._points(cost)
        given = dict(zip(names, costs, strict=True))
        found = dict(zip(names, qualities, strict=True))
        label = self.measure if self.by == "probe" else self.by
        return plot_pareto(given, found, ax, xlabel=cost, ylabel=_shown_quality(label))

    def _points(self, cost: str) -> tuple[list[str], list[float], list[float]]:
        check_choice("cost", cost, _COSTS)
        known = [one for one in self.ranked if one.scores is not None]
        rows = [_row(one) for one in known]
        sign = 1 if _BY[self.by] else -1
        return (
            [one.name for one in known],
            [row[cost] for row in rows],
            [sign * row[self.by] for row in rows],
        )

    def _described(self) -> Description:
        header = ("backbone", self.measure, "loss", "LogME", "H-score", "ms/example")
        header += ("job", "parameters", "input", "licence")
        rows = tuple(_printed(one) for one in self.ranked if one.scores is not None)
        title = (
            f"{len(rows)} backbone(s) by {self.by}, on {self.examples:,} of "
            f"{self.of:,} training examples, in {in_words(self.seconds)}"
        )
        missing = [one for one in self.ranked if one.scores is None]
        notes = tuple(f"{one.name}: {one.reason}" for one in missing)
        return Description(title, header, rows, notes)


def _shown_quality(label: str) -> str:
    return label if _BY.get(label, True) else f"-{label}"


def _row(one: Ranked) -> dict[str, Any]:
    scores, costs = one.scores, one.costs
    nothing = math.nan
    return {
        **{name: getattr(scores, name, nothing) for name in _BY},
        "ms_per_example": costs.milliseconds if costs else nothing,
        "job_seconds": costs.job_seconds if costs else nothing,
        "parameters": costs.parameters if costs else nothing,
        "weights_mb": costs.weight_bytes / 1e6 if costs else nothing,
        "training_mb": costs.training_bytes / 1e6 if costs else nothing,
        "unfreeze_from": costs.unfreeze_from if costs else None,
        "input": one.input,
        "licence": one.licence,
        "seconds": one.seconds,
        "reason": one.reason,
    }


def _printed(one: Ranked) -> tuple[str, ...]:
    scores, costs = one.scores, one.costs
    return (
        one.name,
        f"{scores.probe:.3f}",
        f"{scores.loss:.3f}",
        f"{scores.log_me:.3f}",
        "" if math.isnan(scores.h_score) else f"{scores.h_score:.3f}",
        f"{costs.milliseconds:.3g}",
        in_words(costs.job_seconds),
        f"{costs.parameters / 1e6:.3g} M",
        one.input,
        one.licence or "?",
    )


def rank_backbones(
    data: Splits,
    backbones: Any = None,
    *,
    examples: int | None = None,
    seconds: float | None = None,
    by: str = "probe",
    unfreeze_from: FreezePoint = "auto",
    cache: str | Path | bool = "auto",
    seed: int = 0,
    verbose: Any = "auto",
) -> Ranking:
    """Ranks backbones by how well their frozen features suit data, without training.

    Each one is run once over the same sample of the training examples. What its
    features are worth is scored in three ways: by a linear model in cross-validation,
    which is what `tl.fit_head` would solve; by LogME; and, for exclusive classes, by
    the H-score with shrinkage. What it costs is measured here, or worked out.

    The order is where to start from: fine-tuning may change it, mostly among neighbours
    (docs/choosing.md has measured rank correlations). Validation and test parts are not
    looked at.

    Args:
        data: `Splits`, as `tl.image_folder` and its siblings make them. With several
            heads, scores are means over the heads by their weights.
        backbones: A list of candidates, or a dictionary from names to candidates.
            Candidates are names of `tl.list_backbones`, folders of presets, backbones,
            compiled models of your own, and functions without arguments that make one
            of these when its turn comes. `None` or `"small"`: those that are known by
            name for such inputs and have at most about 30 million parameters; `"all"`:
            all that are known by name, presets included, which downloads their weights.
            Weights that are not to be had are said in the table.
        examples: Training examples to look at, at least 20. `None`: 500, of many
            classes 10 each and up to 2,000; or, with `seconds`, as many of these as
            there is time for.
        seconds: Limit in seconds for all of it, kept roughly: one candidate is looked
            at in any case. Those for which there is no time are said in the table.
        by: `"probe"` (the linear model's accuracy, area under the curve or share of
            the variance; of equal ones, its loss decides), `"loss"`, `"log_me"` or
            `"h_score"`.
        unfreeze_from: The freeze point that memory and time of training are worked out
            for. `"auto"`: what `tl.fine_tune` would take.
        cache: Where to keep the features: `"auto"` or `"disk"` in the cache folder;
            `"memory"` or `False` nowhere; or a folder.
        seed: Seed of the sample and of the folds.
        verbose: `"auto"` or 1 (a line for each candidate, with the time left), 2 (the
            same) or 0 (silent).

    Returns:
        A `Ranking`: `.best` is a name, `.table` a `pandas.DataFrame`, `.plot()` draws
        quality over cost.

    Raises:
        ValueError: If `data` is no `Splits` with training examples, an argument is not
            one of the above, a name is not known, or no candidate could be scored.

    Example:

    >>> x = np.random.default_rng(0).integers(0, 256, (60, 32, 32, 1), "uint8")
    >>> data = tl.from_arrays(x, np.arange(60) % 2)
    >>> random = tl.load_backbone("glyphnet", weights=None)
    >>> ranking = tl.rank_backbones(data, ["glyphnet", random], verbose=0)
    >>> sorted(ranking.table.index)
    ['glyphnet', 'glyphnet (2)']

    Reference:
        LogME: You et al., LogME: Practical Assessment of Pre-trained Models for
        Transfer Learning (2021). H-score: Bao et al., An Information-Theoretic Approach
        to Transferability in Task Transfer Learning (2019), with the shrinkage of
        Ibrahim et al., Newer is not always better (2021). Linear probes: Kornblith et
        al., Do Better ImageNet Models Transfer Better? (2019).
    """
    began = time.perf_counter()
    reading = _reading(data)
    check_choice("by", by, tuple(_BY))
    check_choice("verbose", verbose, ("auto", 0, 1, 2))
    check_int("seed", seed, 0)
    if examples is not None:
        check_int("examples", examples, _FEWEST)
    if seconds is not None:
        check_number("seconds", seconds, above=0)
    for output in _outputs(data):
        if _link(output) is None:
            raise ValueError(
                "Backbones are ranked by linear models of their features, for classes, "
                f"labels or numbers. These data are for a {output.goal}: train one on "
                "each backbone by `tl.fit_head`, and compare reports on `data.val` by "
                "`tl.compare`. "
                f"Received: {data!r}."
            )
    if by == "h_score" and all(_link(one) != "softmax" for one in _outputs(data)):
        raise ValueError(
            "The H-score is of exclusive classes, which these data have not. Received: "
            f"by='h_score'; use by='probe' or by='log_me'. Data: {data!r}."
        )
    candidates = named_candidates(backbones, data.problem)
    look = _Look(data, reading, examples, unfreeze_from, cache, seed)
    clock = Clock(began, seconds, verbose)
    ranked = _look_at_all(look, candidates, clock)
    return _ranking(look, candidates, by, ranked, clock)


def _reading(data: Any) -> Reading:
    if not isinstance(data, Splits) or data.train is None:
        raise ValueError(
            "`data` must be `Splits` with training examples, as `tl.image_folder` and "
            f"`tl.from_arrays` make them. Received: {shown(data)}."
        )
    return reading_of(data.train)


def _outputs(data: Splits) -> list[Any]:
    return list(data.problem.outputs.values())


def _link(output: Any) -> str | None:
    """Returns what makes outputs of logits, whatever loss the user chose."""
    plain = output.but(loss=None)
    some = np.zeros((1, output.columns))
    found = linear_targets(some, output.units, plain.make_loss(), output.activation)
    return found and found.link


class _Look:
    """What all candidates are looked at with: the same examples, the same folds."""

    def __init__(
        self,
        data: Splits,
        reading: Reading,
        wanted: int | None,
        unfreeze_from: FreezePoint,
        cache: Any,
        seed: int,
    ):
        self.data, self.reading, self.seed, self.cache = data, reading, seed, cache
        self.unfreeze_from = unfreeze_from
        labels = np.asarray(reading.examples.labels)
        strata, names = data.problem.strata(labels)
        self.strata = strata if names is not None else None
        self.fewest = max(_FEWEST, _FEWEST_PER_CLASS * len(np.unique(strata)))
        self.draw(wanted)
        val = examples_of(data.val)
        self.counts = len(labels), 0 if val is None else len(val)
        self.measures: set[str] = set()

    def draw(self, wanted: int | None) -> None:
        """Draws the examples to look at."""
        reading = self.reading
        total = len(reading.examples)
        self.rows = sample_rows(self.strata, total, self.seed, wanted)
        self.examples = reading.examples.select(self.rows)
        sample = Reading(self.examples, reading.batch_size, False, self.seed)
        self.sample = sample.dataset()

    def costs(self, model: keras.Model, seconds_left: float) -> Costs:
        """Measures what a model costs."""
        return measure_costs(
            model,
            self.examples,
            self.counts,
            self.data.batch_size,
            self.unfreeze_from,
            seconds_left,
        )

    def scores(self, model: keras.Model) -> Scores:
        """Scores a model's features; of several heads it returns means."""
        features = pooled(
            extract_features(model, self.sample, cache=self.cache, verbose=0)
        )
        problem, groups = self.data.problem, self.reading.groups
        groups = None if groups is None else np.asarray(groups)[self.rows]
        known = problem.known(np.asarray(self.examples.labels))
        found, weights = [], []
        for name, (labels, where) in known.items():
            output = problem.outputs[name]
            of_it = None if groups is None else groups[where]
            found.append(self._scores(features[where], labels[where], output, of_it))
            weights.append(output.weight)
        return _mean_scores(found, weights)

    def _scores(
        self, features: np.ndarray, labels: np.ndarray, output: Any, groups: Any
    ) -> Scores:
        targets = linear_targets(
            labels,
            output.units,
            output.but(loss=None).make_loss(),
            output.activation,
            strata=output.strata(labels),
            smoothed=False,
        )
        probed = probe(features, targets, groups=groups, seed=self.seed)
        self.measures.add(probed.measure)
        score = math.nan
        if targets.link == "softmax":
            score = h_score(features, targets.values.argmax(axis=1))
        return Scores(
            probed.quality, probed.loss, log_me(features, targets.values), score
        )


def _mean_scores(found: list[Scores], weights: list[float]) -> Scores:
    if not sum(weights):
        weights = [1.0] * len(weights)
    counts, means = np.array(weights), {}
    for name in _BY:
        values = np.array([getattr(one, name) for one in found])
        # A head that has no such score says nothing.
        known = ~np.isnan(values) & (counts > 0)
        mean = np.average(values[known], weights=counts[known]) if known.any() else None
        means[name] = math.nan if mean is None else float(mean)
    return Scores(**means)


def _look_at_all(
    look: _Look, candidates: Mapping[str, Candidate], clock: Clock
) -> list[Ranked]:
    """Looks at each candidate; none of them ends the run."""
    costs: dict[str, Costs] = {}
    done: dict[str, Ranked] = {}
    if clock.limit is not None:
        costs, done = _timed_beforehand(look, candidates, clock)
    rest = [name for name in candidates if name not in done]
    for number, name in enumerate(rest, 1):
        started = time.perf_counter()
        left = clock.left()
        known = costs.get(name)
        # The last one, if there is none yet: some ranking is better than none.
        has_some = any(one.scores is not None for one in done.values())
        may_stop = has_some or number < len(rest)
        needed = known.milliseconds * len(look.rows) / 1e3 if known else 0.0
        if may_stop and left < needed:
            done[name] = Ranked(name, costs=known, reason="no time was left for it")
        else:
            done[name] = _tried(look, name, candidates[name], known, left)
        clock.say(number, len(rest), _said(done[name], time.perf_counter() - started))
    return [done[name] for name in candidates]


def _timed_beforehand(
    look: _Look, candidates: Mapping[str, Candidate], clock: Clock
) -> tuple[dict[str, Costs], dict[str, Ranked]]:
    """Times each candidate, then draws as many examples as there is time for all.

    All are looked at with the same examples: scores of more would be better.
    """
    costs, failed, building = {}, {}, {}
    for number, (name, candidate) in enumerate(candidates.items(), 1):
        started = time.perf_counter()
        left = clock.left()
        if left <= 0 and costs:
            failed[name] = Ranked(name, reason="no time was left for it")
            continue
        try:
            model = built(candidate, look.data)
            building[name] = time.perf_counter() - started
            with unchanged(model):
                set_freeze_point(model, None)
                costs[name] = look.costs(model, left)
            said = f"{name}: {costs[name].milliseconds:.3g} ms for an example"
        except Exception as error:
            failed[name] = Ranked(
                name, reason=_reason(error), seconds=time.perf_counter() - started
            )
            said = _said(failed[name], failed[name].seconds)
        clock.say(number, len(candidates), said)
    chosen = sorted(costs, key=lambda name: costs[name].milliseconds)
    left = clock.left()
    while chosen:
        # Building again takes what it took.
        again = sum(building[name] for name in chosen)
        budget = max(0.0, left - again) * _FOR_PASSES
        needed = sum(costs[name].milliseconds for name in chosen) / 1e3
        affordable = int(budget / needed)
        if affordable >= min(look.fewest, len(look.rows)) or len(chosen) == 1:
            break
        name = chosen.pop()
        failed[name] = Ranked(
            name,
            costs=costs[name],
            reason=f"no time for it: {costs[name].milliseconds:.3g} ms for an example",
        )
    if chosen and affordable < len(look.rows):
        look.draw(max(look.fewest, affordable))
    return costs, failed


def _tried(
    look: _Look, name: str, candidate: Candidate, costs: Costs | None, left: float
) -> Ranked:
    """Looks at one candidate; whatever fails in it is its reason."""
    started, where = time.perf_counter(), ""
    licence = None
    try:
        model = built(candidate, look.data)
        where, licence = _input_in_words(model), _licence(model)
        with unchanged(model):
            set_freeze_point(model, None)
            costs = costs or look.costs(model, left)
            scores = look.scores(model)
        reason = ""
    # Weights that are not to be had, shapes that do not fit, memory: each in its way.
    except Exception as error:
        scores, reason = None, _reason(error)
    seconds = time.perf_counter() - started
    # Models refer to themselves: several of them would fill the memory.
    model = None
    gc.collect()
    return Ranked(name, scores, costs, where, licence, seconds, reason)


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _licence(model: keras.Model) -> str | None:
    record = getattr(model, "record", None)
    return None if record is None else record.backbone.get("licence")


def _input_in_words(model: keras.Model) -> str:
    longest = input_of(model).longest
    if longest is not None:
        return f"{longest} tokens"
    shape = model.inputs[0].shape[1:]
    return " x ".join("?" if dim is None else str(dim) for dim in shape)


def _said(one: Ranked, seconds: float) -> str:
    if one.scores is None:
        return f"{one.name}: {one.reason}"
    return f"{one.name}: {one.scores.probe:.3f} in {in_words(seconds)}"


def _ranking(
    look: _Look,
    candidates: Mapping[str, Candidate],
    by: str,
    ranked: list[Ranked],
    clock: Clock,
) -> Ranking:
    if all(one.scores is None for one in ranked):
        reasons = "\n".join(f"{one.name}: {one.reason}" for one in ranked)
        raise ValueError(f"None of the backbones could be scored.\n{reasons}")
    ranking = Ranking(
        tuple(sorted(ranked, key=lambda one: _place(one, by))),
        dict(candidates),
        by,
        look.measures.pop() if len(look.measures) == 1 else "probe",
        len(look.rows),
        len(look.reading.examples),
        time.perf_counter() - clock.began,
    )
    if clock.speaks:
        print(ranking)
    return ranking


def _place(one: Ranked, by: str) -> tuple[bool, bool, float, float]:
    """Returns what sorts candidates: best first, without scores last."""
    if one.scores is None:
        return True, True, 0.0, 0.0
    value = getattr(one.scores, by)
    sign = -1 if _BY[by] else 1
    unknown = math.isnan(value)
    return False, unknown, 0.0 if unknown else sign * value, one.scores.loss
