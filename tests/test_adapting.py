"""Another domain: the gap between two sets, and adaptation without labels."""

import functools

import keras
import numpy as np
import pytest
from helpers import assert_equal_weights, solid_colours, tiny_backbone, weights_of
from keras import ops
from runs import Stopped
from text_models import tiny_bert

import tlkeras as tl
from tlkeras.adapting.adapting import CANDIDATES
from tlkeras.adapting.deciding import SOURCE_ONLY, choose
from tlkeras.adapting.judging import Scores
from tlkeras.adapting.losses import (
    Adversary,
    CoralLoss,
    MCCLoss,
    MMDLoss,
    ramp,
    reverse_gradient,
)
from tlkeras.metrics.two_samples import compare
from tlkeras.training import resume
from tlkeras.training.checkpoints import Checkpoints

NAMES = ["red", "green", "blue"]
X, Y = solid_colours(96, 3)
# The same colours in a dim light, in another order, without labels.
DIM = (X[::-1] * 0.5 + 40).astype("uint8")
QUIET = {"cache": False, "verbose": 0}
RANDOM = np.random.default_rng(0)


@functools.cache
def trained(kind: str = "classes"):
    """Returns a model that knows the source, and the source."""
    outputs, labels = {
        "classes": (NAMES, Y),
        "one unit": (tl.Classes(["a", "b"], single_unit=True), np.minimum(Y, 1)),
        "numbers": (tl.Numbers(1), Y * 1.0),
        "labels": (tl.Labels(["warm", "cold"]), np.eye(3)[Y][:, :2]),
        "heads": (
            {"colour": tl.Classes(NAMES), "size": tl.Numbers()},
            {"colour": Y, "size": Y * 1.0},
        ),
    }[kind]
    model = tl.image_classifier(tiny_backbone(width=8), outputs)
    tl.fit_head(model, (X, labels), cache="memory", verbose=0)
    return model, (X, labels)


def adapt(kind: str, method: str, target=DIM, **named):
    model, source = trained(kind)
    return tl.adapt(model, source, target, method=method, **QUIET, **named)


def softmax(logits):
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


# The losses, by the formulas of their papers.

SOURCE, TARGET = RANDOM.normal(size=(6, 4)), 2 * RANDOM.normal(size=(5, 4)) + 1


def coral_by_formula():
    apart = np.cov(SOURCE, rowvar=False) - np.cov(TARGET, rowvar=False)
    return np.linalg.norm(apart, "fro") ** 2 / (4 * 4**2)


def mmd_by_formula():
    both = np.concatenate([SOURCE, TARGET])
    squares = ((both[:, None] - both[None]) ** 2).sum(axis=-1)
    width = squares.sum() / (11 * 10)
    kernel = sum(np.exp(-squares / (width * f)) for f in (0.25, 0.5, 1, 2, 4))
    signs = np.repeat([1 / 6, -1 / 5], [6, 5])
    return signs @ kernel @ signs


def mcc_by_formula():
    shares = softmax(TARGET / 2.5)
    entropies = -(shares * np.log(shares)).sum(axis=1)
    weights = 1 + np.exp(-entropies)
    weights = len(TARGET) * weights / weights.sum()
    confusion = np.zeros((4, 4))
    for row, weight in zip(shares, weights, strict=True):
        confusion += weight * np.outer(row, row)
    confusion /= confusion.sum(axis=1, keepdims=True)
    return (confusion.sum() - np.trace(confusion)) / 4


@pytest.mark.parametrize(
    ("loss", "target", "formula"),
    [
        (CoralLoss(), TARGET, coral_by_formula),
        (MMDLoss(), TARGET, mmd_by_formula),
        (MCCLoss(), softmax(TARGET), mcc_by_formula),
    ],
    ids=["coral", "mmd", "mcc"],
)
def test_losses_are_those_of_the_papers(loss, target, formula):
    found = loss(SOURCE.astype("float32"), target.astype("float32"))
    np.testing.assert_allclose(float(found), formula(), rtol=1e-5)


def test_an_adversary_turns_the_gradient_round():
    import tensorflow as tf

    x = tf.Variable(SOURCE.astype("float32"))
    with tf.GradientTape() as tape:
        turned = reverse_gradient(x, 0.3)
        loss = ops.sum(turned**2)
    np.testing.assert_allclose(turned, SOURCE, rtol=1e-5)
    np.testing.assert_allclose(tape.gradient(loss, x), -0.3 * 2 * SOURCE, rtol=1e-4)
    assert float(ramp(0.0)) == 0 and float(ramp(1.0)) == pytest.approx(0.9999, 1e-4)
    # Outer products, as they are and drawn at random, which keeps products of both.
    shares = softmax(SOURCE[:, :3]).astype("float32")
    features = SOURCE.astype("float32")
    adversary = Adversary(units=2, conditional=True)
    adversary.build((None, 4), (None, 3))
    seen = adversary._seen(features, shares)
    by_hand = np.einsum("ni,nj->nij", features, shares).reshape(6, 12)
    np.testing.assert_allclose(seen, by_hand, rtol=1e-5)
    wide = np.tile(features, (1, 512))
    adversary = Adversary(units=2, conditional=True)
    adversary.build(wide.shape, shares.shape)
    drawn = ops.convert_to_numpy(adversary._seen(wide, shares))
    expected = (wide @ wide.T) * (shares @ shares.T)
    assert np.corrcoef((drawn @ drawn.T).ravel(), expected.ravel())[0, 1] > 0.95


# Two samples.


def test_two_samples_differ_by_more_than_chance_or_not():
    random = np.random.default_rng(1)
    rows = random.normal(size=(120, 6))
    same, moved = rows[:60], random.normal(size=(60, 6)) + 0.8
    alike = compare(same, rows[60:], 0)
    assert alike.p > 0.05 and alike.a_distance < 0.7
    found = compare(same, moved, 0)
    assert found.p < 0.02 and found.accuracy > 0.7 and found.mmd > alike.mmd
    # A difference of spread alone, which no plane can tell.
    spread = compare(same, random.normal(size=(60, 6)) * 3, 0)
    assert spread.p_mmd < 0.01 < spread.p_accuracy
    # Held-out scores in closed form are those of folds that were fitted.
    assert compare(same, moved, 0).p == found.p
    p_values = [
        compare(*np.split(random.normal(size=(40, 3)), 2), seed).p for seed in range(20)
    ]
    assert np.mean(np.array(p_values) < 0.2) < 0.5


def test_a_gap_is_found_said_and_drawn():
    model, source = trained()
    gap = tl.domain_gap(model, source, (DIM, Y[::-1]), **QUIET)
    assert gap.differs and gap.p < 0.05 and gap.a_distance > 1.5
    assert list(gap.table.index) == ["all", *NAMES]
    assert "differ" in str(gap) and "x[" in str(gap)
    assert len(gap.plot().patches) == 4
    even = tl.domain_gap(model, X[::2], X[1::2], **QUIET)
    assert not even.differs and "by more than chance" in str(even)
    assert not even.classes
    # Of incoming data with a few strangers, these come first.
    mixed = np.concatenate([X[:40], 255 - X[40:50]])
    foreign = tl.domain_gap(model, X[40:], mixed, **QUIET).foreign
    assert np.mean(foreign[:10] >= 40) > 0.5
    with pytest.raises(ValueError, match="`second` must have at least 8 examples"):
        tl.domain_gap(model, X, DIM[:7], **QUIET)
    with pytest.raises(ValueError, match="Labels in `first` must be numbers"):
        tl.domain_gap(model, (X, np.array(NAMES)[Y]), DIM, **QUIET)
    of_own = keras.utils.PyDataset()
    with pytest.raises(ValueError, match="`second` must be examples as .* PyDataset"):
        tl.domain_gap(model, X, of_own, **QUIET)
    with pytest.raises(ValueError, match="takes a functional .* Sequential"):
        tl.domain_gap(keras.Sequential(), X, DIM, **QUIET)
    with pytest.raises(ValueError, match="`verbose` must be"):
        tl.domain_gap(model, X, DIM, cache=False, verbose=7)


@pytest.mark.slow
def test_a_report_its_card_and_a_plan_say_that_data_are_others():
    model, source = trained()
    others = DIM, Y[::-1]
    report = tl.evaluate(model, others, reference=X, verbose=0)
    for shown in (str(report), report._repr_html_()):
        assert "differ from the reference" in shown
    assert report.to_dict()["domain_gap"]["rows"]["all"]["p"] < 0.05
    assert "test examples differ" in str(tl.model_card(model, report))
    assert report.subset(report.y_true == 1).domain_gap is None
    halves = [(X[n::2], Y[n::2]) for n in range(2)]
    report = tl.evaluate(model, halves[0], reference=halves[1], verbose=0)
    assert "examples are like the reference" in str(report)
    with pytest.raises(ValueError, match="`reference` must have at least 8 examples"):
        tl.evaluate(model, others, reference=X[:7], verbose=0)
    # Of several heads, each with labels of its own.
    model, (x, labels) = trained("heads")
    by_head = tl.evaluate(model, (x, labels), reference=DIM, verbose=0)
    assert all(report.domain_gap.differs for report in by_head.values())
    model, source = trained()
    assert "Validation examples differ" in str(tl.plan(model, source, others, **QUIET))
    assert "differ" not in str(tl.plan(model, *halves, **QUIET))


# Adaptation.


def normed(model, x, name="block1_bn"):
    """Returns mean and deviation of what a batch norm gives."""
    layer = model.backbone.get_layer(name)
    values = keras.Model(model.backbone.input, layer.output).predict(x, verbose=0)
    return values.mean(axis=(0, 1, 2)), values.std(axis=(0, 1, 2))


@pytest.mark.parametrize("method", ["norms", "coral"])
def test_adapts_without_training(method, tmp_path):
    model, _ = trained()
    before = weights_of(model)
    adapted = adapt("classes", method)
    assert_equal_weights(before, weights_of(model))
    if method == "norms":
        # What a norm gave on the source it now gives on the target.
        for now, then in zip(normed(adapted, DIM), normed(model, X), strict=True):
            np.testing.assert_allclose(now, then, atol=0.05)
    else:
        right = adapted.predict(DIM, verbose=0).argmax(axis=1) == Y[::-1]
        assert right.mean() > 0.9
    adapted.save(tmp_path / "adapted.keras")
    again = tl.load(tmp_path / "adapted.keras")
    outputs = adapted.predict(DIM, verbose=0)
    np.testing.assert_array_equal(again.predict(DIM, verbose=0), outputs)
    assert again.record.adapted[-1].method == method
    assert again.record.last_weights == again.record.adapted[-1].weights
    card = str(tl.model_card(again))
    assert f"Adapted by `tl.adapt` after run 1: {method}" in card
    assert "Something else" not in card
    assert "adapted after run 1" in str(again.record)
    with pytest.raises(ValueError, match=f"adapted by `tl.adapt` .{method}."):
        tl.rerun(again, (X, Y), verbose=0)


@pytest.mark.parametrize(
    ("kind", "method"),
    [
        ("classes", "bbse"),
        ("one unit", "em"),
        pytest.param("classes", "em", marks=pytest.mark.slow),
        pytest.param("one unit", "bbse", marks=pytest.mark.slow),
    ],
)
def test_label_shift_moves_the_bias_alone(kind, method):
    model, (x, y) = trained(kind)
    rows = np.concatenate([np.flatnonzero(y == 0)[:4], np.flatnonzero(y == 1)])
    adapted = adapt(kind, method, x[rows])
    before, after = weights_of(model), weights_of(adapted)
    changed = [n for n, v in before.items() if not np.array_equal(v, after[n])]
    assert len(changed) == 1 and changed[0].endswith("bias")
    done = adapted.record.adapted[-1].done
    share = 4 / len(rows)
    first = "red" if kind == "classes" else "a"
    said = float(done.split(f"{first} ")[1].split("%")[0]) / 100
    assert abs(said - share) < 0.06, done


def keep_and_stop(checkpoints, state, keep=Checkpoints.keep):
    keep(checkpoints, state)
    raise Stopped


@pytest.mark.parametrize(
    ("kind", "method"),
    [
        ("classes", "mcc"),
        pytest.param("classes", "cdan", marks=pytest.mark.slow),
        pytest.param("one unit", "mmd", marks=pytest.mark.slow),
        pytest.param("heads", "dann", marks=pytest.mark.slow),
        pytest.param("labels", "deep_coral", marks=pytest.mark.slow),
        pytest.param("numbers", "mmd", marks=pytest.mark.slow),
    ],
)
def test_trains_on_both_domains_and_leaves_a_plain_model(
    kind, method, tmp_path, monkeypatch
):
    model, _ = trained(kind)
    before = weights_of(model)
    named = {"head": "colour"} if kind == "heads" else {}
    adapted = adapt(kind, method, unfreeze_from="block3", epochs=2, **named)
    assert_equal_weights(before, weights_of(model))
    after = weights_of(adapted)
    assert before.keys() == after.keys()
    moved = {n for n, v in before.items() if not np.array_equal(v, after[n])}
    assert any("block3_conv" in n for n in moved)
    assert not any("block2" in n or "_bn" in n for n in moved)
    assert "2 epochs of 3 steps" in adapted.record.adapted[-1].done
    adapted.save(tmp_path / "adapted.keras")
    again = keras.models.load_model(tmp_path / "adapted.keras")
    outputs = adapted.predict(DIM, verbose=0)
    for one, other in zip(
        keras.tree.flatten(again.predict(DIM, verbose=0)),
        keras.tree.flatten(outputs),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)
    if method == "cdan":
        named |= {"unfreeze_from": "block3", "checkpoint_dir": tmp_path / "kept"}
        with monkeypatch.context() as patch, pytest.raises(Stopped):
            patch.setattr(resume, "SECONDS_BETWEEN", 0.0)
            patch.setattr(Checkpoints, "keep", keep_and_stop)
            adapt(kind, method, epochs=2, **named)
        # The first of these goes on after an epoch, the second is done already.
        for _ in range(2):
            twin = adapt(kind, method, epochs=2, **named)
            # Gradients of kernels are sums of several threads: the last bit may differ.
            for name, value in weights_of(twin).items():
                np.testing.assert_allclose(value, after[name], atol=1e-6, err_msg=name)
            assert twin.record.adapted[-1].done == adapted.record.adapted[-1].done
        with pytest.raises(ValueError, match="epochs was 2 and is 3"):
            adapt(kind, method, epochs=3, **named)


def test_auto_takes_what_gains_and_loses_nothing():
    before = Scores(0.9, 0.8, 4.0, 0.5, 0.5)
    gains = before._replace(certainty=0.7, information=0.7)
    more = before._replace(certainty=0.8, information=0.8)
    for tried, taken in [
        ({}, SOURCE_ONLY),
        ({"mmd": before._replace(information=0.52)}, SOURCE_ONLY),
        ({"mmd": gains, "mcc": more}, "mcc"),
        ({"mmd": gains, "mcc": more._replace(source=0.8)}, "mmd"),
        ({"mmd": gains, "mcc": more._replace(weighted=0.7)}, "mmd"),
        ({"mmd": gains, "mcc": more._replace(certainty=0.9)}, "mmd"),
    ]:
        assert choose({SOURCE_ONLY: before, **tried}) == taken


@pytest.mark.slow
def test_auto_says_what_it_tried_and_keeps_what_does_not_help(capsys):
    model, source = trained()
    adapted = tl.adapt(model, source, DIM, epochs=1, cache=False, verbose=2)
    entry = adapted.record.adapted[-1]
    assert list(entry.table.index) == [SOURCE_ONLY, *CANDIDATES]
    assert "weighted" in capsys.readouterr().out
    again = tl.TrainingRecord.from_dict(adapted.record.to_dict())
    assert again.adapted == adapted.record.adapted
    same = tl.adapt(model, source, X, epochs=1, **QUIET)
    np.testing.assert_array_equal(
        same.predict(X, verbose=0), model.predict(X, verbose=0)
    )


@pytest.mark.slow
def test_texts_adapt_alike():
    bert, tokenizer = tiny_bert()
    model = tl.text_classifier(bert, ["bad", "good"], tokenizer=tokenizer)
    labels = np.arange(40) % 2
    texts = [
        f"the film was {('bad', 'good')[n % 2]}{' and' * (n % 9)}" for n in range(40)
    ]
    tl.fit_head(model, (texts, labels), cache="memory", verbose=0)
    others = [text.replace("film", "story of a play") for text in texts[:20]]
    named = {"epochs": 1, "unfreeze_from": "transformer_layer_1"}
    for method in ("coral", "mcc"):
        adapted = tl.adapt(
            model, (texts, labels), others, method=method, **named, **QUIET
        )
        assert adapted.classify(others)[0].label in ("bad", "good")
        assert not np.array_equal(adapted.predict(others), model.predict(others))
    assert tl.domain_gap(model, texts, others, **QUIET).sizes == (40, 20)
    with pytest.raises(ValueError, match="'norms' renews .* batch norms"):
        tl.adapt(model, (texts, labels), others, method="norms", **QUIET)


def test_what_cannot_be_adapted_is_said():
    model, source = trained()
    for kind, method, said in [
        ("numbers", "auto", "the task 'regression'"),
        ("numbers", "mcc", "offered for: 'classification'"),
        ("labels", "em", "the task 'multi_label'"),
    ]:
        with pytest.raises(tl.UnsupportedError, match=said):
            adapt(kind, method)
    for named, said in [
        ({"method": "magic"}, "`method` must be one of 'auto', 'norms'"),
        ({"epochs": 0}, "`epochs` must be a whole number"),
        ({"learning_rate": -1}, "`learning_rate` must be a number above 0"),
        ({"unfreeze_from": "block9"}, "block9"),
        ({"head": "colour"}, "leave it out"),
        ({"checkpoint_dir": 3}, "`checkpoint_dir` must be a folder"),
        ({"target": DIM[:3]}, "`target` must have at least 8 examples"),
        ({"target": DIM[..., :1]}, "Received an array of shape"),
        ({"source": (X[:6], Y[:6])}, "`source` must have at least 10 examples"),
    ]:
        given = {"source": source, "target": DIM, "method": "coral", **named}
        with pytest.raises(ValueError, match=said):
            tl.adapt(model, given.pop("source"), given.pop("target"), **given, **QUIET)
    with pytest.raises(ValueError, match="one head at a time"):
        adapt("heads", "dann")
    with pytest.raises(ValueError, match="must be a compiled `TransferModel`"):
        tl.adapt(tiny_backbone(), source, DIM)
