"""Parts of a report: intervals, slices, groups, thresholds, examples, two models."""

import itertools
import json
import pickle

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from helpers import echo, tiny_backbone
from images import encode, picture
from scipy.stats import binom, binomtest
from sklearn.metrics import f1_score

import tlkeras as tl
from tlkeras.evaluation import Report, compare, evaluate
from tlkeras.evaluation.aligned import Aligned
from tlkeras.inputs import Input, examples_of
from tlkeras.metrics.intervals import Estimate, difference_interval
from tlkeras.metrics.resampling import sums_by_unit, units
from tlkeras.problem import Problem


def right_and_wrong(hits):
    """Returns labels and probabilities of which those with `hits` are right."""
    hits = np.asarray(hits, bool)
    y = np.arange(len(hits)) % 2
    return y, np.eye(2, dtype="float32")[np.where(hits, y, 1 - y)]


def report_of(hits, **arguments):
    return Report(*right_and_wrong(hits), task="classification", **arguments)


# Intervals


def test_the_interval_of_the_accuracy_is_wilsons():
    low, high = report_of([1] * 45 + [0] * 5).interval()
    # Wilson's formula by hand: n = 50, p = 0.9, z = 1.96.
    n, p, z = 50, 0.9, 1.959964
    middle = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    assert (low, high) == pytest.approx((middle - half, middle + half))
    wide, narrow = (report_of([1] * 9 + [0]).interval(c) for c in (0.99, 0.5))
    assert wide.low < narrow.low < 0.9 < narrow.high < wide.high


def test_groups_widen_the_interval_as_their_number_says():
    hits = np.repeat(np.random.default_rng(0).random(40) < 0.7, 25)
    alone = report_of(hits).interval()
    grouped = report_of(hits, groups=np.repeat(np.arange(40), 25)).interval()
    share, spread = hits.mean(), 1.96 * np.sqrt(0.7 * 0.3 / 40)
    assert grouped == pytest.approx((share - spread, share + spread), abs=0.04)
    assert grouped.high - grouped.low > 4 * (alone.high - alone.low)
    perfect = report_of([1] * 60, groups=np.repeat([0, 1, 2], 20)).interval()
    wilson = binomtest(3, 3).proportion_ci(method="wilson")
    assert perfect == pytest.approx((wilson.low, wilson.high))


def test_the_interval_of_a_mean_has_the_spread_of_theory_at_any_size():
    rng = np.random.default_rng(0)
    for n in (400, 20_000):
        values = rng.exponential(size=n)
        low, high = Report(values, np.zeros(n), task="regression").interval()
        spread = 2 * 1.96 * values.std() / np.sqrt(n)
        assert high - low == pytest.approx(spread, rel=0.15)
        assert low < values.mean() < high


def test_one_example_has_no_interval_of_its_error():
    assert np.isnan(Report([1.5], [1.0]).interval()).all()
    assert Report([1.5], [1.0]).to_dict()["interval"] == [None, None]


def test_units_are_summed_by_hand():
    numbers = units(np.array(["b", "a", "b"]), 3)
    sums, counts = sums_by_unit(np.array([1.0, 2.0, 4.0]), numbers, np.array([0, 0, 1]))
    assert sums.tolist() == [[2, 0], [1, 4]]
    assert counts.tolist() == [[1, 0], [1, 1]]


# Slices

HITS = [1] * 38 + [0] * 2 + [1] * 24 + [0] * 16 + [0] * 5
PLACES = np.array(["indoor"] * 40 + ["outdoor"] * 40 + ["night"] * 5)


def test_a_slice_has_the_figures_of_its_examples():
    report = report_of(HITS, slices={"place": PLACES})
    table = report.slices["place"]
    assert [row["slice"] for row in table] == ["night", "outdoor", "indoor"]
    assert [row["accuracy"] for row in table] == pytest.approx([0, 0.6, 0.95])
    assert [row["examples"] for row in table] == [5, 40, 40]
    assert [row["small"] for row in table] == [True, False, False]
    part = report.subset(PLACES == "outdoor")
    assert part.accuracy == pytest.approx(0.6)
    assert (table[1]["low"], table[1]["high"]) == part.interval()
    assert table[1]["loss"] == pytest.approx(part.metrics["loss"], rel=1e-5)
    gap = table.gap
    assert (gap.best, gap.worst, gap.among) == ("indoor", "outdoor", 2)
    assert gap.difference == pytest.approx(0.35)
    spread = 1.96 * np.sqrt(0.95 * 0.05 / 40 + 0.6 * 0.4 / 40)
    assert gap.interval == pytest.approx((0.35 - spread, 0.35 + spread), abs=0.03)


def test_the_interval_of_the_gap_allows_for_its_having_been_picked():
    excluded = 0
    for seed in range(20):
        hits = np.random.default_rng(seed).random(600) < 0.8
        gap = report_of(hits, slices={"s": np.arange(600) % 10}).slices["s"].gap
        excluded += gap.interval.low > 0
    assert excluded <= 3


def test_reports_say_the_same_every_time():
    first, second = (
        report_of(HITS, slices={"place": PLACES}, groups=np.arange(85) // 2)
        for _ in range(2)
    )
    assert first.to_dict() == second.to_dict()
    assert str(first) == str(second)
    assert json.loads(json.dumps(first.to_dict(), allow_nan=False)) == first.to_dict()


def test_slices_of_a_regression_rank_errors():
    y = np.zeros(80)
    slices = np.repeat(["a", "b"], 40)
    report = Report(y, np.repeat([0.1, 0.3], 40), task="regression", slices=slices)
    table = report.slices["slice"]
    assert [row["slice"] for row in table] == ["b", "a"]
    assert (table.gap.best, table.gap.worst) == ("a", "b")
    assert "Largest gap in mae: 0.200" in str(report)


def test_many_numbers_are_cut_at_their_quartiles_and_gaps_are_named():
    frame = pd.DataFrame({"age": np.arange(100.0), "sex": ["f", None] * 50})
    report = report_of([1] * 100, slices=frame)
    assert [row["examples"] for row in report.slices["age"]] == [25] * 4
    assert {row["slice"] for row in report.slices["sex"]} == {"f", "(missing)"}
    assert report_of([1] * 4, slices=pd.Series(range(4), name="n")).slices.keys() == {
        "n"
    }


@pytest.mark.parametrize(
    ("hits", "shown"),
    [([1] * 3 + [0] * 3, False), ([1] * 5 + [0] * 5, True)],
)
def test_the_gap_of_few_examples_is_as_wide_as_chance(hits, shown):
    slices = np.repeat(["a", "b"], len(hits) // 2)
    report = report_of(hits, slices=slices)
    gap = report.slices["slice"].gap
    # Fisher's test of 3 against 3 has p = 0.1, of 5 against 5 p = 0.008.
    assert (gap.difference, gap.interval.high) == (1, 1)
    assert (gap.interval.low > 0) == shown and gap.interval.low < 0.5
    assert ("no gap is shown" in str(report)) == (not shown)


def test_intervals_of_few_examples_hold():
    """Of all outcomes of 4 against 6 those that exclude 0 have 5% at most."""
    for share in (0.1, 0.5, 0.8):
        missed = 0.0
        for first, second in itertools.product(range(5), range(7)):
            estimates = [
                Estimate(np.arange(n) < k, np.ones(n, int), True, False)
                for k, n in ((first, 4), (second, 6))
            ]
            low, high = difference_interval(*estimates)
            chance = binom.pmf(first, 4, share) * binom.pmf(second, 6, share)
            missed += chance * (not low <= 0 <= high)
        assert missed <= 0.05


@pytest.mark.parametrize("count", [3, 10])
def test_intervals_of_few_errors_and_groups_hold(count):
    """Those of a bootstrap of 3 held in 62% of cases, of Student's in 89%."""
    random, groups = np.random.default_rng(0), np.repeat(np.arange(count), 10)
    held, shares, wide = 0, 0, 0
    for _ in range(200):
        errors = random.exponential(size=count)
        low, high = Report(errors, 0 * errors, task="regression").interval()
        held += 0 <= low <= 1 <= high
        chance = random.beta(1, 1, size=count).repeat(10)
        report = report_of(random.random(10 * count) < chance, groups=groups)
        shares += report.interval().low <= 0.5 <= report.interval().high
        one, other = random.random((2, count)) < 0.7
        pairs = compare(report_of(one), report_of(other)).interval
        wide += pairs.low <= 0 <= pairs.high
    assert held / 200 > 0.92 and shares / 200 > 0.92 and wide / 200 > 0.92


def test_groups_that_two_slices_share_count_in_the_gap():
    """All frames of a video are right or wrong, in both of its halves alike."""
    hits = np.repeat(np.random.default_rng(1).random(12) < 0.6, 20)
    groups, half = np.repeat(np.arange(12), 20), np.tile([0, 1], 120)
    alone = report_of(hits, slices=half).slices["slice"]
    table = report_of(hits, slices=half, groups=groups).slices["slice"]
    assert table.gap.interval.high < alone.gap.interval.high
    assert table.gap.best != table.gap.worst
    assert table[0]["high"] - table[0]["low"] > alone[0]["high"] - alone[0]["low"]


@pytest.mark.parametrize(
    ("values", "names"),
    [
        (np.r_[np.arange(90.0), [np.nan] * 10], 5),
        (pd.array([*range(90), *[None] * 10], dtype="Int64"), 5),
        ([*range(90), *[None] * 10], 5),
        (np.ma.array(np.arange(100), mask=np.arange(100) > 89), 5),
        (pd.Series([1.0, 2.0, None, 4.0] * 25), {"1", "2", "4", "(missing)"}),
        (pd.Series([True, None] * 50), {"True", "(missing)"}),
        (np.r_[np.arange(98.0), [np.inf, -np.inf]], 4),
        (["f", "", " ", b""] * 25, {"f", "(missing)"}),
        (pd.date_range("2020-01-01", periods=100), 4),
        (pd.timedelta_range("1h", periods=100, freq="h"), 4),
        (
            pd.date_range("2020-01-01", periods=2).repeat(50),
            {"2020-01-01 00:00:00", "2020-01-02 00:00:00"},
        ),
    ],
)
def test_missing_numbers_are_a_slice_of_their_own(values, names):
    table = report_of([1, 0] * 50, slices={"s": values}).slices["s"]
    found = {row["slice"]: row["examples"] for row in table}
    assert sum(found.values()) == 100
    assert set(found) == names if isinstance(names, set) else len(found) == names
    if names == 5:
        assert found["(missing)"] == 10 and min(found.values()) == 10
        assert set(found.values()) <= {10, 22, 23}


def test_a_function_of_something_else_is_told():
    with pytest.raises(ValueError, match=r"lambda x, y.*parameters \(x\)"):
        Aligned({"s": lambda x: x}, None, None)


def test_few_groups_make_a_slice_small():
    groups = np.repeat(np.arange(20), 10)
    slices = np.where(groups < 4, "few", "many")
    table = report_of([1, 0] * 100, slices=slices, groups=groups).slices["slice"]
    assert {row["slice"]: row["small"] for row in table} == {"few": True, "many": False}


def test_functions_see_each_batch_of_a_shuffled_dataset():
    y, p = right_and_wrong(HITS)
    data = tf.data.Dataset.from_tensor_slices((p, y)).shuffle(85).batch(8)

    def first_class(x, y):
        return x[:, 0] > 0.5

    report = evaluate(
        echo(2), data, slices=first_class, groups=lambda x, y: y, verbose=0
    )
    expected = report.probabilities[:, 0] > 0.5
    assert report.slice_values["first_class"].tolist() == expected.tolist()
    assert report.groups.tolist() == report.y_true.tolist()


def write_pictures(root):
    for number, place in enumerate(["cat/in", "cat/out", "dog/in", "dog/out"]):
        (root / place).mkdir(parents=True)
        for i in range(4):
            data = encode(picture(seed=10 * number + i), "JPEG")
            (root / place / f"{i}.jpg").write_bytes(data)


@pytest.mark.slow
def test_folders_slice_and_name_pictures_even_of_shuffled_data(tmp_path):
    write_pictures(tmp_path)
    data = tl.image_folder(
        tmp_path,
        # They hold the same sub-folders, which could be classes, too.
        class_names=["cat", "dog"],
        image_size=16,
        batch_size=3,
        validation_split=0,
        test_split=0.25,
    )
    pooled = keras.layers.GlobalAveragePooling2D()
    model = keras.Sequential(
        [keras.Input((16, 16, 3)), pooled, keras.layers.Dense(2, "softmax")]
    )
    slices = {"class": "folder", "place": "subfolder"}
    report = evaluate(model, data.train, slices=slices, verbose=0)
    names = examples_of(data.train).files
    folders = [name.rpartition("/")[0] for name in names]
    assert report.slice_values["class"].tolist() == folders
    assert set(report.slice_values["place"]) == {"in", "out"}
    x = np.concatenate([x for x, _ in examples_of(data.train).dataset(4)])
    np.testing.assert_array_equal(report.examples([5, 0, 5]), x[[5, 0, 5]])
    worst = names[report.top_losses(1)[0]]
    assert f"<td>{worst}</td>" in report._repr_html_()
    alone = evaluate(model, data.test, slices="folder", verbose=0)
    assert alone.slice_values.keys() == {"folder"}


def test_heads_have_slices_and_examples_of_their_own_rows():
    x = np.random.default_rng(0).integers(0, 255, (12, 16, 16, 3)).astype("float32")
    heads = {"kind": tl.Classes(["a", "b"]), "size": tl.Numbers()}
    model = tl.image_classifier(tiny_backbone(blocks=1), heads)
    kind = np.array([0, 1, -1, -1, 0, 1, 0, 1, 0, 1, 0, 1])
    labels = {"kind": kind, "size": np.ones(12)}
    reports = evaluate(
        model,
        (x, labels),
        slices={"n": np.arange(12) % 3},
        groups=np.arange(12),
        verbose=0,
    )
    known = kind >= 0
    assert reports["kind"].groups.tolist() == np.flatnonzero(known).tolist()
    assert (
        reports["kind"].slice_values["n"].tolist()
        == (np.arange(12) % 3)[known].tolist()
    )
    np.testing.assert_array_equal(reports["kind"].examples([2]), x[[4]])
    assert len(reports["size"].groups) == 12


# Multi-label thresholds


def test_thresholds_give_the_best_f1_of_all():
    rng = np.random.default_rng(0)
    y = (rng.random((60, 3)) < 0.3).astype(int)
    y[:, 2] = 0
    p = np.clip(0.25 * y + 0.5 * rng.random(y.shape), 0, 1).astype("float32")
    report = Report(y, p, task="multi_label")
    best = Report(y, p, task="multi_label", thresholds=report.thresholds)
    for label in (0, 1):
        tried = [f1_score(y[:, label], p[:, label] >= t) for t in np.unique(p)]
        assert best.per_class[label]["f1"] == pytest.approx(max(tried))
    assert report.thresholds[2] == 0.5
    assert best.metrics["macro_f1"] > report.metrics["macro_f1"]
    assert best.metrics["mean_average_precision"] == pytest.approx(
        report.metrics["mean_average_precision"]
    )
    assert best.confusion[0, 1, 1] == best.y_pred[:, 0] @ y[:, 0]
    assert best.subset(np.arange(20)).y_pred.tolist() == best.y_pred[:20].tolist()


def test_thresholds_of_the_model_are_used():
    p, y = np.array([[0.3, 0.3]] * 4, "float32"), np.array([[1, 0]] * 4)
    model = echo(2)
    model.problem = Problem(Input(), tl.Labels(2, thresholds=(0.25, 0.5)))
    assert evaluate(model, (p, y), verbose=0).accuracy == 1.0
    assert evaluate(model, (p, y), thresholds=0.5, verbose=0).accuracy == 0.0


def test_costs_are_those_of_each_decision():
    rng = np.random.default_rng(0)
    y, missed = np.arange(60) % 2, rng.integers(0, 9, 60)
    p = np.round(0.4 * y + 0.6 * rng.random(60), 1).astype("float32")
    report = Report(y, np.stack([1 - p, p], axis=1))
    curve = report.cost_curve(false_negative=missed, false_positive=2)
    for threshold, cost in zip(curve.thresholds, curve.costs, strict=True):
        said = p >= threshold
        by_hand = np.where(y == 1, missed * ~said, 2 * said).mean()
        assert cost == pytest.approx(by_hand)
        assert curve.at(threshold) == pytest.approx(by_hand)
    assert curve.cost == curve.costs.min() == curve.at(curve.threshold)
    assert curve.never == pytest.approx((missed * y).mean()) and curve.always == 1
    # What is certain is said from every threshold on.
    assert len(report_of([1, 1]).cost_curve(false_negative=1).thresholds) == 2
    assert np.isnan(curve.calibrated)
    assert report.cost_curve(false_negative=3).calibrated == 0.25
    both = Report(np.stack([y, 1 - y], 1), np.stack([p, p], 1), task="multi_label")
    costs = {"false_negative": missed, "false_positive": 2}
    np.testing.assert_equal(both.cost_curve(class_name="0", **costs).costs, curve.costs)
    # Weights count as copies do.
    twice = np.repeat(np.arange(60), 1 + np.arange(60) % 2)
    weighed = Report(y, report.outputs, sample_weight=1 + np.arange(60) % 2)
    copied = Report(y[twice], report.outputs[twice])
    np.testing.assert_allclose(
        weighed.cost_curve(false_negative=3).costs,
        copied.cost_curve(false_negative=3).costs,
    )


# Examples


def test_top_losses_and_confused_pairs_by_hand():
    p = np.array([[0.9, 0.1, 0], [0.2, 0.7, 0.1], [0.6, 0.3, 0.1], [0.8, 0.1, 0.1]])
    report = Report([0, 0, 1, 1], p, class_names=list("abc"))
    np.testing.assert_allclose(report.losses, -np.log([0.9, 0.2, 0.3, 0.1]), rtol=1e-5)
    assert report.top_losses(3).tolist() == [3, 1, 2]
    assert report.most_confused() == [
        {"true": "b", "predicted": "a", "count": 2, "share": 1.0},
        {"true": "a", "predicted": "b", "count": 1, "share": 0.5},
    ]
    assert report.most_confused(1)[0]["true"] == "b"
    assert report.verdict(3) == "b taken for a (a 0.80, b 0.10)"
    assert report.verdict(0) == "rightly a (0.90)"
    assert Report([[1, 0]], [[0.2, 0.1]], task="multi_label").verdict(0) == (
        "0 taken for nothing"
    )


def test_figures_are_attributes_and_a_report_draws_itself():
    reports = [
        report_of([1, 0, 1]),
        Report([0.5, 2.0], [0.4, 1.0]),
        Report([[1, 0], [0, 1]], [[0.9, 0.1], [0.7, 0.8]], task="multi_label"),
    ]
    for report in reports:
        for name, value in report.metrics.items():
            assert getattr(report, name) == value or np.isnan(value)
        assert "loss" in dir(report)
        assert not hasattr(report, "f2") and pickle.loads(pickle.dumps(report)).loss
        with pytest.raises(AttributeError, match="no 'mcc'. Its figures are .*'loss'"):
            _ = report.mcc
    titles = [report.plot().get_xlabel() for report in reports]
    assert titles == ["Predicted class", "Predicted", "False positive rate"]
    given = reports[0].plot_confusion()
    assert reports[0].plot(given) is given


def test_a_page_says_what_was_evaluated_and_captions_stand_above(tmp_path):
    report = evaluate(echo(2), right_and_wrong([1, 0, 1])[::-1], verbose=0)
    model = report.about["model"]
    assert "parameters" in model and report.subset([0, 1]).about == report.about
    report.save(tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text("utf-8")
    for said in (model, "3 arrays", report.about["date"]):
        assert said in page and said in report._repr_html_()
    assert "2 (100%)" in page and report.to_dict()["about"] == report.about
    figure = page[page.index("<figure") : page.index("</figure>")]
    assert figure.index("<figcaption>Confusion") < figure.index("<img")


@pytest.mark.parametrize("kind", ["arrays", "dataset", "py_dataset"])
def test_examples_are_those_that_were_evaluated(kind):
    y, p = right_and_wrong(HITS[30:60])
    x = np.random.default_rng(0).normal(size=(30, 8, 8, 3)).astype("float32")
    x[:, 0, 0, :2] = p

    class Batches(keras.utils.PyDataset):
        num_batches = 3

        def __getitem__(self, index):
            return x[index::3], y[index::3]

    data = {
        "arrays": (x, y),
        "dataset": tf.data.Dataset.from_tensor_slices((x, y)).batch(7),
        "py_dataset": Batches(),
    }[kind]
    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, inputs[:, 0, 0, :2])
    report = evaluate(model, data, verbose=0)
    positions = report.top_losses(4)
    found = report.examples(positions)
    np.testing.assert_array_equal(found[:, 0, 0, :2], report.probabilities[positions])
    assert len(report.plot_top_losses(4).child_axes) == 4
    assert 'src="data:image/jpeg;base64,' in report._repr_html_()
    again = report.subset(report.y_true == 1)
    assert again.examples([0])[0, 0, 0, 1] == again.probabilities[0, 1]


def test_examples_of_data_that_changes_are_refused():
    y, p = right_and_wrong([1] * 20)
    p *= np.linspace(0.8, 1, 20, dtype="float32")[:, None]
    data = tf.data.Dataset.from_tensor_slices((p, y)).shuffle(20).batch(5)
    report = evaluate(echo(2), data, task="classification", verbose=0)
    with pytest.raises(ValueError, match="not shuffled anew"):
        report.examples([0])
    assert "<img" in report._repr_html_()
    with pytest.raises(ValueError, match="Pass `inputs`"):
        report_of([1, 0]).plot_top_losses()


def test_texts_are_listed_and_escaped():
    texts = np.array(["<b>dull</b> film", "bright", "$x$"])
    report = Report([0, 1, 1], np.eye(2)[[1, 1, 1]], inputs=texts)
    html = report._repr_html_()
    assert "&lt;b&gt;dull&lt;/b&gt; film" in html and "<b>" not in html
    drawn = [text.get_text() for text in report.plot_top_losses(2).texts]
    assert drawn == [
        "0 taken for 1 (1 1.00, 0 0.00)",
        "<b>dull</b> film",
        "rightly 1 (1.00)",
        "bright",
    ]
    encoded = tf.data.Dataset.from_tensor_slices((texts, [0, 1, 1])).batch(2)
    text = keras.Input((), dtype="string")
    model = keras.Model(text, keras.layers.Lambda(always_one, (2,))(text))
    found = evaluate(model, encoded, verbose=0).examples([2, 0])
    assert found.tolist() == ["$x$", "<b>dull</b> film"]


def always_one(texts):
    return tf.one_hot(tf.ones_like(texts, "int32"), 2)


# Two models


def test_the_better_of_two_is_told_by_mcnemars_test():
    a = [1] * 70 + [1] * 12 + [0] * 2 + [0] * 16
    b = [1] * 70 + [0] * 12 + [1] * 2 + [0] * 16
    found = compare(report_of(a), report_of(b), names=("new", "old"))
    assert found.p_value == pytest.approx(binomtest(12, 14).pvalue)
    assert found.difference == pytest.approx(0.10)
    assert found.better == "new" and found.interval.low > 0
    assert compare(report_of(b), report_of(a)).better == "b"
    assert str(found).startswith(
        "new is better: accuracy 0.8200 (new) and 0.7200 (old)"
    )
    same = compare(report_of(a), report_of(a))
    assert (same.p_value, same.better) == (1.0, None)
    assert "No difference is shown" in str(same)


def test_groups_are_flipped_as_a_whole():
    a, b = np.ones(100), np.repeat([0, 1, 1, 1], 25)
    groups = np.repeat(np.arange(4), 25)
    alone = compare(report_of(a), report_of(b))
    grouped = compare(report_of(a, groups=groups), report_of(b))
    assert alone.p_value < 1e-6 and alone.better == "a"
    assert grouped.p_value == 1.0 and grouped.better is None


def test_regressions_are_compared_by_their_errors():
    rng = np.random.default_rng(0)
    y, noise = rng.normal(size=(2, 200))
    good, bad = Report(y, y + 0.5 * noise), Report(y, y + noise)
    found = compare(bad, good)
    assert (found.figure, found.better) == ("mae", "b")
    assert found.difference == pytest.approx(0.5 * np.abs(noise).mean(), rel=1e-5)
    assert found.p_value == pytest.approx(1e-4)
    other = Report(y, y - 0.5 * noise)
    assert compare(good, other).better is None


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: compare(report_of([1, 1]), report_of([1, 1, 1])), "labels differ"),
        (
            lambda: compare(report_of([1] * 4), report_of([1] * 4, class_names="xy")),
            "`class_names` must be",
        ),
        (
            lambda: compare(
                report_of([1] * 4), report_of([1] * 4, class_names=["x", "y"])
            ),
            "same classes",
        ),
        (lambda: compare(report_of([1]), Report([0.5], [0.5])), "one task"),
        (lambda: compare(report_of([1]), {}), "`report_b` must be a `Report`"),
        (lambda: compare(*[report_of([1])] * 2, names=("a", "a")), "two different"),
        (
            lambda: compare(
                report_of([1, 1], groups=[0, 1]), report_of([1, 1], groups=[1, 1])
            ),
            "same `groups`",
        ),
        (lambda: report_of([1, 1], slices={"s": [1]}), r"`slices` 's' must.*\(2,\)"),
        (lambda: report_of([1, 1], groups=[[1, 2]]), "`groups` must hold one value"),
        (lambda: report_of([1, 1], thresholds=0.4), "not exclusive"),
        (
            lambda: Report(
                [[1, 0]], [[0.5, 0.5]], task="multi_label", thresholds=[2, 0]
            ),
            "from 0 to 1",
        ),
        (
            lambda: (
                report_of([1] * 300, slices={"id": list(map(str, range(300)))}).slices
            ),
            "300 different values",
        ),
        (lambda: report_of([1]).plot_slices(), "no slices"),
        (
            lambda: report_of([1, 1], slices={"place": [1, 2]}).plot_slices("plce"),
            "Did you mean 'place'",
        ),
        (lambda: report_of([1]).subset([False]), "at least one"),
        (lambda: report_of([1]).subset([3]), "from 0 to 0"),
        (lambda: report_of([1]).thresholds, "'multi_label'"),
        (lambda: report_of([1]).interval(1.5), "below 1"),
        (lambda: report_of([1, 1]).cost_curve(false_negative=-1), "from 0 on"),
        (lambda: report_of([1, 1]).cost_curve(false_negative=[1] * 3), "of the 2"),
        (
            lambda: report_of([1, 1]).cost_curve(false_negative=0, false_positive=0),
            "not all be 0",
        ),
        (
            lambda: Report([0, 1, 2], np.eye(3)).cost_curve(false_negative=1),
            "must say which",
        ),
        (
            lambda: report_of([1]).cost_curve(false_negative=1, class_name="yes"),
            "No such class",
        ),
        (lambda: report_of([1]).cost_curve(false_negative=1).at(-1), "`threshold`"),
        (
            lambda: Report([0.5], [0.5]).plot_roc(),
            "task 'regression'.* for: 'classification', 'multi_label'",
        ),
        (lambda: report_of([1]).plot_roc(), "No curve can be drawn"),
        (
            lambda: evaluate(echo(2), right_and_wrong([1, 1])[::-1], slices="folder"),
            "image files",
        ),
        (
            lambda: evaluate(echo(2), right_and_wrong([1])[::-1], slices="foldr"),
            "Did you mean 'folder'",
        ),
        (
            lambda: evaluate(
                echo(2), right_and_wrong([1, 1])[::-1], groups=lambda x, y: 3, verbose=0
            ),
            "one value per example",
        ),
    ],
)
def test_what_does_not_fit_raises(make, message):
    with pytest.raises(ValueError, match=message):
        make()
