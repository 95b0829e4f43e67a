"""The report of an evaluation: its figures, drawn, printed and saved."""

import os

from tlkeras.evaluation.drawing import Drawing
from tlkeras.evaluation.rendering import files, html, text


class Report(Drawing):
    """What an evaluation found.

    `evaluate` makes one from a model; it can also be made of labels and outputs
    that are at hand. Figures are computed when they are first asked for. `print`
    gives a table, a notebook cell shows tables and pictures.

    Args:
        labels: Class numbers from 0 of shape `(n,)` or `(n, 1)`, or one-hot rows;
            rows of zeros and ones for labels that are not exclusive; or numbers of a
            regression, `(n,)` or `(n, outputs)`.
        outputs: What a model gave: probabilities, logits or predicted numbers, of shape
            `(n, outputs)` or `(n,)`.
        task: `"classification"`, `"multi_label"` or `"regression"`. Defaults to
            what labels and outputs look like.
        class_names: Names of the classes in the order of the labels. Defaults to
            the numbers from 0.
        sample_weight: Weights of the examples in the loss, of shape `(n,)`.
            Defaults to 1 each.
        slices: From a name to one value per example, or such values.
        groups: One value per example; examples of one value belong together.
        thresholds: Of labels that are not exclusive: the probability from which one is
            predicted, a number or one per label. Defaults to 0.5.
        inputs: The examples, an array of pictures or texts, to show some of them.
        output: What labels and outputs are of, such as `tl.Classes(["a", "b"])`, where
            that is known; its `logits` tells whether outputs are logits, which their
            values do otherwise. `task`, `class_names` and `thresholds` win over it.
        about: What was evaluated, as a saved report says it: from `"model"`, `"data"`
            and the like to words. `evaluate` fills it in.
        domain_gap: What `tl.domain_gap` found of these examples and others, such as
            those that the model was chosen by. `evaluate` fills it in where it is
            given a `reference`.

    Every figure of `metrics` is an attribute as well: `report.loss`, `report.roc_auc`.

    Attributes:
        output: What labels and outputs are of.
        task: Its task.
        y_true: Class numbers, int64 of shape `(n,)`; zeros and ones of shape
            `(n, labels)`; or values, float64 of shape `(n,)` or `(n, targets)`.
        outputs: What the model gave, as figures are computed of it: float32
            `(n, outputs)`.
        y_pred: Predictions, of the shape of `y_true`; float32 for a regression.
        probabilities: Float32 of shape `(n, classes)`; `None` for a regression.
        class_names: Tuple of names; `None` for a regression without any.
        sample_weight: Array of shape `(n,)`, or `None`.
        slice_values: From the name of each way to slice to its values, `(n,)`.
        groups: Array of shape `(n,)`, or `None`.
        about: Dictionary of strings.
        domain_gap: A `DomainGap`, or `None`.

    Raises:
        ValueError: If labels, outputs, names and values do not fit each other.

    Example:
    >>> report = Report([0, 1, 1], [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    >>> report.confusion.tolist()
    [[1, 0], [1, 1]]
    >>> round(report.accuracy, 3)
    0.667
    """

    def save(self, path: str | os.PathLike) -> None:
        """Writes the report as one HTML file or as a folder.

        Files appear under their final names only when they are complete, and
        replace files of those names. An HTML file holds its pictures and refers to
        nothing outside.

        Args:
            path: File ending in `.html`; or a folder, new or not, which gets
                `report.html`, `report.json` and the pictures that suit the task
                (`confusion.png`, `residuals.png` and the like). Missing parents are
                made.

        Raises:
            ValueError: If `path` cannot be written to, or is neither.

        Example:
        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Report([0.5, 2.0], [0.5, 1.0]).save(folder)
        ...     sorted(file.name for file in pathlib.Path(folder).iterdir())
        ['report.html', 'report.json', 'residuals.png']
        """
        files.save(self, path)

    def __str__(self) -> str:
        return text.text(self)

    def __repr__(self) -> str:
        return f"<Report: {text.headline(self)}>"

    def _repr_html_(self) -> str:
        return html.fragment(self)
