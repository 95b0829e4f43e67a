"""`auto`: a backbone is ranked, a plan made and tuned, within a time; with a report."""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras

from tlkeras._files import write_whole
from tlkeras._validation import (
    check_choice,
    check_int,
    check_number,
    check_path,
    shown,
)
from tlkeras.choosing.candidates import built, named_candidates
from tlkeras.choosing.progress import in_words
from tlkeras.choosing.ranking import Ranked, Ranking, rank_backbones
from tlkeras.choosing.searching import tune
from tlkeras.choosing.studies import import_optuna
from tlkeras.choosing.tuning import Tuning
from tlkeras.data import Splits
from tlkeras.evaluation import Report, evaluate
from tlkeras.training import Plan, Recipe, plan

# The share of the time that may go into the ranking.
_FOR_RANKING = 0.25
# A backbone is taken for fine-tuning if so many jobs of it fit what is left: a search
# of fewer trials finds little.
_FEWEST_TRIALS = 3
# What of the time is left for the test part and the report.
_FOR_REPORT = 0.05


@dataclass(frozen=True, eq=False, repr=False)
class AutoResult:
    """What `tl.auto` decided, and what came of it; prints what it decided and why.

    Attributes:
        model: The model, fine-tuned and verified.
        backbone: The name of the backbone in the ranking.
        ranking: The `Ranking`.
        plan: The `Plan` that the search started from; `None` for named heads.
        tuning: The `Tuning`.
        report: The `Report` on the test part, by head where these have names; `None`
            where there is no test part.
        decisions: Sentences, in the order in which they were made.
        folder: The folder with model and report; `None` where none was asked for.
    """

    model: keras.Model = field(repr=False)
    backbone: str
    ranking: Ranking
    plan: Plan | None
    tuning: Tuning
    report: Any
    decisions: tuple[str, ...]
    folder: Path | None

    def __str__(self) -> str:
        return "\n".join(self.decisions)

    __repr__ = __str__


def auto(
    data: Splits,
    *,
    seconds: float = 600,
    backbones: Any = None,
    trials: int = 20,
    folder: str | Path | None = None,
    cache: str | Path | bool = "auto",
    seed: int = 0,
    verbose: Any = "auto",
) -> AutoResult:
    """Chooses a backbone, plans, tunes and tests, within a time; says what and why.

    `tl.rank_backbones` takes a quarter of the time at most. The best backbone of which
    several fine-tuning jobs fit into the rest goes on (where none is that fast, the one
    with the shortest job): `tl.plan` proposes settings for it, `tl.tune` searches from
    there. The test part is looked at once, at the end.

    Args:
        data: `Splits` with training and validation examples.
        seconds: Limit in seconds for all of it, kept roughly: one fine-tuning job is
            always done, each of its phases until the epoch in which the time is over.
        backbones: A list of candidates, or a dictionary from names to candidates: names
            of `tl.list_backbones`, folders of presets, backbones, compiled models, and
            functions without arguments that make one of these. `None` or `"small"`:
            those that are known by name and have at most about 30 million parameters;
            `"all"`: all that are known by name.
        trials: Trials of the search at most.
        folder: A new or empty folder for `model.keras`, `report.html` (where heads have
            names one for each, `report_<head>.html`), `ranking.csv`, `trials.csv`, the
            study `tuning.log` and `decisions.txt`. `None`: nothing is written.
        cache: Where to keep what the frozen part computes: `"auto"` or `"disk"` in the
            cache folder; `"memory"`; a folder; or `False`: nowhere.
        seed: Seed of everything.
        verbose: `"auto"` or 1 (decisions, and a line for each step, with the time
            left), 2 (also a line for each epoch) or 0 (silent).

    Returns:
        An `AutoResult` with `.model`, `.ranking`, `.plan`, `.tuning`, `.report`.

    Raises:
        ValueError: If `data` has no validation examples, `folder` holds something, or
            no backbone can be used.
        ImportError: If Optuna is not installed: `pip install "tlkeras[tune]"`.

    Example:

    >>> x = np.random.default_rng(0).integers(0, 256, (60, 32, 32, 1), "uint8")
    >>> data = tl.from_arrays(x, np.arange(60) % 2, validation_split=0.3)
    >>> found = tl.auto(data, backbones=["glyphnet"], trials=1, verbose=0)
    >>> found.backbone
    'glyphnet'

    Reference:
        Hutter, Kotthoff and Vanschoren, Automated Machine Learning (2019).
    """
    began = time.perf_counter()
    check_number("seconds", seconds, above=0)
    check_int("trials", trials, 1)
    check_int("seed", seed, 0)
    check_choice("verbose", verbose, ("auto", 0, 1, 2))
    if not isinstance(data, Splits) or data.train is None or data.val is None:
        raise ValueError(
            "`data` must be `Splits` with training and validation examples, as "
            "`tl.image_folder` and `tl.from_arrays` make them. Received: "
            f"{shown(data)}."
        )
    import_optuna()
    place = None if folder is None else _new_folder(folder)
    candidates = named_candidates(backbones, data.problem)
    deciding = _Deciding(began, seconds, verbose)
    ranking = rank_backbones(
        data,
        candidates,
        seconds=seconds * _FOR_RANKING,
        cache=cache,
        seed=seed,
        verbose=verbose,
    )
    chosen = deciding.choose(ranking)
    model = ranking.candidates[chosen.name]
    if not isinstance(model, (str, os.PathLike)):
        model = built(model, data)
    proposal = deciding.plan(model, data, cache, seed)
    tuning = tune(
        model,
        data,
        recipe=proposal,
        trials=trials,
        seconds=max(1e-3, deciding.left() * (1 - _FOR_REPORT)),
        study=None if place is None else place / "tuning.log",
        cache=cache,
        seed=seed,
        verbose=verbose,
    )
    deciding.tell_of(tuning)
    report = deciding.test(tuning.model, data)
    result = AutoResult(
        model=tuning.model,
        backbone=chosen.name,
        ranking=ranking,
        plan=proposal if isinstance(proposal, Plan) else None,
        tuning=tuning,
        report=report,
        decisions=tuple(deciding.said),
        folder=place,
    )
    if place is not None:
        _write(result)
    return result


class _Deciding:
    """Decides step by step, and keeps what it said."""

    def __init__(self, began: float, seconds: float, verbose: Any):
        self.began, self.seconds, self.verbose = began, seconds, verbose
        self.said: list[str] = []

    def left(self) -> float:
        """Returns the seconds that are left."""
        return self.seconds - (time.perf_counter() - self.began)

    def say(self, sentence: str) -> None:
        """Keeps a decision, and prints it."""
        self.said.append(sentence)
        if self.verbose != 0:
            print(sentence, flush=True)

    def choose(self, ranking: Ranking) -> Ranked:
        """Chooses the best backbone that there is time to fine-tune."""
        known = [one for one in ranking.ranked if one.scores is not None]
        most = self.left() / _FEWEST_TRIALS
        fast = [one for one in known if one.costs.job_seconds <= most]
        chosen = fast[0] if fast else min(known, key=lambda one: one.costs.job_seconds)
        job = in_words(chosen.costs.job_seconds)
        about = (
            f"{ranking.measure} {chosen.scores.probe:.3f} on {ranking.examples:,} "
            f"training examples, about {job} to fine-tune"
        )
        if chosen is known[0]:
            why = f"the best of {len(known)}"
        elif fast:
            why = (
                f"the best of which {_FEWEST_TRIALS} jobs fit into the time; "
                f"{known[0].name} has {known[0].scores.probe:.3f}, and would take "
                f"{in_words(known[0].costs.job_seconds)} for one"
            )
        else:
            why = "the one with the shortest job, as there is little time"
        self.say(f"Backbone: {chosen.name}, {why} ({about}).")
        missing = [one.name for one in ranking.ranked if one.scores is None]
        if missing:
            self.say(f"Not looked at: {', '.join(missing)}; the ranking says why.")
        return chosen

    def plan(self, model: Any, data: Splits, cache: Any, seed: int) -> Recipe:
        """Makes a plan, where there can be one."""
        if data.problem.named:
            self.say("Plan: the defaults, as plans are for one head without a name.")
            return Recipe()
        proposal = plan(model, data, cache=cache, seed=seed, verbose=0)
        self.say(
            f"Plan: {proposal.size} data that are {proposal.distance}, so from "
            f"{proposal.unfreeze_from!r} at {proposal.fine_tune_learning_rate:g}, "
            f"{proposal.epochs} epoch(s)."
        )
        return proposal

    def tell_of(self, tuning: Tuning) -> None:
        """Says what the search found."""
        states = tuning.table.state
        count = f"{len(states)} trial(s), {int((states == 'complete').sum())} complete"
        first = tuning.default_value
        gain = "" if first is None else f", from {first:.4g} before the search"
        shown = ", ".join(
            f"{name}={value!r}" for name, value in tuning.settings.items()
        )
        self.say(
            f"Settings: {shown}: {tuning.metric} {tuning.best_value:.4g} in {count}"
            f"{gain}."
        )

    def test(self, model: keras.Model, data: Splits) -> Any:
        """Evaluates on the test part, where there is one."""
        if data.test is None:
            self.say("Test: the data have no test part: what to expect is not known.")
            return None
        report = evaluate(model, data.test, verbose=0)
        reports = report if isinstance(report, Mapping) else {"": report}
        for head, one in reports.items():
            self.say(f"Test{' of ' * bool(head)}{head}: {one!r}")
        self.say(f"Done in {in_words(time.perf_counter() - self.began)}.")
        return report


def _new_folder(folder: Any) -> Path:
    place = Path(check_path("folder", folder))
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise ValueError(
            "`folder` must be new or empty, so that nothing in it is replaced. "
            f"Received: folder={str(place)!r}."
        )
    place.mkdir(parents=True, exist_ok=True)
    return place


def _write(result: AutoResult) -> None:
    place = result.folder
    result.model.save(place / "model.keras")
    # The search kept its best model beside its trials: it is the same.
    (place / "tuning.keras").unlink(missing_ok=True)
    several = isinstance(result.report, Mapping)
    reports = result.report if several else {"": result.report}
    for head, report in reports.items():
        if isinstance(report, Report):
            report.save(place / f"report{'_' * bool(head)}{head}.html")
    write_whole(place / "ranking.csv", result.ranking.table.to_csv())
    write_whole(place / "trials.csv", result.tuning.table.to_csv())
    write_whole(place / "decisions.txt", f"{result}\n")
