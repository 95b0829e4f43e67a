"""What a search found, and what its trials say."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from tlkeras.choosing.studies import import_optuna
from tlkeras.description import Described, Description
from tlkeras.training import FineTuneHistory, Recipe

if TYPE_CHECKING:
    import pandas as pd

# Of trials that have ended, by Optuna's names.
STATES = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}


@dataclass(frozen=True, eq=False, repr=False)
class Tuning(Described):
    """What a search found; prints as a table, in a notebook as HTML.

    Attributes:
        recipe: The best `tl.Recipe`, for `tl.fine_tune`.
        builder: The best arguments for the builder, and those of a plan that the search
            started from; empty where there are none.
        model: The best trial's model, with the weights that it was left with.
        history: Its `FineTuneHistory`; `None` where an earlier process trained it.
        metric: What was searched by.
        best_value: What the best trial reached, on the validation data that chose it
            among all, and so a little too good: the test part tells.
        default_value: What the first trial reached, that of the settings that the
            search started from; `None` where it did not, or they are not in the space.
        settings: The best trial's settings, by name.
        trials: The trials that have ended, `optuna.trial.FrozenTrial`s.
        study: The `optuna.Study`.
        seconds: How long this call took.
    """

    recipe: Recipe
    builder: Mapping[str, Any]
    model: keras.Model = field(repr=False)
    history: FineTuneHistory | None = field(repr=False)
    metric: str
    best_value: float
    default_value: float | None
    settings: Mapping[str, Any]
    trials: tuple[Any, ...] = field(repr=False)
    study: Any = field(repr=False)
    seconds: float

    @property
    def table(self) -> "pd.DataFrame":
        """A row for each trial: state, the metric, seconds, settings and any error.

        `state` is `"complete"`, `"pruned"` or `"failed"`. Of pruned trials the metric
        is the last that was seen.
        """
        import pandas as pd

        names = list(self.settings)
        rows = []
        for trial in self.trials:
            rows.append(
                {
                    "state": STATES[trial.state.name],
                    self.metric: value_of(trial),
                    "seconds": trial.user_attrs.get("seconds", math.nan),
                    **{name: trial.params.get(name) for name in names},
                    "error": error_of(trial),
                }
            )
        numbers = pd.RangeIndex(1, len(rows) + 1, name="trial")
        return pd.DataFrame(rows, index=numbers)

    def plot(self, ax: Any = None) -> Any:
        """Draws what each trial reached, and the best so far.

        Args:
            ax: A matplotlib axes to draw on; made if `None`.

        Returns:
            The axes.
        """
        from tlkeras.plots import plot_trials

        values = [value_of(trial) for trial in self.trials]
        complete = [trial.state.name == "COMPLETE" for trial in self.trials]
        counted = np.where(complete, values, math.nan)
        falls = self.study.direction.name == "MINIMIZE"
        best = (np.fmin if falls else np.fmax).accumulate(counted)
        pruned = [trial.state.name == "PRUNED" for trial in self.trials]
        return plot_trials(values, best, ax, ylabel=self.metric, pruned=pruned)

    @property
    def importances(self) -> dict[str, float]:
        """How much of the differences between trials each setting explains.

        Shares that sum to 1, by functional analysis of variance (fANOVA): rough, where
        trials are few.

        Raises:
            ValueError: If fewer than two trials are complete, or all are alike.
        """
        optuna = import_optuna()
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
        try:
            found = optuna.importance.get_param_importances(
                self.study, evaluator=evaluator
            )
        except (ValueError, RuntimeError) as error:
            raise ValueError(
                "Importances need at least two complete trials that differ: "
                f"{error} Search on with more `trials=`."
            ) from error
        return dict(found)

    def plot_importances(self, ax: Any = None) -> Any:
        """Draws how much of the differences between trials each setting explains.

        Args:
            ax: A matplotlib axes to draw on; made if `None`.

        Returns:
            The axes.
        """
        from tlkeras.plots import plot_importances

        return plot_importances(self.importances, ax)

    def _described(self) -> Description:
        states = [STATES[trial.state.name] for trial in self.trials]
        counts = (f"{states.count(s)} {s}" for s in STATES.values() if s in states)
        title = (
            f"Best {self.metric} {self.best_value:.4g} of {len(states)} trial(s): "
            f"{', '.join(counts)}"
        )
        rows = tuple((name, _shown(value)) for name, value in self.settings.items())
        notes = ()
        if self.default_value is not None:
            notes = (f"The settings that it started from: {self.default_value:.4g}.",)
        return Description(title, ("setting", "best"), rows, notes)


def _shown(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else repr(value)


def ended(study: Any) -> list[Any]:
    """Returns the trials that have ended, in their order."""
    return [t for t in study.get_trials(deepcopy=False) if t.state.name in STATES]


def completed(study: Any) -> list[Any]:
    """Returns the trials that were neither pruned nor failed."""
    return [t for t in ended(study) if t.state.name == "COMPLETE"]


def value_of(trial: Any) -> float:
    """Returns what a trial reached, or what was seen of it last; NaN for nothing."""
    if trial.value is not None and trial.state.name == "COMPLETE":
        return float(trial.value)
    seen = trial.intermediate_values
    return float(seen[max(seen)]) if seen else math.nan


def error_of(trial: Any) -> str:
    """Returns why a trial did not end as it should; empty where it did."""
    known = trial.user_attrs.get("error", "")
    return known or ("interrupted" if trial.state.name == "FAIL" else "")
