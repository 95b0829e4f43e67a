"""A class more without the old data, and which labels to ask for next."""

import functools

import keras
import numpy as np
import pytest
from helpers import solid_colours, tiny_backbone
from text_models import tiny_bert

import tlkeras as tl
from tlkeras.features.reading import last_layer_of
from tlkeras.few_labels.choosing import doubtful, typical
from tlkeras.linear import FeatureStatistics

NAMES = ["red", "green", "blue"]
X, Y = solid_colours(48, 5)
OLD = Y < 3


def built(outputs, **arguments):
    return tl.image_classifier(tiny_backbone(width=8), outputs, **arguments)


@functools.cache
def trained(kind: str = "classes"):
    """Returns a model that knows three classes, and its data."""
    x, y = X[OLD], Y[OLD]
    rows = np.stack([y < 2, y > 0], axis=1).astype("float32")
    outputs, labels = {
        "classes": (NAMES, y),
        "labels": (tl.Labels(["warm", "cold"], thresholds=[0.4, 0.5]), rows),
        "heads": (
            {"colour": tl.Classes(["a", "b"], single_unit=True), "size": tl.Numbers()},
            {"colour": np.minimum(y, 1), "size": y * 1.0},
        ),
    }[kind]
    model = built(outputs)
    tl.fit_head(model, (x, labels), cache="memory", verbose=0)
    return model, (x, labels)


def learn(model, *arguments, **named):
    return tl.learn_class(model, *arguments, cache=False, verbose=0, **named)


def weights(model):
    return [np.array(v) for v in model.weights]


@pytest.mark.slow
def test_a_class_more_of_a_file_forgets_nothing(tmp_path):
    model, _ = trained()
    before = weights(model)
    model.save(tmp_path / "old.keras")
    more = learn(tl.load(tmp_path / "old.keras"), "grey", X[Y == 3][:5])
    assert more.class_names == (*NAMES, "grey")
    now, then = more.predict(X, verbose=0), model.predict(X, verbose=0)
    among = now[:, :3] / now[:, :3].sum(axis=1, keepdims=True)
    np.testing.assert_allclose(among, then, atol=1e-6)
    known = Y < 4
    assert np.mean(now[known].argmax(axis=1) == Y[known]) > 0.9
    for one, other in zip(before, weights(model), strict=True):
        np.testing.assert_array_equal(one, other)
    more.save(tmp_path / "more.keras")
    again = tl.load(tmp_path / "more.keras")
    np.testing.assert_array_equal(again.predict(X, verbose=0), now)
    card = str(tl.model_card(again))
    for text in (str(again.record), card):
        assert "'grey' of 5 examples, beside the old ones of which their stat" in text
    assert "Something else changed" not in card
    with pytest.raises(ValueError, match="learnt 'grey' by `tl.learn_class`"):
        tl.rerun(again, (X[OLD], Y[OLD]), verbose=0)
    # What it keeps of the new class serves the next one.
    means = again.feature_statistics["predictions"].means
    assert len(means) == 4 and not np.allclose(means[2], means[3])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["labels", "heads"])
def test_several_at_once_beside_the_data(kind):
    model, data = trained(kind)
    head = "colour" if kind == "heads" else None
    more = learn(model, ["grey", "pink"], [X[Y == 3], X[Y == 4]], old=data, head=head)
    output = more.problem.outputs[head or "predictions"]
    assert output.class_names[-2:] == ("grey", "pink")
    both, count = [model, more], len(output.class_names) - 2
    now, then = (one.problem.by_head(one.predict(X, verbose=0)) for one in both[::-1])
    if kind == "heads":
        np.testing.assert_allclose(now["size"], then["size"], atol=1e-6)
    head = head or "predictions"
    among = output.among(now[head], count)
    known = model.problem.outputs[head].among(then[head], count)
    np.testing.assert_allclose(among, known, atol=1e-6)
    assert np.mean((now[head][:, count:] > 0.5) == (Y[:, None] == [3, 4])) > 0.9
    if kind == "labels":
        assert more.thresholds == (0.4, 0.5, 0.5, 0.5)


def test_what_cannot_be_learnt_is_said():
    model, _ = trained()
    x = X[Y == 3]
    heads, _ = trained("heads")
    for given, said in [
        ((heads, "grey", x), "one head at a time. Pass `head=`"),
        ((model, "red", x), "knows 'red' already"),
        ((model, "grey", x[:1]), "at least 2 examples"),
        ((model, ["grey", "pink"], x), "examples of each of 2 names"),
        ((model, ["grey", "grey"], [x, x]), "must be distinct"),
        ((model, 3, x), "Received: name=3"),
        ((model, "grey", ["no.jpg"] * 2), "cannot be read"),
        ((model, "grey", x[..., :1]), "Received an array of shape"),
        ((model, "grey", tl.from_arrays(x, np.arange(len(x)) % 2)), "`data.train`"),
        ((tiny_backbone(), "grey", x), "must be a `TransferModel`"),
        ((built(NAMES), "grey", x), "no statistics of the data"),
    ]:
        with pytest.raises(ValueError, match=said):
            learn(*given)
    with pytest.raises(tl.UnsupportedError, match="offered for: 'classification', 'm"):
        learn(heads, "grey", x, head="size")
    with pytest.raises(ValueError, match="colours"):
        learn(heads, "grey", x, head="colours")


def test_statistics_of_other_weights_do_not_count():
    model, data = trained()
    kernel = model.backbone.weights[0]
    value = np.array(kernel)
    try:
        kernel.assign(value * 1.5)
        with pytest.raises(ValueError, match="of other weights.*old=data"):
            learn(model, "grey", X[Y == 3])
    finally:
        kernel.assign(value)


@pytest.mark.slow
def test_fine_tuning_keeps_statistics_of_what_the_head_reads_then():
    model = built(NAMES, hidden=(6,))
    data = X[OLD], Y[OLD]
    tl.fine_tune(model, data, head_epochs=1, epochs=1, cache="memory", verbose=0)
    kept = model.feature_statistics["predictions"]
    below = last_layer_of(model, model.problem, "predictions")
    read = keras.Model(model.input, below.tensor).predict(data[0], verbose=0)
    means = [read[data[1] == number].mean(axis=0) for number in range(3)]
    np.testing.assert_allclose(kept.means, means, rtol=1e-4, atol=1e-5)


def test_draws_have_the_statistics():
    random = np.random.default_rng(0)
    groups = np.arange(400) % 2
    rows = random.normal(size=(400, 3)) @ random.normal(size=(3, 3)) + groups[:, None]
    kept = FeatureStatistics.of(rows, groups, 200.0, bytes(16))
    drawn, which = kept.draw(4000)
    for group in range(2):
        near, own = rows[groups == group].mean(axis=0), drawn[which == group]
        np.testing.assert_allclose(own.mean(axis=0), near, atol=0.1)
        left = rows - kept.means[groups]
        covariance = left.T @ left / (len(rows) - 2)
        np.testing.assert_allclose(np.cov(own.T), covariance, atol=0.3)


def suggest(model, *arguments, **named):
    return tl.suggest_labels(model, *arguments, cache=False, verbose=0, **named)


def test_where_nothing_is_known_each_kind_is_asked_for():
    model = built(5)
    found = suggest(model, X, 5)
    assert found.method == "typical" and set(Y[found.indices]) == set(range(5))
    # Kinds that have labels are not asked for again.
    found = suggest(model, X, 3, labelled=X[Y < 2])
    assert not set(Y[found.indices]) & {0, 1}
    numbers = tl.image_regressor(tiny_backbone())
    assert np.isnan(suggest(numbers, X, 2).scores).all()
    with pytest.raises(tl.UnsupportedError, match="not offered for the task 'regress"):
        suggest(numbers, X, 2, method="doubtful")
    with pytest.raises(ValueError, match="at most the number of examples, 48"):
        suggest(model, X, 49)


def test_a_trained_model_asks_for_what_it_doubts():
    model, _ = trained()
    between = ((X[0].astype(int) + X[1]) // 2).astype("uint8")
    found = suggest(model, np.concatenate([X[OLD], [between]]), 1)
    assert found.method == "doubtful" and found.table.columns[0] == "index"
    again = suggest(model, np.concatenate([X[OLD], [between]]), 1)
    assert found.indices.tolist() == again.indices.tolist()
    assert found.scores[0] > 0.2 and " or " in found.reasons[0]
    assert "1 of 31 pictures to label next" in str(found)
    assert found.plot().collections and found.show()


def test_copies_are_not_asked_for_twice_unless_there_is_nothing_else():
    vectors = np.repeat(np.eye(3), [5, 1, 1], axis=0) + 1e-9
    chosen = doubtful(vectors, np.linspace(1, 0.5, 7), 3, 0)
    assert set(chosen[:]) == {0, 5, 6}
    assert len(set(doubtful(vectors, np.ones(7), 7, 0))) == 7
    assert len(set(typical(vectors, 6, np.arange(7) == 0, 0)) - {0}) == 6


@pytest.mark.slow
def test_texts_are_listed_in_their_order():
    bert, tokenizer = tiny_bert()
    model = tl.text_classifier(bert, 2, tokenizer=tokenizer)
    texts = ["good film", "a very bad story, and dull!", "good", "the film was good"]
    found = suggest(model, texts, 4, method="doubtful")
    assert sorted(found.indices) == [0, 1, 2, 3]
    answers = [one.probability for one in model.classify(texts)]
    expected = [2 - 2 * answers[row] for row in found.indices]
    np.testing.assert_allclose(found.scores, expected, atol=1e-5)
    assert texts[found.indices[0]] in str(found.show())
    tl.fit_head(model, (texts, np.arange(4) % 2), cache="memory", verbose=0)
    more = learn(model, "questions", ["was the film good", "was it"])
    assert len(more.classify(texts)[0].probabilities) == 3
