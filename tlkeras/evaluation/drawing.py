"""The drawing methods of a report: figures onto axes."""

from typing import TYPE_CHECKING, Any

from tlkeras._validation import unknown_name
from tlkeras.evaluation.figures import Figures

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Drawing(Figures):
    """Figures that draw themselves.

    Each method draws on the axes it is given, or on those of a new figure, and returns
    them.
    """

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draws the picture that tells most: of classes the confusion matrix.

        Of labels that are not exclusive it is the ROC curves, of numbers the residuals.
        The other methods draw others; `save` writes all of them.

        Args:
            ax: Matplotlib axes. Defaults to an axes of a new figure.

        Returns:
            The axes.

        Raises:
            UnsupportedError: If the task has no picture.

        Example:
        >>> ax = tl.Report([0, 1], [[0.9, 0.1], [0.2, 0.8]]).plot()
        >>> ax.get_xlabel()
        'Predicted class'
        """
        from tlkeras.plots._figure import new_axes

        first = next(iter(self.output.plots(self)), None)
        if first is None:
            raise self.output.unsupported("Report.plot", "plots")
        return first.draw(new_axes(first.size) if ax is None else ax)

    def plot_confusion(
        self, ax: "Axes | None" = None, normalize: bool = False
    ) -> "Axes":
        """Draws the confusion matrix; see `tlkeras.plots.plot_confusion`.

        Args:
            ax: Matplotlib axes. Defaults to an axes of a new figure.
            normalize: Whether to draw shares of each row. Defaults to `False`.

        Returns:
            The axes.

        Raises:
            UnsupportedError: If the classes are not exclusive, or there are none.

        Example:
        >>> ax = tl.Report([0, 1], [[0.9, 0.1], [0.2, 0.8]]).plot_confusion()
        """
        return self.output.plot_confusion(self, ax, normalize)

    def plot_residuals(self, ax: "Axes | None" = None) -> "Axes":
        """Draws the residuals of a regression; see `tlkeras.plots.plot_residuals`.

        Args:
            ax: Matplotlib axes. Defaults to an axes of a new figure.

        Returns:
            The axes.

        Raises:
            UnsupportedError: If the task is no regression.

        Example:
        >>> ax = tl.Report([0.5, 2.0], [0.4, 2.2]).plot_residuals()
        """
        return self.output.plot_residuals(self, ax)

    def plot_roc(self, ax: "Axes | None" = None) -> "Axes":
        """Draws ROC curves, each class against the rest.

        Of two classes the second one's; of more than 6 those that are ranked worst.

        Args:
            ax: Matplotlib axes. Defaults to an axes of a new figure.

        Returns:
            The axes.

        Raises:
            UnsupportedError: If the task is a regression.
            ValueError: If no class has both examples and others.

        Example:
        >>> ax = tl.Report([0, 1], [[0.9, 0.1], [0.2, 0.8]]).plot_roc()
        """
        return self.output.plot_roc(self, ax)

    def plot_precision_recall(self, ax: "Axes | None" = None) -> "Axes":
        """Draws precision-recall curves, each class against the rest.

        They show more than ROC curves where a class is rare. Of two classes the second
        one's; of more than 6 those that are ranked worst.

        Args:
            ax: Matplotlib axes. Defaults to an axes of a new figure.

        Returns:
            The axes.

        Raises:
            UnsupportedError: If the task is a regression.
            ValueError: If no class has examples.

        Example:
        >>> ax = tl.Report([0, 1], [[0.9, 0.1], [0.2, 0.8]]).plot_precision_recall()
        """
        return self.output.plot_precision_recall(self, ax)

    def plot_reliability(self, ax: "Axes | None" = None, bins: int = 15) -> "Axes":
        """Draws how often predictions of each confidence are right.

        Args:
            ax: Matplotlib axes. Defaults to an axes of a new figure.
            bins: Number of bins of equal width.

        Returns:
            The axes.

        Raises:
            UnsupportedError: If the task is a regression.

        Example:
        >>> ax = tl.Report([0, 1], [[0.9, 0.1], [0.2, 0.8]]).plot_reliability()

        Reference:
            Guo et al., On Calibration of Modern Neural Networks (2017), figure 1.
        """
        return self.output.plot_reliability(self, ax, bins)

    def plot_cost_curve(
        self,
        ax: "Axes | None" = None,
        *,
        false_negative: Any,
        false_positive: Any = 1.0,
        class_name: str | None = None,
    ) -> "Axes":
        """Draws what it costs to say a class from each probability on.

        Args:
            ax: Matplotlib axes. Defaults to an axes of a new figure.
            false_negative: What it costs not to say the class of an example that is of
                it: a number, or one for each example.
            false_positive: What it costs to say it of another example, as well.
            class_name: The class. May be left out where there are two, of which it is
                the second one, or one label.

        Returns:
            The axes.

        Raises:
            UnsupportedError: If the output has no probabilities.
            ValueError: As `cost_curve` does.

        Example:
        >>> report = tl.Report([0, 1], [[0.9, 0.1], [0.8, 0.2]])
        >>> ax = report.plot_cost_curve(false_negative=10)
        """
        from tlkeras.plots import plot_cost_curve

        curve = self.cost_curve(
            false_negative=false_negative,
            false_positive=false_positive,
            class_name=class_name,
        )
        return plot_cost_curve(curve, ax)

    def plot_slices(self, name: str | None = None, ax: "Axes | None" = None) -> "Axes":
        """Draws the main figure of each slice with its interval.

        Args:
            name: Which way to slice. May be left out where there is one.
            ax: Matplotlib axes. Defaults to an axes of a new figure.

        Returns:
            The axes.

        Raises:
            ValueError: If the report has no such slices.

        Example:
        >>> report = tl.Report([0, 1] * 4, np.eye(2)[[0, 1, 1, 1] * 2],
        ...                    slices={"half": [1, 1, 2, 2, 1, 1, 2, 2]})
        >>> ax = report.plot_slices("half")
        """
        from tlkeras.plots import plot_slices

        if name is None and len(self.slices) == 1:
            (name,) = self.slices
        if name not in self.slices:
            if not self.slices:
                raise ValueError("The report has no slices: pass `slices` to evaluate.")
            raise unknown_name("slice", name, list(self.slices))
        table = self.slices[name]
        return plot_slices(table, table.figure, ax, title=name)

    def plot_top_losses(self, n: int = 9, ax: "Axes | None" = None) -> "Axes":
        """Draws the examples with the highest losses, pictures or texts.

        The examples are read again from the data that was evaluated.

        Args:
            n: How many.
            ax: Matplotlib axes. Defaults to an axes of a new figure.

        Returns:
            The axes.

        Raises:
            ValueError: If the report has no data, the inputs are neither pictures nor
                texts, or the data no longer gives the same examples.

        Example:
        >>> pictures = np.zeros((2, 8, 8, 3))
        >>> report = tl.Report([0, 1], [[0.9, 0.1], [0.7, 0.3]], inputs=pictures)
        >>> ax = report.plot_top_losses(1)
        """
        from tlkeras.plots import plot_examples

        positions = self.top_losses(n)
        inputs = self.examples(positions)
        titles = [self.verdict(i) for i in positions]
        ax = plot_examples(inputs, titles, ax)
        for cell, i in zip(ax.child_axes, positions, strict=False):
            size = inputs.shape[1:3]
            self.output.mark(cell, size, self.y_true[i], self.y_pred[i])
        return ax
