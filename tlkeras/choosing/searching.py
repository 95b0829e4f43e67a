"""`tune`: a search over recipes and heads; trials share the cache."""

import gc
import math
import random
import tempfile
import textwrap
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from tlkeras._files import written_whole
from tlkeras._validation import (
    check_choice,
    check_int,
    check_number,
    shown,
    unknown_name,
)
from tlkeras.builders import BUILDERS, build_for
from tlkeras.choosing.progress import Clock, in_words
from tlkeras.choosing.space import (
    Space,
    builder_arguments,
    check_defaults,
    check_names,
    default_settings,
    default_space,
    with_views,
)
from tlkeras.choosing.studies import import_optuna, model_file, opened_study, study_file
from tlkeras.choosing.tuning import STATES, Tuning, completed, ended, error_of, value_of
from tlkeras.data import Splits
from tlkeras.distribution import Workers, strategy_of
from tlkeras.inputs.examples import reading_of
from tlkeras.records.encoding import encode, random_state_kept
from tlkeras.saving import load
from tlkeras.training import FineTuneHistory, Plan, Recipe, fine_tune
from tlkeras.training.job import Fitting, open_job, parts_of
from tlkeras.training.monitored import directions
from tlkeras.training.plan_facts import numbered_blocks
from tlkeras.training.recipe import SETTINGS, settings_of

if TYPE_CHECKING:
    pass

# Of so many trials half are drawn at random, before what they say is followed.
_MOST_RANDOM = 10
# Characters of an error that a line of progress shows; the table has all.
_SHOWN = 120
# So many trials that fail, and none that does not, end the search.
_GIVE_UP = 3
# Arguments of a builder that a search leaves alone.
_NOT_SEARCHED = ("weights",)


def tune(
    model: Any,
    train: Any,
    validation_data: Any = None,
    *,
    space: Mapping[str, Any] | None = None,
    trials: int = 20,
    seconds: float | None = None,
    metric: str = "val_loss",
    recipe: Recipe | None = None,
    study: str | Path | None = None,
    cache: str | Path | bool = "auto",
    seed: int = 0,
    verbose: Any = "auto",
) -> Tuning:
    """Searches settings of `tl.Recipe` and of the builder; returns the best.

    The first trial has the settings that the search starts from. The next are drawn at
    random, and then where trials were good (TPE, the tree-structured Parzen estimator
    of Optuna). Each is a whole `tl.fine_tune` from the same start, verified as that
    always is, and keeps its best weights. A trial whose validation is worse than the
    median of the earlier ones at the same epoch of fine-tuning is stopped. Frozen
    features are computed once for all trials with the same freeze point.

    A trial that fails is in the table with its error and ends nothing. After an
    interrupt the best so far is returned. Only training and validation data are looked
    at: evaluate on the test part afterwards, once.

    Trials run one after the other, in one process; on several devices each trial uses
    all of them. Searching with several workers is not supported.

    Args:
        model: The name or folder of a backbone, for a model that the builder for the
            data makes; a function of settings, each with a default, which returns a
            compiled model; or a compiled model, which stays as it is: trials
            train copies, and its head is not searched.
        train: `Splits`, whose `val` then serves as well; or, for a function or a model,
            what `tl.fine_tune` takes.
        validation_data: The same for validation.
        space: From settings to a list of choices or a `tl.Between(low, high)`. Settings
            are those of `tl.Recipe`, and arguments of the builder that have other
            names. `None`: freeze point, rate and schedule of fine-tuning, decay by
            layers and towards the pretrained weights, augmentation (of pictures, with
            2 cached views), and the head's dropout where a builder is at hand.
        trials: How many there are in all, those in the file of `study` included.
        seconds: No trial starts that will not end within so many seconds, and one that
            runs beyond them is stopped after its epoch. The first one always counts:
            each of its phases then ends after the epoch in which the time was over.
        metric: What the validation reports: `"val_loss"`, `"val_accuracy"`,
            `"val_species_accuracy"`.
        recipe: What is not searched: a `tl.Recipe`, or a plan of `tl.plan`.
        study: A file to keep the trials in, such as `"tuning.log"`. The same call goes
            on with it, after an interrupt or a crash too. The best model is kept beside
            it: `"tuning.keras"`.
        cache: Where to keep what the frozen part computes: `"auto"` or `"disk"` in the
            cache folder; `"memory"`; a folder; or `False`: nowhere.
        seed: Seed of what is drawn and of each trial.
        verbose: `"auto"` or 1 (a line for each trial, with the time left), 2 (also a
            line for each epoch) or 0 (silent).

    Returns:
        A `Tuning`: `.recipe`, `.builder`, `.model`, `.table`, `.plot()`,
        `.plot_importances()`.

    Raises:
        ValueError: If there is no validation data, an argument is not one of the above,
            `study` is of other data or settings, or no trial succeeded.
        ImportError: If Optuna is not installed: `pip install "tlkeras[tune]"`.
        KeyboardInterrupt: If it is interrupted before a trial is complete.

    Example:

    >>> x = np.random.default_rng(0).integers(0, 256, (40, 32, 32, 1), "uint8")
    >>> data = tl.from_arrays(x, np.arange(40) % 2, validation_split=0.3)
    >>> space = {"fine_tune_learning_rate": tl.Between(1e-5, 1e-3, log=True)}
    >>> found = tl.tune("glyphnet", data, space=space, trials=2, verbose=0,
    ...                 recipe=tl.Recipe(epochs=1))
    >>> 1e-5 <= found.recipe.fine_tune_learning_rate <= 1e-3
    True

    Reference:
        Akiba et al., Optuna: A Next-generation Hyperparameter Optimization Framework
        (2019); TPE: Bergstra et al., Algorithms for Hyper-Parameter Optimization
        (2011); fANOVA: Hutter et al., An Efficient Approach for Assessing
        Hyperparameter Importance (2014).
    """
    began = time.perf_counter()
    check_int("trials", trials, 1)
    check_int("seed", seed, 0)
    check_choice("verbose", verbose, ("auto", 0, 1, 2))
    if seconds is not None:
        check_number("seconds", seconds, above=0)
    import_optuna()
    path = None if study is None else study_file(study)
    search = _Search(model, train, validation_data, recipe, cache, seed, verbose)
    search.set_space(space)
    search.set_metric(metric)
    clock = Clock(began, seconds, verbose)
    with opened_study(
        path,
        search.about(),
        direction="minimize" if search.falls else "maximize",
        seed=seed,
        startup=min(_MOST_RANDOM, max(1, trials // 2)),
    ) as opened:
        search.run(opened, trials, clock, path)
        found = search.result(opened, path, time.perf_counter() - began)
    if clock.speaks:
        print(found)
    return found


class _Stopped(Exception):  # noqa: N818 - it is no error, but a reason
    """Why a trial ends early."""


class TrialWatch(keras.callbacks.Callback):
    """Reports each epoch of fine-tuning to a trial, and stops what is not worth it.

    Args:
        trial: Optuna's.
        metric: What to report.
        recipe: The trial's.
        clock: Knows when the time is over.
        may_stop: Whether the trial may be given up. Otherwise its phases end after an
            epoch once the time is over.
    """

    def __init__(
        self, trial: Any, metric: str, recipe: Recipe, clock: Clock, may_stop: bool
    ):
        super().__init__()
        self.trial, self.metric, self.clock = trial, metric, clock
        self.may_stop = may_stop
        self.phase, self.step = 0, 0
        self.head_phases = 0 if recipe.head_epochs == 0 else 1

    def on_train_begin(self, logs=None):
        self.phase += 1

    def on_epoch_end(self, epoch, logs=None):
        value = float((logs or {}).get(self.metric, math.nan))
        # Epochs of the head are other ones, and their number differs.
        if self.phase > self.head_phases and math.isfinite(value):
            self.trial.report(value, self.step)
            self.step += 1
            if self.may_stop and self.trial.should_prune():
                raise _Stopped("worse than the median of the trials before it")
        if self.clock.left() <= 0:
            if self.may_stop:
                raise _Stopped("the time was over")
            # The only trial ends with what it has.
            self.model.stop_training = True


class _Search:
    """A search: what makes models, what is varied, what is best so far."""

    def __init__(
        self,
        model: Any,
        train: Any,
        validation_data: Any,
        recipe: Any,
        cache: Any,
        seed: int,
        verbose: Any,
    ):
        self.recipe = Recipe() if recipe is None else recipe
        if not isinstance(self.recipe, Recipe):
            raise ValueError(
                "`recipe` must be a `tl.Recipe` or a plan of `tl.plan`. Received: "
                f"recipe={recipe!r}."
            )
        self.train, self.val = parts_of(train, validation_data)
        if self.val is None or self.train is None:
            raise ValueError(
                "A search compares trials by validation data: pass `Splits` with "
                "training and validation examples, or `validation_data=`. Received: "
                f"train={shown(train)}, validation_data={shown(validation_data)}."
            )
        self.cache, self.seed, self.verbose = cache, seed, verbose
        self.builder: dict[str, Any] | None = None
        # Of a plan, for a builder that is at hand.
        self.planned: dict[str, Any] = {}
        self.about_model: Any = None
        self._make = self._maker(model, train)
        first = self.make({})
        fitting = Fitting(cache, verbose=0)
        plain = Recipe(**settings_of(self.recipe))
        with random_state_kept():
            # What does not fit is said before the first trial.
            job = open_job(first, self.train, self.val, plain, fitting)
        if Workers(strategy_of(first)).count > 1:
            raise ValueError(
                "A search runs in one process; several workers were configured. Search "
                "on one machine, and train the best recipe on all of them."
            )
        self.first: keras.Model | None = first
        self.input, self.directions = job.problem.input, directions(first)
        self.blocks = numbered_blocks(job.backbone)
        self.best: tuple[int, keras.Model, FineTuneHistory] | None = None

    def _maker(self, model: Any, train: Any) -> Callable[..., keras.Model]:
        """Returns a function of builder's settings that makes a model."""
        if isinstance(model, keras.Model):
            return self._copies_of(model, train)
        if callable(model):
            self.builder = builder_arguments(model, ())
            self.about_model = encode(model)
            check_defaults(model)
            return model
        if not isinstance(train, Splits):
            raise ValueError(
                "The name of a backbone needs `Splits`, which tell its head. Pass "
                f"these, or a compiled model. Received: train={shown(train)}."
            )
        problem = train.problem
        goal = next(iter(problem.outputs.values())).goal
        builder = BUILDERS.get(f"{problem.input.prefix}_{goal}")
        if builder is None:
            raise unknown_name("builder", f"{problem.input.prefix}_{goal}", BUILDERS)
        if isinstance(self.recipe, Plan):
            self.planned = dict(self.recipe.builder)
        known = builder_arguments(builder, _NOT_SEARCHED)
        self.builder = {**known, **self.planned}
        self.about_model = encode(model)
        return lambda **settings: build_for(problem, model, **settings)

    def _copies_of(self, model: keras.Model, train: Any) -> Callable[..., keras.Model]:
        if not model.compiled:
            if not isinstance(train, Splits):
                raise ValueError(
                    "A backbone needs `Splits`, which tell its head. Pass these, or a "
                    f"compiled model. Received: {model.name!r}, which is not compiled."
                )
            model = build_for(train.problem, model)
        self.about_model = model.name
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "start.keras"
            model.save(file)
            content = file.read_bytes()

        def copy() -> keras.Model:
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder) / "start.keras"
                file.write_bytes(content)
                return load(file)

        return copy

    def make(self, settings: Mapping[str, Any]) -> keras.Model:
        """Makes a model, from the same start each time."""
        with random_state_kept():
            random.seed(self.seed)
            return self._make(**{**self.planned, **settings})

    def set_space(self, space: Mapping[str, Any] | None) -> None:
        """Takes the space, or what is worth a search here."""
        known = reading_of(self.train)
        examples = None if known is None else len(known.examples)
        usual = self.input.usual(examples, self.blocks)
        defaults = default_settings(self.recipe, usual, self.builder or {})
        if space is None:
            space = default_space(defaults, self.blocks, self.input.augmentable)
        self.space = Space(space)
        check_names(self.space.ranges, self.builder)
        self.start = self.space.parameters(defaults)

    def set_metric(self, metric: str) -> None:
        """Takes what is searched by, and tells whether it is to fall."""
        self.metric, self.falls = metric, True
        if self.directions is None or metric == "val_loss":
            return
        reported = [f"val_{name}" for name in self.directions]
        if metric not in reported:
            raise unknown_name("metric", metric, reported)
        direction = self.directions[metric.removeprefix("val_")]
        if direction is None:
            raise ValueError(
                f"Keras does not know whether {metric!r} is to rise or to fall. Search "
                "by another metric, such as metric='val_loss'."
            )
        self.falls = direction == "min"

    def about(self) -> dict[str, Any]:
        """Returns what all trials of a study have in common, as JSON knows it."""
        readings = reading_of(self.train), reading_of(self.val)
        prints = [None if one is None else one.fingerprint() for one in readings]
        fixed = {
            name: encode(value)
            for name, value in settings_of(self.recipe).items()
            if name not in self.space.ranges
        }
        return {
            "data": prints,
            "metric": self.metric,
            "model": self.about_model,
            "recipe": repr(fixed),
            "seed": self.seed,
            "space": self.space.described(),
        }

    def run(self, study: Any, trials: int, clock: Clock, path: Path | None) -> None:
        """Runs trials until there are enough, or no time is left for one more."""
        if self.start is not None and not study.trials:
            study.enqueue_trial(self.start)
        took: list[float] = []
        done = len(ended(study))
        try:
            for number in range(done + 1, trials + 1):
                usual = float(np.median(took)) if took else 0.0
                if completed(study) and clock.left() < usual:
                    break
                self._try(study, clock, path)
                took.append(ended(study)[-1].user_attrs["seconds"])
                clock.say(number - done, trials - done, self._said(study, number))
                self._check_worth(study)
        except KeyboardInterrupt:
            if not completed(study):
                raise
            if clock.speaks:
                print("Interrupted: this is the best so far.")

    def _try(self, study: Any, clock: Clock, path: Path | None) -> None:
        """Runs one trial, and tells the study what came of it."""
        states = import_optuna().trial.TrialState
        trial = study.ask(self.space.distributions())
        began = time.perf_counter()
        model, history, value = None, None, None
        state = states.COMPLETE
        try:
            settings = self.space.values(trial.params)
            recipe, builder = self._parted(settings)
            model = self._model(builder)
            may_stop = bool(completed(study))
            watch = TrialWatch(trial, self.metric, recipe, clock, may_stop)
            history = self._train(model, recipe, [watch])
            value = self._value(model, history)
        except _Stopped as error:
            state = states.PRUNED
            trial.set_user_attr("error", str(error))
        # A setting that does not fit, a loss that explodes, memory: each in its way.
        except Exception as error:
            state = states.FAIL
            text = " ".join(str(error).split())
            trial.set_user_attr("error", f"{type(error).__name__}: {text}")
        trial.set_user_attr("seconds", time.perf_counter() - began)
        if state == states.COMPLETE and self._is_best(study, value):
            self.best = trial.number, model, history
            if path is not None:
                # Before the study knows: a crash in between repeats the trial.
                _keep(model, path)
        study.tell(trial, value if state == states.COMPLETE else None, state=state)
        model = history = None
        gc.collect()

    def _is_best(self, study: Any, value: float) -> bool:
        if not completed(study):
            return True
        known = study.best_value
        return value < known if self.falls else value > known

    def _model(self, builder: Mapping[str, Any]) -> keras.Model:
        model, self.first = self.first, None
        # What was made to look at is the first trial's, where nothing differs.
        if model is not None and not builder:
            return model
        return self.make(builder)

    def _train(
        self, model: keras.Model, recipe: Recipe, callbacks: list
    ) -> FineTuneHistory:
        with random_state_kept():
            random.seed(self.seed)
            return fine_tune(
                model,
                self.train,
                self.val,
                recipe=recipe,
                cache=self.cache,
                callbacks=callbacks,
                verbose=2 if self.verbose == 2 else 0,
            )

    def _parted(self, settings: Mapping[str, Any]) -> tuple[Recipe, dict[str, Any]]:
        """Returns the recipe and the builder's arguments that settings are."""
        of_recipe = {n: v for n, v in settings.items() if n in SETTINGS}
        builder = {n: v for n, v in settings.items() if n not in SETTINGS}
        recipe = Recipe(**settings_of(self.recipe)).but(**of_recipe)
        if "augment" in of_recipe and "cached_views" not in of_recipe:
            recipe = with_views(recipe)
        return recipe, builder

    def _value(self, model: keras.Model, history: FineTuneHistory) -> float:
        """Returns the metric of the weights that a trial left."""
        best = history.best
        epoch = -1 if best is None else best["epoch"]
        if self.metric == "val_loss" and best and "calibrated_loss" in best:
            value = best["calibrated_loss"]
        elif best is not None and epoch < 0:
            # The weights that it came with.
            found = model.evaluate(self.val, return_dict=True, verbose=0)
            value = found[self.metric.removeprefix("val_")]
        else:
            value = history.history.get(self.metric, [math.nan])[epoch]
        if not math.isfinite(value):
            raise ValueError(f"{self.metric} is {value}.")
        return float(value)

    def _said(self, study: Any, number: int) -> str:
        trial = ended(study)[-1]
        value, state = value_of(trial), STATES[trial.state.name]
        what = f"trial {number}: {self.metric} {value:.4g}"
        if state != "complete":
            why = textwrap.shorten(error_of(trial), _SHOWN, placeholder="...")
            what = f"trial {number}: {state}, {why}"
        best = f"best {study.best_value:.4g}" if completed(study) else "none complete"
        return f"{what}; {best}; {in_words(trial.user_attrs['seconds'])}"

    def _check_worth(self, study: Any) -> None:
        trials = ended(study)
        if len(trials) < _GIVE_UP or completed(study):
            return
        raise _no_success(study)

    def result(self, study: Any, path: Path | None, seconds: float) -> Tuning:
        """Returns what was found."""
        if not completed(study):
            raise _no_success(study)
        best = study.best_trial
        settings = self.space.values(best.params)
        recipe, builder = self._parted(settings)
        if self.best is not None and self.best[0] == best.number:
            _, model, history = self.best
        else:
            model, history = self._of_earlier(path, recipe, builder)
        first = study.trials[0]
        is_default = self.start is not None and first.params == self.start
        return Tuning(
            recipe=recipe,
            builder={**self.planned, **builder},
            model=model,
            history=history,
            metric=self.metric,
            best_value=float(best.value),
            default_value=first.value if is_default else None,
            settings=settings,
            trials=tuple(ended(study)),
            study=study,
            seconds=seconds,
        )

    def _of_earlier(
        self, path: Path | None, recipe: Recipe, builder: Mapping[str, Any]
    ) -> tuple[keras.Model, FineTuneHistory | None]:
        """Returns the best model of an earlier process, trained again if it is lost."""
        file = None if path is None else model_file(path)
        if file is not None and file.exists():
            return load(file), None
        model = self.make(builder)
        return model, self._train(model, recipe, [])


def _keep(model: keras.Model, path: Path) -> None:
    with written_whole(model_file(path)) as unfinished:
        model.save(unfinished)


def _no_success(study: Any) -> ValueError:
    errors = dict.fromkeys(map(error_of, ended(study)))
    listed = "\n".join(filter(None, errors))
    return ValueError(f"No trial succeeded.\n{listed}")
