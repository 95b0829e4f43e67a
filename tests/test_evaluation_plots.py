"""Plots of a report: what they draw, of which classes, and what they refuse."""

import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.figure import Figure

from tlkeras import plots
from tlkeras.evaluation import Report
from tlkeras.plots.examples import to_jpeg

CURVE = {"cat": ([0.0, 0.0, 1.0], [0.0, 1.0, 1.0], 1.0)}
ROW = {"slice": "in", "examples": 9, "mae": 1.0, "low": 0.5, "high": 2.0}
ROWS = [{**ROW, "small": False}, {**ROW, "slice": "out", "small": True}]
PICTURES = np.zeros((2, 4, 4, 3), "uint8")
BINS = ([0, 0.5, 1], [0.4, np.nan], [0.5, np.nan], [3, 0], 0.1)

DRAWINGS = {
    "roc": lambda ax: plots.plot_roc(CURVE, ax),
    "precision_recall": lambda ax: plots.plot_precision_recall(CURVE, ax),
    "reliability": lambda ax: plots.plot_reliability(*BINS, ax),
    "costs": lambda ax: report_of(2).plot_cost_curve(ax, false_negative=50),
    "slices": lambda ax: plots.plot_slices(ROWS, "mae", ax, title="place"),
    "pictures": lambda ax: plots.plot_examples(PICTURES, ["a", "b"], ax),
    "texts": lambda ax: plots.plot_examples(["x", "y"], ["a", "b"], ax),
}


def report_of(classes, n=200):
    rng = np.random.default_rng(0)
    p = rng.dirichlet([0.5] * classes, n).astype("float32")
    y = np.array(
        [rng.choice(classes, p=row / row.sum()) for row in p.astype("float64")]
    )
    return Report(y, p)


def legend_of(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


@pytest.mark.parametrize("draw", DRAWINGS.values(), ids=DRAWINGS)
def test_a_figure_is_made_only_without_axes(draw):
    given = Figure().subplots()
    assert draw(given) is given
    assert pyplot.get_fignums() == []
    assert draw(None).get_figure() is pyplot.gcf()


def test_curves_are_those_of_the_areas():
    report = report_of(3)
    ax = report.plot_roc()
    assert len(legend_of(ax)) == 3
    for line, area in zip(ax.lines, report.areas[0], strict=False):
        x, y = line.get_data()
        assert np.trapezoid(y, x) == pytest.approx(area)
    assert f"0 (AP {report.areas[1][0]:.3f})" in legend_of(
        report.plot_precision_recall()
    )


def test_of_many_classes_the_worst_ones_are_drawn_and_of_two_one():
    report = report_of(9)
    worst = sorted(np.argsort(report.areas[0])[:6])
    names = [text.split()[0] for text in legend_of(report.plot_roc())]
    assert names == [str(i) for i in worst]
    assert legend_of(report_of(2).plot_roc())[0].startswith("1 (area")


def test_long_curves_are_thinned_and_formulas_stay_names():
    x = np.linspace(0, 1, 9000)
    ax = plots.plot_roc({"$x$": (x, x, 0.5)})
    assert len(ax.lines[0].get_xdata()) <= 500
    assert legend_of(ax) == [r"\$x\$ (area 0.500)"]


def test_reliability_draws_the_bins_that_are_full():
    ax = plots.plot_reliability(*BINS)
    heights = [bar.get_height() for bar in ax.patches]
    assert heights == [0.5, 1.0, 0.0]
    assert ax.collections[0].get_offsets().tolist() == [[0.4, 0.5]]
    assert ax.get_title() == "Expected calibration error 0.100"


def test_slices_have_intervals_and_small_ones_are_hollow():
    ax = plots.plot_slices(ROWS, "mae")
    assert [list(line.get_xdata()) for line in ax.lines] == [[0.5, 2.0]] * 2
    faces = [tuple(dots.get_facecolor()[0]) for dots in ax.collections]
    assert faces[1] == (1, 1, 1, 1) != faces[0]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["in (9)", "out (9)"]


@pytest.mark.parametrize(
    "low, high, first", [(0, 255, 0), (0, 1, 0), (-1, 1, 0), (-2.1, 2.6, 0)]
)
def test_pictures_of_any_range_are_drawn_from_dark_to_light(low, high, first):
    x = np.full((1, 2, 2, 3), low, "float32")
    x[0, 1] = high
    (cell,) = plots.plot_examples(x, ["a"]).child_axes
    pixels = cell.images[0].get_array()
    assert (pixels.min(), pixels.max()) == (first, 255)


def test_long_texts_and_titles_are_cut():
    ax = plots.plot_examples([["word " * 99, "pair"]], ["t" * 30 + " u" * 99])
    title, body = (text.get_text() for text in ax.texts)
    assert body.count("\n") == 2 and body.endswith("…")
    assert len(title) <= 88


def test_what_titles_say_in_brackets_has_a_line_of_its_own():
    titles = ["short (0.60)", "ants taken for bees (bees 0.70, ants 0.20)"]
    cells = plots.plot_examples(PICTURES, titles).child_axes
    assert cells[0].get_title() == titles[0]
    assert cells[1].get_title() == "ants taken for bees\n(bees 0.70, ants 0.20)"


def test_the_confusion_matrix_has_shares_where_there_is_room():
    def cells(matrix, **settings):
        names = list(map(str, range(len(matrix))))
        ax = plots.plot_confusion(matrix, names, **settings)
        return [text.get_text() for text in ax.texts]

    assert cells([[6, 2], [0, 5]]) == ["6\n75%", "2\n25%", "0", "5\n100%"]
    assert cells([[6, 2], [0, 0]])[2:] == ["0", "0"]
    assert cells([[6, 2], [0, 5]], normalize=True) == ["0.75", "0.25", "0", "1.00"]
    assert not any("%" in text for text in cells(np.full((40, 40), 12345)))


def test_photographs_are_small_as_jpeg():
    data = to_jpeg(lambda ax: plots.plot_examples(PICTURES, ["a", "b"], ax), (4, 2))
    assert data.startswith(b"\xff\xd8") and len(data) < 30_000
    assert pyplot.get_fignums() == []


@pytest.mark.parametrize(
    "draw, message",
    [
        (lambda: plots.plot_roc({}), "at least one curve"),
        (lambda: plots.plot_roc({"a": ([0, 1], [0], 1.0)}), r"\(2,\) and \(1,\)"),
        (lambda: plots.plot_slices([], "mae"), "at least one slice"),
        (lambda: plots.plot_reliability([0, 1], [1], [1], [0], 0), "some predictions"),
        (lambda: plots.plot_examples(PICTURES, ["a"]), "one title per example"),
        (lambda: plots.plot_examples(np.zeros((1, 4)), ["a"]), r"shape \(1, 4\)"),
    ],
)
def test_what_does_not_fit_raises(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()
