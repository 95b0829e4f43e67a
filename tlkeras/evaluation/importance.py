"""`permutation_importance`: how much a model leans on each column of its table."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from tlkeras._validation import check_choice, check_int
from tlkeras.description import Described, Description
from tlkeras.evaluation.evaluating import evaluate_heads
from tlkeras.evaluation.report import Report
from tlkeras.plots import plot_importances

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# How many columns are drawn, the most important first.
_DRAWN = 15


@dataclass(frozen=True, eq=False, repr=False)
class Importances(Described):
    """How much the loss rises where a column's cells are shuffled among the rows.

    Prints itself as a table, the most important column first.

    Attributes:
        columns: The columns' names.
        rises: By how much the mean loss rose, `(columns, repeats)`.
        loss: The mean loss of the rows as they are.
        examples: How many rows these are.
    """

    columns: tuple[str, ...]
    rises: np.ndarray
    loss: float
    examples: int

    @property
    def scores(self) -> np.ndarray:
        """The mean rise of each column, `(columns,)`; about 0: it is not needed."""
        return self.rises.mean(axis=1)

    @property
    def deviations(self) -> np.ndarray:
        """The standard deviation of each column's rises over shuffles, `(columns,)`."""
        return self.rises.std(axis=1)

    def top(self, count: int = 5) -> list[tuple[str, float]]:
        """Returns the columns of the largest rises, and these.

        Args:
            count: How many columns.
        """
        scores = self.scores
        order = np.argsort(-scores, kind="stable")[:count]
        return [(self.columns[i], float(scores[i])) for i in order]

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draws the most important columns as bars, with the deviations of shuffles.

        Args:
            ax: Matplotlib axes. Defaults to an axes of a new figure.

        Returns:
            The axes.
        """
        scores = dict(self.top(_DRAWN))
        found = dict(zip(self.columns, self.deviations, strict=True))
        ax = plot_importances(scores, ax, errors={name: found[name] for name in scores})
        ax.set_xlabel(f"Rise of the loss, which is {self.loss:.3g}")
        return ax

    def _described(self) -> Description:
        found = dict(zip(self.columns, self.deviations, strict=True))
        rows = tuple(
            (name, f"{score:+.4f}", f"{found[name]:.4f}")
            for name, score in self.top(len(self.columns))
        )
        title = (
            f"Rise of the loss, {self.loss:.4f} of {self.examples} rows, where a "
            f"column is shuffled; mean and deviation of {self.rises.shape[1]} shuffles"
        )
        return Description(title, ("column", "rise", "deviation"), rows)


def permutation_importance(
    model: keras.Model,
    data: Any,
    *,
    repeats: int = 5,
    seed: int = 0,
    verbose: str | int = "auto",
) -> Importances | Any:
    """Says how much a model leans on each column of a table, over a set of rows.

    Each column in turn is shuffled among the rows, so that its cells tell nothing of
    them any more, and the loss is measured again (log loss; of numbers the squared
    error). Take rows that the model did not learn from. It says what this model uses,
    not what the label hangs on: of two columns that tell the same, each alone may seem
    needless. `tl.explain` says what columns do for single rows.

    Args:
        model: A model of a table.
        data: Labelled rows, as `tl.evaluate` takes them, such as `data.test`.
        repeats: How many times each column is shuffled.
        seed: Seed of the shuffles.
        verbose: `"auto"` or 1 (progress bar of the evaluation), 2 or 0 (silent).

    Returns:
        `Importances`; of a model with several heads, one for each that has labels, in a
        dictionary.

    Raises:
        UnsupportedError: If the model is of no table.
        ValueError: If an argument is not as described, or the data do not fit.

    Example:
    >>> import pandas as pd
    >>> x = np.arange(200.0) % 7
    >>> frame = pd.DataFrame({"x": x, "other": np.arange(200) % 3, "high": x > 3})
    >>> data = tl.from_dataframe(frame, features="all", label="high")
    >>> model = tl.table_classifier("ft_transformer", data, width=8, blocks=1)
    >>> history = tl.fit_head(model, data, verbose=0)
    >>> found = tl.permutation_importance(model, data.test, verbose=0)
    >>> found.top(1)[0][0]
    'x'

    Reference:
        Breiman, Random Forests (2001); Fisher, Rudin and Dominici, All Models are
        Wrong, but Many are Useful (2019).
    """
    check_int("repeats", repeats, 1)
    check_int("seed", seed, 0)
    check_choice("verbose", verbose, ("auto", 0, 1, 2))
    problem, reports = evaluate_heads(model, data, verbose=verbose)
    found = {}
    for head, report in reports.items():
        rows = report.examples(np.arange(len(report.y_true)))
        if len(rows) < 2:
            raise ValueError(
                "Cells are shuffled among rows: `data` must have at least 2 of them. "
                f"Received: {len(rows)}."
            )
        rises = {}
        for name, shuffled in problem.input.shuffled(rows, repeats, seed):
            outputs = model.predict(shuffled, verbose=0)
            outputs = outputs[head] if problem.named else outputs
            each = np.split(np.asarray(outputs), repeats)
            rises[name] = [_loss(report, one) - _loss(report) for one in each]
        found[head] = Importances(
            tuple(rises), np.array([*rises.values()]), _loss(report), len(rows)
        )
    return problem.face(found)


def _loss(report: Report, outputs: np.ndarray | None = None) -> float:
    """Returns the mean loss of a report, or of other outputs for its examples."""
    if outputs is not None:
        report = Report(report.y_true, outputs, output=report.output)
    return float(report.losses.mean())
