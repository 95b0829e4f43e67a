"""Explanations: known places and words are found, sums are right, nothing changes."""

import functools
import re
from html.parser import HTMLParser

import keras
import numpy as np
import pytest
from helpers import (
    assert_equal_weights,
    needs_shared,
    softmax,
    tiny_backbone,
    weights_of,
    with_head,
)
from test_backbones_hub import tiny_resnet, tiny_vit
from text_models import (
    SENTENCES,
    WORDS,
    tiny_bert,
    tiny_f_net,
    tiny_gpt2,
    tiny_roberta,
)

import tlkeras as tl
from tlkeras.explain.explaining import Explaining
from tlkeras.explain.graph import Graph
from tlkeras.explain.probe import Probe
from tlkeras.inputs.explaining import Settings
from tlkeras.inputs.texts.token_words import own_places, read_text

SIDE, SQUARE = 32, 8


def squares(count, seed=0):
    """Returns noise with a square each, red or blue, the colours, and the places."""
    random = np.random.default_rng(seed)
    x = random.uniform(0, 60, (count, SIDE, SIDE, 3)).astype("float32")
    labels = np.arange(count) % 2
    places = np.zeros((count, SIDE, SIDE), bool)
    for i, label in enumerate(labels):
        row, column = random.integers(0, SIDE - SQUARE, 2)
        places[i, row : row + SQUARE, column : column + SQUARE] = True
        x[i][places[i]] = (255, 0, 0) if label else (0, 0, 255)
    return x, labels.astype("int32"), places


def square_finder():
    """Returns a trained classifier of squares: a nested backbone, a pooled head."""
    inputs = keras.Input((SIDE, SIDE, 3))
    x = keras.layers.Rescaling(1 / 255)(inputs)
    for number, width in enumerate((8, 16), 1):
        x = keras.layers.Conv2D(
            width, 3, padding="same", activation="relu", name=f"block{number}_conv"
        )(x)
        x = keras.layers.MaxPooling2D(name=f"block{number}_pool")(x)
    model = with_head(keras.Model(inputs, x, name="finder"), units=3)
    x, y, places = squares(384)
    # A third class without a square: else one colour could be "not the other".
    y[256:] = 2
    for picture, place in zip(x[256:], places[256:], strict=True):
        picture[place] = picture[~place][: SQUARE**2]
    model.fit(x, y, epochs=9, batch_size=32, verbose=0)
    return model


@pytest.fixture(scope="module")
def finder():
    keras.utils.set_random_seed(0)
    return square_finder()


def answers_of(model, x):
    """Returns what a model answers; of few inputs `predict` takes longer."""
    outputs = model(np.asarray(x, "float32"), training=False)
    return keras.tree.map_structure(np.asarray, outputs)


def logits_by_hand(model, x):
    """Returns the logits of a model whose last layer is Dense."""
    last = model.layers[-1]
    features = answers_of(keras.Model(model.input, last.input), x)
    kernel, bias = last.get_weights()
    return features @ kernel + bias


# Known answers


@pytest.mark.parametrize("method", ["grad_cam", "integrated_gradients"])
def test_the_map_lies_on_what_decides(finder, method):
    x, y, places = squares(8, seed=1)
    assert (answers_of(finder, x).argmax(axis=1) == y).all()
    grey = {"baseline": 30} if method == "integrated_gradients" else {}
    for one, place in zip(
        tl.explain(finder, x, method=method, **grey), places, strict=True
    ):
        assert one.map.shape == (SIDE, SIDE)
        strength = np.abs(one.map)
        near = place.copy()
        # A pixel of the pooled map is a few of the picture's.
        for axis in (0, 1):
            near |= np.roll(near, 3, axis) | np.roll(near, -3, axis)
        assert near.mean() < 0.2
        assert strength[near].sum() > 0.75 * strength.sum()
        assert place[np.unravel_index(strength.argmax(), place.shape)]


def test_grad_cam_of_a_pooled_head_is_the_class_activation_map(finder):
    x, _, _ = squares(3, seed=2)
    conv = finder.layers[1].get_layer("block2_pool")
    maps = answers_of(keras.Model(finder.layers[1].input, conv.output), x)
    kernel = finder.layers[-1].get_weights()[0]
    found = tl.explain(finder, x, target=1, layer="block2_pool")
    places = maps.shape[1] * maps.shape[2]
    by_hand = np.maximum((maps * kernel[:, 1]).sum(axis=-1), 0) / places
    resized = keras.ops.image.resize(by_hand[..., None], (SIDE, SIDE))[..., 0]
    np.testing.assert_allclose([one.map for one in found], resized, atol=1e-6)


def test_a_saturated_probability_does_not_make_the_map_vanish(finder):
    x, y, _ = squares(2, seed=3)
    plain = tl.explain(finder, x)
    loud = keras.models.clone_model(finder)
    loud.set_weights(finder.get_weights())
    last = loud.layers[-1]
    last.set_weights([100 * weight for weight in last.get_weights()])
    for quiet, one in zip(plain, tl.explain(loud, x), strict=True):
        assert one.probability > 1 - 1e-6
        np.testing.assert_allclose(one.map, 100 * quiet.map, rtol=1e-3, atol=1e-5)


def test_integrated_gradients_sum_to_the_difference_of_the_logits(finder):
    x, _, _ = squares(4, seed=4)
    found = tl.explain(
        finder, x, method="integrated_gradients", target=1, tolerance=0.02
    )
    ends = logits_by_hand(finder, x)[:, 1]
    start = logits_by_hand(finder, np.zeros((1, SIDE, SIDE, 3)))[0, 1]
    for one, end in zip(found, ends, strict=True):
        np.testing.assert_allclose([one.logit, one.baseline], [end, start], rtol=1e-4)
        assert one.gap <= 0.02
        # The path's range is at least the difference of its ends.
        assert abs(one.map.sum() - (end - start)) <= one.gap * abs(end - start) * 2


def test_too_few_steps_are_warned_of(finder):
    x, _, _ = squares(1)
    with pytest.warns(UserWarning, match="1 of 1 attributions are not complete"):
        found = tl.explain(finder, x, method="integrated_gradients", steps=1)
    assert found[0].gap > 0.05 and found[0].steps == 1


def test_a_linear_model_gives_weight_times_difference():
    inputs = keras.Input((4, 4, 1))
    outputs = keras.layers.Dense(1)(keras.layers.Flatten()(inputs))
    model = keras.Model(inputs, outputs)
    x = np.random.default_rng(0).uniform(0, 255, (2, 4, 4, 1)).astype("float32")
    found = tl.explain(model, x, baseline=100)
    kernel = model.layers[-1].get_weights()[0].reshape(4, 4)
    for one, picture in zip(found, x, strict=True):
        np.testing.assert_allclose(one.map, kernel * (picture[..., 0] - 100), rtol=1e-4)
        assert one.target == 0 and one.probability is None and one.gap < 1e-4


# Nothing changes


def test_the_model_is_as_it_was(finder):
    before, nodes = weights_of(finder), finder.layers[-1].output
    flags = [layer.trainable for layer in finder.layers]
    x, _, _ = squares(2)
    outputs = answers_of(finder, x)
    # The last that does not pool.
    assert tl.explain(finder, x)[0].layer == "block2_conv"
    tl.explain(finder, x, method="integrated_gradients")
    assert_equal_weights(before, weights_of(finder))
    assert [layer.trainable for layer in finder.layers] == flags
    # A second call on symbolic tensors would leave the layer without "its" output.
    assert finder.layers[-1].output is nodes
    assert finder.layers[-1].activation is keras.activations.softmax
    np.testing.assert_array_equal(answers_of(finder, x), outputs)


def test_inference_whatever_the_defaults_of_layers_are():
    base = tiny_backbone(blocks=1)
    inputs = keras.Input((16, 16, 3))
    x = keras.layers.RandomFlip()(keras.layers.RandomRotation(0.5)(inputs))
    x = keras.layers.GlobalAveragePooling2D()(base(x, training=True))
    outputs = keras.layers.Dense(3, activation="softmax")(x)
    model = keras.Model(inputs, outputs)
    x = np.random.default_rng(0).uniform(0, 255, (2, 16, 16, 3))
    first, second = tl.explain(model, x), tl.explain(model, x)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a.map, b.map)
        assert a.map.any()


def test_mixed_precision_is_explained_in_float32():
    maps = {}
    x = np.random.default_rng(0).uniform(0, 255, (2, 16, 16, 3))
    for each in ("float32", "mixed_float16"):
        keras.config.set_dtype_policy(each)
        keras.utils.set_random_seed(0)
        model = tl.image_classifier(tiny_backbone(blocks=1), 3)
        # A gradient that float16 takes for zero.
        scaled = [weight * 1e-7 for weight in model.layers[-1].get_weights()]
        model.layers[-1].set_weights(scaled)
        found = tl.explain(model, x, target=0)
        maps[each] = np.stack([one.map for one in found])
    assert maps["float32"].any()
    np.testing.assert_allclose(*maps.values(), rtol=1e-4, atol=1e-14)


# Every kind of model


def check_both_methods(model, size=32, channels=3):
    random = np.random.default_rng(0)
    x = random.uniform(0, 255, (2, size, size, channels)).astype("float32")
    outputs = answers_of(model, x)
    cam = tl.explain(model, x)
    path = tl.explain(
        model, x, method="integrated_gradients", steps=4, tolerance=10, batch_size=4
    )
    for found in (cam, path):
        assert [one.index for one in found] == outputs.argmax(axis=1).tolist()
        np.testing.assert_allclose(
            [one.probability for one in found], outputs.max(axis=1), rtol=1e-3
        )
        for one in found:
            assert one.map.shape == (size, size) and np.isfinite(one.map).all()
    assert {one.method for one in cam} == {"grad_cam"}
    # Of random weights a map of Grad-CAM may be empty.
    assert all(one.map.any() for one in path)
    return cam[0]


@pytest.mark.slow
def test_mobilenet_v2():
    model = tl.image_classifier("mobilenet_v2", 2, weights=None, input_shape=64)
    assert check_both_methods(model, 64).layer == "out_relu"


@pytest.mark.slow
def test_channels_that_are_weighed_by_another_path():
    model = tl.image_classifier(
        "mobilenet_v3_small", 2, weights=None, input_shape=96, head="flatten"
    )
    check_both_methods(model, 96)


def test_glyphnet():
    model = tl.image_classifier("glyphnet", 2, head="flatten", hidden=(8,))
    check_both_methods(model, channels=1)


@pytest.mark.slow
def test_a_backbone_of_keras_hub():
    model = tl.image_classifier(tiny_resnet((32, 32, 3)), 2, preprocessing=None)
    check_both_methods(model)


def test_tokens_have_no_feature_map():
    model = tl.image_classifier(tiny_vit((16, 16, 3)), 2, preprocessing=None)
    x = np.random.default_rng(0).uniform(0, 1, (1, 16, 16, 3))
    found = tl.explain(model, x)[0]
    assert found.method == "integrated_gradients" and found.map.any()
    with pytest.raises(ValueError, match="method='integrated_gradients'"):
        tl.explain(model, x, method="grad_cam")


def test_several_labels_and_numbers():
    x = np.random.default_rng(0).uniform(0, 255, (2, 16, 16, 3))
    model = tl.image_classifier(
        tiny_backbone(blocks=1), ["a", "b", "c"], multi_label=True
    )
    found = tl.explain(model, x, target=["c", 0])
    assert [one.target for one in found] == ["c", "a"]
    outputs = answers_of(model, x)
    np.testing.assert_allclose(
        [one.probability for one in found], [outputs[0, 2], outputs[1, 0]], rtol=1e-4
    )
    regressor = tl.image_regressor(tiny_backbone(blocks=1), 2)
    one = tl.explain(regressor, x, target=1)[0]
    assert (one.target, one.probability) == (1, None)
    np.testing.assert_allclose(one.logit, answers_of(regressor, x)[0, 1], 1e-4)
    assert one.title.startswith("output 1: ")


@pytest.mark.parametrize(
    ("units", "activation", "loss", "target", "has_probability"),
    [
        (1, "sigmoid", None, "1", True),
        (3, "softmax", None, "2", True),
        (3, None, "sparse_categorical_crossentropy", "2", False),
        (1, None, None, 0, False),
    ],
)
def test_what_a_model_of_keras_answers_is_told_by_its_end(
    units, activation, loss, target, has_probability
):
    base = tiny_backbone(blocks=1)
    x = keras.layers.GlobalAveragePooling2D()(base.output)
    bias = keras.initializers.Constant(np.arange(units))
    last = keras.layers.Dense(
        units, activation, kernel_initializer="zeros", bias_initializer=bias
    )
    model = keras.Model(base.input, last(x))
    if loss is not None:
        model.compile("adam", loss)
    (one,) = tl.explain(model, np.zeros((1, 16, 16, 3)), steps=1)
    assert one.target == target
    assert (one.probability is not None) == has_probability
    assert one.logit == units - 1


def test_several_heads():
    heads = {"kind": tl.Classes(["a", "b"]), "size": tl.Numbers()}
    model = tl.image_classifier(tiny_backbone(blocks=1), heads)
    x = np.random.default_rng(0).uniform(0, 255, (2, 16, 16, 3))
    outputs = answers_of(model, x)
    kind, size = (tl.explain(model, x, head=name)[0] for name in heads)
    np.testing.assert_allclose(kind.probability, outputs["kind"][0].max(), rtol=1e-4)
    np.testing.assert_allclose(size.output, outputs["size"][0, 0], rtol=1e-4)
    assert size.target == 0 and kind.target in ("a", "b")
    with pytest.raises(ValueError, match="several heads.*'kind', 'size'"):
        tl.explain(model, x)
    with pytest.raises(ValueError, match="No such head: 'kin'. Did you mean 'kind'"):
        tl.explain(model, x, head="kin")


@pytest.mark.parametrize("last", ["activation", "softmax", "operation", "float32"])
def test_the_logit_is_found_behind_every_form_of_softmax(last):
    base = tiny_backbone(blocks=1)
    inputs = keras.Input((16, 16, 3))
    x = keras.layers.GlobalAveragePooling2D()(base(inputs))
    x = keras.layers.Dense(3)(x)
    logits = keras.Model(inputs, x)
    if last == "softmax":
        x = keras.layers.Softmax()(x)
    elif last == "operation":
        x = keras.ops.softmax(x)
    else:
        x = keras.layers.Activation("softmax")(x)
    if last == "float32":
        x = keras.layers.Activation("linear", dtype="float32")(x)
    x_in = np.random.default_rng(0).uniform(0, 255, (2, 16, 16, 3))
    probe = Probe(keras.Model(inputs, x))
    found, outputs = map(np.asarray, probe.forward([x_in]))
    np.testing.assert_allclose(found, answers_of(logits, x_in), rtol=1e-4)
    np.testing.assert_allclose(outputs, softmax(found), rtol=1e-4)
    assert probe.gives_probabilities
    # What is traced is traced once.
    slot = probe.graph.inputs[0]
    assert probe.gradient_function(slot) is probe.gradient_function(slot)


def test_a_graph_opens_models_in_models_and_layers_called_twice():
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4, name="twice")])
    inputs = keras.Input((4,))
    middle = keras.Model(inputs, inner(inner(inputs)))
    outer = keras.Input((4,))
    model = keras.Model(outer, middle(outer) + 1)
    graph = Graph(model)
    names = [call.operation.name for call in graph.calls]
    assert names.count("twice") == 2
    x = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")
    found = graph.run({graph.inputs[0]: x}, graph.outputs[0])
    np.testing.assert_allclose(found, answers_of(model, x), rtol=1e-5)


# Texts


def text_model(make=tiny_bert, **arguments):
    backbone, tokenizer = make()
    settings = {"tokenizer": tokenizer, "sequence_length": 32, "dropout": 0.0}
    return tl.text_classifier(backbone, ["no", "yes"], **settings, **arguments)


small_bert = functools.partial(tiny_bert, num_layers=1)


# What several tests look at: the functions behind an explanation take long to trace.
TEXTS = [
    *SENTENCES[:2],
    "",
    "a cafés story",
    " ".join(["good"] * 40),
    "<script>alert(1)</script> good",
    "a good $film",
    " ".join(["dull"] * 22),
]


@functools.cache
def explained(make):
    """Returns a text model, explanations of `TEXTS`, and what explains more."""
    model = text_model(make)
    explaining = Explaining(model, None, Settings())
    return model, explaining(explaining.read(TEXTS)), explaining


@pytest.fixture
def bert():
    return explained(small_bert)[0]


@pytest.fixture
def of_bert():
    """Explanations by text."""
    return dict(zip(TEXTS, explained(small_bert)[1], strict=True))


def planted(count, seed=0):
    """Returns texts of random words, half of them with a word that says yes."""
    random = np.random.default_rng(seed)
    others = [word for word in WORDS if word != "great"]
    texts, places = [], []
    for i in range(count):
        words = list(random.choice(others, random.integers(8, 12)))
        place = int(random.integers(len(words)))
        if i % 2:
            words[place] = "great"
        texts.append(" ".join(words))
        places.append(place)
    return texts, np.arange(count) % 2, places


@pytest.mark.slow
def test_a_planted_word_gets_the_highest_score():
    model = text_model()
    model.backbone.trainable = True
    model.compile(
        keras.optimizers.Adam(1e-2),
        "sparse_categorical_crossentropy",
        jit_compile=False,
    )
    texts, labels, _ = planted(256)
    model.fit(np.array(texts, object), labels, epochs=10, batch_size=32, verbose=0)
    texts, labels, places = planted(12, seed=1)
    with_word = [text for text, label in zip(texts, labels, strict=True) if label]
    found = tl.explain(model, with_word, target="yes")
    assert min(one.probability for one in found) > 0.9
    for one, place in zip(found, places[1::2], strict=True):
        assert one.words[place] == "great"
        assert one.scores.argmax() == place
        assert one.top(1)[0] == ("great", one.scores.max())
    check = tl.sanity_check(model, with_word[:3], target="yes", stages=2)
    assert check.passed and check.ssim is None and len(check.stages) == 2


@pytest.mark.parametrize(
    "make",
    [
        small_bert,
        # DistilBERT and ELECTRA have BERT's tokenizer; FNet has no padding mask.
        pytest.param(tiny_gpt2, marks=pytest.mark.slow),
        pytest.param(tiny_f_net, marks=pytest.mark.slow),
        pytest.param(tiny_roberta, marks=pytest.mark.slow),
    ],
)
def test_scores_are_complete_over_words_of_every_tokenizer(make):
    model, found, _ = explained(make)
    expected = [answer.probability for answer in model.classify(TEXTS)]
    np.testing.assert_allclose([x.probability for x in found], expected, rtol=1e-3)
    for one in found:
        np.testing.assert_allclose(
            one.scores.sum(), one.logit - one.baseline, atol=2e-3
        )
        np.testing.assert_allclose(one.token_scores.sum(), one.scores.sum())
        assert one.gap <= 0.05
    assert not any(one.truncated for one in found[:4])
    assert found[1].words == ("a", "very", "bad", "story", ",", "and", "dull", "!")
    assert found[2].words == () and found[2].scores.shape == (0,)
    assert found[3].words == ("a", "cafés", "story")


@pytest.mark.slow
def test_texts_with_adapters_in_mixed_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = text_model(lora_rank=2)
    before = weights_of(model)
    one = tl.explain(model, "a good film")[0]
    assert one.gap < 0.01 and one.words == ("a", "good", "film")
    assert_equal_weights(before, weights_of(model))


@pytest.mark.slow
def test_texts_with_several_heads():
    backbone, tokenizer = tiny_bert()
    heads = {"good": tl.Classes(["no", "yes"]), "stars": tl.Numbers()}
    settings = {"tokenizer": tokenizer, "sequence_length": 24}
    model = tl.text_classifier(backbone, heads, **settings)
    one = tl.explain(model, "a good film", head="stars")[0]
    assert one.probability is None
    expected = model.predict(np.array(["a good film"]), verbose=0)["stars"][0, 0]
    np.testing.assert_allclose(one.output, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("make", [tiny_bert, tiny_gpt2])
def test_pairs_tell_their_texts_apart(make):
    pairs = [("the film was good", "a bad story"), ("", "a bad"), ("good", "")]
    found = tl.explain(text_model(make), pairs)
    assert found[0].words == ("the", "film", "was", "good", "a", "bad", "story")
    assert found[0].parts == (0, 0, 0, 0, 1, 1, 1)
    assert (found[1].words, found[1].parts) == (("a", "bad"), (1, 1))
    assert (found[2].words, found[2].parts) == (("good",), (0,))


def test_words_are_those_of_the_text(bert):
    preprocessor = bert.preprocessor
    for text, words in {
        "Don't stop: it's a (good) film!": "Don't stop : it's a ( good ) film !",
        "great 映画 film": "great 映 画 film",
        "  spaced \n out ": "spaced out",
        "[SEP] xyzzy": "[ SEP ] xyzzy",
    }.items():
        read = read_text(preprocessor, text)
        assert read.words == words.split()
        assert len(read.word_of) == len(read.places)
        (places,) = own_places(preprocessor, read.inputs)
        # [CLS] before and [SEP] behind.
        assert places.tolist() == list(range(1, len(places) + 1))


def test_a_text_that_is_too_long_ends_where_the_model_ends(of_bert):
    one = of_bert[TEXTS[4]]
    assert one.truncated and len(one.words) == 30
    assert "the rest is not read" in one._repr_html_()


def test_a_baseline_can_be_a_token(monkeypatch):
    _, _, explaining = explained(small_bert)
    monkeypatch.setattr(explaining.explainer, "settings", Settings(baseline="good"))
    (same,) = explaining(["a good"])
    assert same.scores[0] != 0 and same.scores[1] == 0
    monkeypatch.setattr(explaining.explainer, "settings", Settings(baseline="[NONE]"))
    with pytest.raises(ValueError, match=r"token of the vocabulary, such as '\[PAD\]'"):
        explaining(["good"])


# Sanity checks


@pytest.mark.parametrize("method", ["grad_cam", "integrated_gradients"])
def test_maps_of_what_was_learnt_pass_the_sanity_check(finder, method):
    x, _, _ = squares(6, seed=5)
    before = weights_of(finder)
    check = tl.sanity_check(finder, x, method=method)
    assert_equal_weights(before, weights_of(finder))
    assert check.passed, str(check)
    assert check.stages == ("head", "block2", "block1")
    assert check.rank_correlation.shape == check.ssim.shape == (3, 6)
    assert str(check).startswith(f"Sanity check of {method} on 6 input(s): passed")


def edges(model, pixels):
    """A "method" that ignores the model."""
    return [np.abs(np.diff(x.sum(axis=-1), axis=0)) for x in pixels]


def test_a_method_that_ignores_the_weights_fails(finder):
    x, _, _ = squares(3)
    check = tl.sanity_check(finder, x, method=edges)
    assert not check.passed
    np.testing.assert_allclose(check.rank_correlation, 1.0)
    np.testing.assert_allclose(check.ssim, 1.0, atol=1e-6)
    assert "they show the input, not the model" in str(check)
    assert check.method == "edges"


def test_weights_come_back_also_after_an_error(finder):
    calls = []

    def breaks(model, pixels):
        calls.append(1)
        if len(calls) == 3:
            raise RuntimeError("broken")
        return [np.eye(4) for _ in pixels]

    before = weights_of(finder)
    with pytest.raises(RuntimeError, match="broken"):
        tl.sanity_check(finder, squares(1)[0], method=breaks)
    assert_equal_weights(before, weights_of(finder))


def test_randomising_shuffles_every_weight_and_is_repeatable(finder):
    seen = []

    def look(model, pixels):
        seen.append(weights_of(model))
        return [np.arange(4.0) for _ in pixels]

    for _ in range(2):
        tl.sanity_check(finder, squares(1)[0], method=look)
    first, *_, last = seen[: len(seen) // 2]
    for path, values in first.items():
        np.testing.assert_array_equal(np.sort(values, None), np.sort(last[path], None))
        if np.unique(values).size > 3:
            assert not np.array_equal(values, last[path]), path
    for one, again in zip(seen[: len(seen) // 2], seen[len(seen) // 2 :], strict=True):
        assert_equal_weights(one, again)


def test_blocks_are_put_together_where_there_are_more_than_stages():
    model = tl.image_classifier("glyphnet", 2)
    x = np.random.default_rng(0).uniform(0, 255, (1, 32, 32, 1))
    check = tl.sanity_check(model, x, stages=3, target=0)
    assert len(check.stages) == 3 and check.stages[0] == "head"


@pytest.mark.slow
def test_a_model_without_a_nested_backbone_has_stages_too():
    base = tiny_backbone()
    x = keras.layers.GlobalAveragePooling2D()(base.output)
    model = keras.Model(base.input, keras.layers.Dense(2, activation="softmax")(x))
    pixels = np.random.default_rng(0).uniform(0, 255, (3, 16, 16, 3))
    check = tl.sanity_check(model, pixels, method="integrated_gradients", stages=2)
    assert len(check.stages) == 2


def test_empty_texts_are_left_out_of_a_sanity_check(bert):
    check = tl.sanity_check(bert, ["", "a film"], stages=2)
    assert check.rank_correlation.shape == (2, 1)
    with pytest.raises(ValueError, match="at least 2"):
        tl.sanity_check(bert, ["a great film"], stages=1)


def test_constant_maps_cannot_be_checked(finder):
    with pytest.raises(ValueError, match="nothing to compare"):
        tl.sanity_check(finder, squares(2)[0], method=lambda m, x: np.ones((2, 4, 4)))
    with pytest.raises(ValueError, match="Received: 1 arrays for 2 inputs"):
        tl.sanity_check(finder, squares(2)[0], method=lambda m, x: np.ones((1, 4, 4)))
    with pytest.raises(ValueError, match="no input was given"):
        tl.sanity_check(finder, np.zeros((0, SIDE, SIDE, 3)))


# Errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "gradcam"}, "'grad_cam'"),
        ({"target": "3"}, "No such class: '3'"),
        ({"target": 3}, "a number from 0 to 2"),
        ({"target": True}, "a number from 0 to 2"),
        ({"target": [0]}, "1 targets for 2 inputs"),
        ({"layer": "block2_con"}, "Did you mean 'block2_conv'"),
        ({"layer": "out"}, "has no feature map"),
        ({"layer": "block1_conv", "method": "integrated_gradients"}, "of Grad-CAM"),
        ({"method": "grad_cam", "steps": 8}, "of integrated gradients alone"),
        ({"steps": 0}, "`steps` must be a whole number of at least 1"),
        ({"baseline": np.zeros(5)}, "`baseline` of pictures"),
        ({"baseline": "[MASK]"}, "`baseline` of pictures"),
        ({"tolerance": 0}, "`tolerance` must be a number above 0"),
        ({"batch_size": 0}, "`batch_size`"),
        ({"head": "tail"}, "No such head: 'tail'"),
    ],
)
def test_wrong_arguments_are_named(finder, arguments, message):
    with pytest.raises(ValueError, match=message):
        tl.explain(finder, squares(2)[0], **arguments)


def test_wrong_models_and_inputs_are_named(bert):
    x = np.zeros((1, 16, 16, 3))
    with pytest.raises(ValueError, match="functional `keras.Model`"):
        tl.explain(keras.layers.Dense(1), x)
    regressor = tl.image_regressor(tiny_backbone(blocks=1), 3)
    with pytest.raises(ValueError, match="`target=0` to `target=2`"):
        tl.explain(regressor, x)
    with pytest.raises(ValueError, match="outputs of a regression have no names"):
        tl.explain(regressor, x, target="a")
    with pytest.raises(ValueError, match=r"shape \(batch, units\)"):
        tl.explain(tiny_backbone(blocks=1), x)
    with pytest.raises(ValueError, match=r"takes paths, or raw pixels of shape"):
        tl.explain(regressor, np.zeros((1, 16, 16)), target=0)
    inputs = keras.Input((3,))
    table = keras.Model(inputs, keras.layers.Dense(2)(inputs))
    with pytest.raises(ValueError, match="not offered for arrays.*pictures, texts"):
        tl.explain(table, np.zeros((1, 3)), target=0)
    with pytest.raises(ValueError, match="Grad-CAM is for pictures"):
        tl.explain(bert, "good", method="grad_cam")
    with pytest.raises(ValueError, match="Every text must be a string"):
        tl.explain(bert, [3])


# What is shown


class Reader(HTMLParser):
    """Collects the tags of a document, and its text."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.shown = [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.shown.append(data)


def test_texts_in_notebooks_are_escaped_and_say_their_scores(of_bert):
    one = of_bert[TEXTS[5]]
    read = Reader(one._repr_html_())
    assert not [tag for tag, _ in read.tags if tag == "script"]
    assert "script" in read.shown
    titles = [attrs["title"] for tag, attrs in read.tags if "title" in attrs]
    assert len(titles) == len(one.words)
    assert all(re.fullmatch(r"[+-]\d+\.\d{3}", title) for title in titles)


def test_pictures_in_notebooks_say_what_they_show(finder):
    found = tl.explain(finder, squares(2)[0])
    for shown in (found, found[0]):
        ((_, image),) = [t for t in Reader(shown._repr_html_()).tags if t[0] == "img"]
        assert image["src"].startswith("data:image/jpeg;base64,")
        assert re.search(r"0 \d\.\d\d: strongest at the \w+ \w+", image["alt"])


def test_explanations_are_a_list_that_can_be_drawn(finder):
    found = tl.explain(finder, squares(5)[0])
    assert len(found) == 5 and len(found[1:3]) == 2 and found[-1] is list(found)[4]
    assert repr(found[:1]) == f"[{found[0]!r}]" and "grad_cam at" in repr(found[0])
    assert len(found.plot(columns=5).child_axes) == 5
    assert found[0].plot().get_title() == found[0].title
    with pytest.raises(ValueError, match="no explanations to draw"):
        tl.explain(finder, np.zeros((0, SIDE, SIDE, 3))).plot()


def test_texts_are_drawn_word_by_word(of_bert):
    found = tl.Explanations([of_bert[text] for text in TEXTS[6:]])
    ax = found.plot()
    shown = [text.get_text() for text in ax.texts]
    assert shown[1:5] == ["a", "good", "$", "film"] and shown.count("dull") == 22
    ax.get_figure().canvas.draw()
    boxes = [text.get_window_extent() for text in ax.texts if text.get_text() == "dull"]
    assert len({round(box.y0) for box in boxes}) == 2, "one line would not hold them"
    inside = ax.get_window_extent()
    assert all(box.x1 <= inside.x1 + 2 for box in boxes)
    pairs = zip(boxes, boxes[1:], strict=False)
    assert not any(a.overlaps(b) for a, b in pairs)
    assert found[0].plot() is not ax


def test_a_sanity_check_is_drawn_with_its_threshold():
    figures = np.full((2, 3), 0.1)
    stages = "head", "backbone"
    check = tl.SanityCheck("grad_cam", stages, figures, figures, threshold=0.4)
    ax = check.plot()
    assert [label.get_text() for label in ax.get_xticklabels()][:2] == [
        "trained",
        "head",
    ]
    shown = [text.get_text() for text in ax.get_legend().get_texts()]
    assert shown == [
        "rank correlation",
        "SSIM",
        "rank correlation: passed below",
    ]


@pytest.mark.real
def test_photographs_of_ants_and_bees():
    folder = needs_shared("data", "ants_bees")
    weights = needs_shared(
        "keras_home",
        "models",
        "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5",
    )
    data = tl.image_folder(folder, image_size=224, batch_size=32, seed=0)
    model = tl.image_classifier(
        "mobilenet_v2", data.class_names, weights=weights, input_shape=224
    )
    tl.fit_head(model, data.train, data.val, epochs=10, verbose=0)
    paths = sorted(folder.glob("test/*/*.jpg"))[::20][:8]
    before = weights_of(model)
    found = tl.explain(model, paths[:2], method="integrated_gradients")
    print([f"{one.gap:.3f} in {one.steps} steps" for one in found])
    assert max(one.gap for one in found) <= 0.05
    check = tl.sanity_check(model, paths, stages=6)
    print(check)
    assert check.passed
    assert_equal_weights(before, weights_of(model))
    assert not tl.sanity_check(model, paths[:2], method=edges, stages=2).passed
