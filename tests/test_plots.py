"""Plots: what they draw, that it is legible, and that they leave nothing behind."""

import doctest
import io

import keras
import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.figure import Figure

from tlkeras import plots
from tlkeras.plots import bars, confusion, history, residuals


@pytest.fixture(autouse=True)
def _no_traces():
    """Each test starts without figures and must not change global settings."""
    pyplot.close("all")
    before = dict(matplotlib.rcParams)
    yield
    assert dict(matplotlib.rcParams) == before
    pyplot.close("all")


def texts_of(ax):
    return [text.get_text() for text in ax.texts]


def names_on(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def boxes_of(labels):
    labels[0].get_figure(root=True).canvas.draw()
    return [label.get_window_extent() for label in labels if label.get_text()]


def diagonal(classes, seed=0):
    rng = np.random.default_rng(seed)
    return np.diag(rng.integers(20, 60, classes)) + rng.integers(0, 2, (classes,) * 2)


DRAWINGS = {
    "confusion": lambda ax: plots.plot_confusion(diagonal(3), "abc", ax),
    "residuals": lambda ax: plots.plot_residuals([1.0, 2.0], [1.5, 2.0], ax),
    "bars": lambda ax: plots.plot_bars({"a": [0.5, 0.7]}, ax),
    "history": lambda ax: plots.plot_history({"loss": [2.0, 1.0]}, ax)[0],
}


@pytest.mark.parametrize("draw", DRAWINGS.values(), ids=DRAWINGS)
def test_a_figure_is_made_only_without_axes(draw):
    given = Figure().subplots()
    assert draw(given) is given
    assert pyplot.get_fignums() == []

    made = draw(None)
    assert len(pyplot.get_fignums()) == 1
    assert made.get_figure() is pyplot.gcf()


@pytest.mark.parametrize(
    "draw",
    [
        lambda: plots.plot_confusion([[1, 2]], ["a"]),
        lambda: plots.plot_confusion([[1, 2], [3, -4]], ["a", "b"]),
        lambda: plots.plot_confusion([[1, 2], [3, 4]], ["a"]),
        lambda: plots.plot_residuals([1.0, 2.0], [[1.0], [2.0]]),
        lambda: plots.plot_residuals([], []),
        lambda: plots.plot_bars({}),
        lambda: plots.plot_bars({"a": [0.5], "b": []}),
        lambda: plots.plot_bars({"a": [float("nan")]}),
        lambda: plots.plot_history({"accuracy": [0.5]}),
        lambda: plots.plot_history([1.0, 2.0]),
        lambda: plots.plot_history({"loss": []}),
        lambda: plots.plot_history({"loss": [1.0, 2.0], "val_loss": [1.0]}),
        lambda: plots.plot_history({"loss": [1.0], "auc": [0.5]}, metric="acc"),
        lambda: plots.plot_history({"loss": [1.0]}, phases=[("a", 2)]),
        lambda: plots.plot_history({"loss": [1.0]}, phases=[("a", 0)]),
        lambda: plots.plot_history({"loss": [1.0] * 9}, phases=[("a", 5), ("b", 2)]),
        lambda: plots.plot_history({"loss": [1.0]}, Figure().subplots(1, 2)),
    ],
)
def test_bad_input_raises_and_leaves_no_figure(draw):
    with pytest.raises(ValueError, match="Received|No such metric"):
        draw()
    assert pyplot.get_fignums() == []


def test_to_png_gives_a_picture_and_leaves_no_figure():
    png = plots.to_png(DRAWINGS["confusion"], (3.0, 2.0), dpi=50)
    assert pyplot.imread(io.BytesIO(png)).shape[:2] == (100, 150)
    assert pyplot.get_fignums() == []


def test_confusion_writes_counts_by_true_row_and_predicted_column():
    ax = plots.plot_confusion([[7, 2], [0, 5]], ["cat", "dog"])
    cells = {text.get_position(): text.get_text() for text in ax.texts}
    assert cells == {
        (0, 0): "7\n78%",
        (1, 0): "2\n22%",
        (0, 1): "0",
        (1, 1): "5\n100%",
    }
    assert names_on(ax.xaxis) == names_on(ax.yaxis) == ["cat", "dog"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Predicted class", "True class")


def test_normalized_confusion_gives_shares_and_leaves_empty_rows_blank():
    ax = plots.plot_confusion([[3, 1], [0, 0]], ["cat", "dog"], normalize=True)
    assert texts_of(ax) == ["0.75", "0.25", "", ""]
    assert ax.images[0].get_clim() == (0, 1)


def test_a_confusion_of_nothing_is_drawn():
    assert texts_of(plots.plot_confusion(np.zeros((2, 2), int), "ab")) == ["0"] * 4


def test_a_large_confusion_has_a_colour_bar_instead_of_numbers():
    ax = plots.plot_confusion(diagonal(100), [f"class {i}" for i in range(100)])
    assert texts_of(ax) == []
    assert [other.get_ylabel() for other in ax.figure.axes[1:]] == ["examples"]


@pytest.mark.parametrize(
    ("classes", "name"),
    [
        (2, "a long name of the class number {}"),
        (25, "a long name of the class number {}"),
        pytest.param(300, "a long name of the class number {}", marks=pytest.mark.slow),
        pytest.param(100, "{}", marks=pytest.mark.slow),
    ],
)
def test_class_names_neither_overlap_nor_are_cut(classes, name):
    ax = plots.plot_confusion(
        diagonal(classes), [name.format(i) for i in range(classes)]
    )
    rows, columns = (boxes_of(axis.get_ticklabels()) for axis in (ax.yaxis, ax.xaxis))
    page = ax.figure.bbox
    for upper, lower in zip(rows, rows[1:], strict=False):
        assert upper.y0 >= lower.y1
    if ax.get_xticklabels()[0].get_rotation() != 45:
        for left, right in zip(columns, columns[1:], strict=False):
            assert left.x1 <= right.x0
    for box in [*rows, *columns]:
        assert page.x0 <= box.x0 and box.x1 <= page.x1
        assert page.y0 <= box.y0 and box.y1 <= page.y1
    assert len(rows) >= min(classes, 20)


def test_numbers_stay_within_their_cells():
    ax = plots.plot_confusion(np.full((10, 10), 123456), "0123456789")
    width = ax.get_window_extent().width / 10
    assert all(box.width <= width for box in boxes_of(ax.texts))


def test_names_are_text_not_formulas():
    names = ["$x$", "a\nb", "y" * 50]
    ax = plots.plot_confusion(diagonal(3), names)
    ax.figure.canvas.draw()
    shown = ax.get_yticklabels()
    assert [label.get_text() for label in shown[:2]] == ["$x$", "a b"]
    assert len(shown[2].get_text()) <= 24
    assert not any(label.get_parse_math() for label in shown)


HISTORY = {
    "accuracy": [0.4, 0.6, 0.7, 0.9],
    "loss": [1.5, 1.0, 0.7, 0.3],
    "val_loss": [1.6, 1.2, 0.9, 0.8],
    "val_accuracy": [0.3, 0.5, 0.6, 0.7],
    "learning_rate": [0.1] * 4,
}


def test_history_draws_loss_and_metric_from_epoch_one():
    loss, metric = plots.plot_history(HISTORY)
    training, validation = metric.lines
    assert list(training.get_xdata()) == [1, 2, 3, 4]
    assert list(training.get_ydata()) == HISTORY["accuracy"]
    assert list(validation.get_ydata()) == HISTORY["val_accuracy"]
    assert list(loss.lines[1].get_ydata()) == HISTORY["val_loss"]
    assert [t.get_text() for t in loss.get_legend().get_texts()] == [
        "training",
        "validation",
    ]
    assert all(tick == int(tick) for tick in loss.get_xticks())


def test_history_marks_phases_between_epochs():
    axes = plots.plot_history(HISTORY, phases=[("head", 1), ("fine-tune", 3)])
    for ax in axes:
        assert texts_of(ax) == ["head", "fine-tune"]
        assert [list(line.get_xdata()) for line in ax.lines[2:]] == [[2.5, 2.5]]


def test_names_of_short_phases_do_not_overlap():
    phases = [(f"unfreeze block{i}", i) for i in range(1, 5)]
    ax = plots.plot_history(HISTORY, phases=phases)[0]
    assert {text.get_rotation() for text in ax.texts} == {45}
    assert all(box.y1 <= ax.figure.bbox.y1 for box in boxes_of(ax.texts))


def test_history_takes_what_fit_returns():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", metrics=["mae"])
    run = model.fit(np.ones((4, 2)), np.ones((4, 1)), epochs=2, verbose=0)
    assert [ax.get_ylabel() for ax in plots.plot_history(run)] == ["loss", "mae"]


def test_history_without_metrics_is_one_panel():
    axes = plots.plot_history({"loss": [2.0, 1.0]})
    assert [ax.get_ylabel() for ax in axes] == ["loss"]


def test_history_draws_the_metric_that_is_named():
    values = {**HISTORY, "auc": [0.5] * 4}
    assert plots.plot_history(values, metric="auc")[1].get_ylabel() == "auc"


def test_residuals_are_true_minus_predicted():
    ax = plots.plot_residuals([1.0, 5.0], [2.0, 3.0])
    assert ax.collections[0].get_offsets().tolist() == [[2.0, -1.0], [3.0, 2.0]]


def test_residuals_tell_targets_apart():
    ax = plots.plot_residuals(np.zeros((5, 2)), np.ones((5, 2)))
    colours = {tuple(points.get_facecolor()[0]) for points in ax.collections}
    assert len(colours) == 2
    assert len(ax.get_legend().get_texts()) == 2


def test_bars_stand_at_the_median_and_dots_at_each_run():
    ax = plots.plot_bars({"a": [0.2, 0.4, 0.9], "b": [0.5]}, ylabel="macro_f1")
    assert [bar.get_height() for bar in ax.patches] == [0.4, 0.5]
    assert [sorted(dots.get_offsets()[:, 1]) for dots in ax.collections] == [
        [0.2, 0.4, 0.9],
        [0.5],
    ]
    assert texts_of(ax) == ["0.4", "0.5"]
    assert ax.get_ylim()[0] == 0
    assert ax.get_ylabel() == "macro_f1"


@pytest.mark.parametrize("module", [bars, confusion, history, residuals])
def test_examples_run(module):
    assert doctest.testmod(module).failed == 0
