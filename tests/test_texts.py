"""Text models: strings in, two verified phases, one self-contained file."""

import functools
import subprocess
import sys

import keras
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import tensorflow as tf
from text_models import (
    SENTENCES,
    tiny_bert,
    tiny_gpt2,
    tiny_roberta,
    write_preset,
)

import tlkeras as tl
from tlkeras.features.splitting import join
from tlkeras.heads import TokenPooling
from tlkeras.inputs.examples import examples_of
from tlkeras.training.job import open_job

TEXTS = np.array(
    [
        "the film was good",
        "a very bad story , and dull !",
        "we loved it",
        "hated the awful funny play but not the bright story of a sad film",
        "you loved the bright and funny story",
        "i hated it",
    ]
    * 3
)
LABELS = np.array([1, 0, 1, 0, 1, 0] * 3)
PAIRS = np.stack([TEXTS, TEXTS[::-1]], axis=1)


def classifier(make=tiny_bert, **arguments):
    keras.utils.set_random_seed(0)
    backbone, tokenizer = make()
    arguments = {"sequence_length": 24, **arguments}
    return tl.text_classifier(
        backbone, ["bad", "good"], tokenizer=tokenizer, **arguments
    )


# Enough where the backbone does not matter.
small_bert = functools.partial(tiny_bert, num_layers=1)


def tune(model, texts=TEXTS, **arguments):
    arguments = {"head_epochs": 1, "epochs": 1, "unfreeze_from": 0.3, **arguments}
    return tl.fine_tune(
        model,
        (texts, LABELS),
        (texts, LABELS),
        learning_rate=1e-2,
        fine_tune_learning_rate=1e-3,
        verbose=0,
        **arguments,
    )


@pytest.mark.slow
def test_cached_and_uncached_training_of_a_decoder_give_the_same_history():
    point = "transformer_layer_1"
    losses = []
    # Weights and dropout follow from the seed: equal each time.
    for cache in (False, "memory"):
        history = tune(
            classifier(tiny_gpt2),
            head_epochs=2,
            epochs=2,
            unfreeze_from=point,
            cache=cache,
        )
        losses.append(history.history["loss"] + history.history["val_loss"])
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-4)


@pytest.mark.slow
def test_all_phases_share_one_pass_and_a_second_run_extracts_nothing():
    data = tl.from_arrays(TEXTS, LABELS, batch_size=4, test_split=0)
    model = classifier()
    tl.fine_tune(
        model, data.train, data.val, head_epochs=1, epochs=[1, 1], verbose=0,
        unfreeze_from=["transformer_layer_1", "transformer_layer_0"],
    )  # fmt: skip
    model = classifier()
    history = tl.fit_head(model, data.train, data.val, epochs=1, verbose=0)
    first = history.phases[0].extraction_seconds
    history = tl.fit_head(model, data.train, data.val, epochs=1, verbose=0)
    assert history.phases[0].extraction_seconds == 0.0 < first


# Word pieces and byte pairs.
@pytest.mark.contract
@pytest.mark.parametrize("make", [tiny_bert, tiny_gpt2])
@pytest.mark.slow
def test_a_file_holds_tokenizer_freeze_point_and_all(tmp_path, make):
    model = classifier(make)
    tune(model)
    before = model.predict(TEXTS, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = tl.load(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(TEXTS, verbose=0), before)
    assert loaded.class_names == ("bad", "good")
    assert loaded.problem.input.pairs is False
    trainable = [tl.trainable_summary(each).trainable for each in (model, loaded)]
    assert trainable[0] == trainable[1]
    tl.fit_head(loaded, (TEXTS, LABELS), epochs=1, verbose=0)  # It trains on.


@pytest.mark.slow
def test_a_fresh_process_classifies_with_nothing_but_the_file(tmp_path):
    model = classifier()
    model.save(tmp_path / "model.keras")
    script = (
        "import sys, tlkeras as tl\n"
        "(answer,) = tl.load(sys.argv[1]).classify('we loved the film')\n"
        "print(answer.label, answer.probability)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "model.keras"],
        capture_output=True,
        text=True,
        check=True,
    )
    (answer,) = model.classify("we loved the film")
    label, probability = done.stdout.split()
    assert label == answer.label
    assert float(probability) == pytest.approx(answer.probability, rel=1e-5)


@pytest.mark.contract
@pytest.mark.slow
def test_a_text_model_exports_and_knows_its_head(tmp_path):
    model = classifier()
    expected = model.predict(list(TEXTS[:3]), verbose=0)
    tokens = {name: np.array(x) for name, x in model.ready(TEXTS[:3]).items()}
    states = model.backbone.predict(tokens, verbose=0)
    by_parts = model.head([states, tokens["padding_mask"]])
    np.testing.assert_allclose(by_parts, expected, atol=1e-5)
    model.export(tmp_path / "saved", format="tf_saved_model", verbose=False)
    assert (tmp_path / "saved" / "saved_model.pb").is_file()


@pytest.mark.slow
def test_keras_verbs_take_texts():
    model = classifier()
    data = tl.from_arrays(TEXTS, LABELS, batch_size=4, test_split=0.3)
    model.fit(data.train, validation_data=data.val, epochs=1, verbose=0, shuffle=False)
    by_keras = model.evaluate(data.test, verbose=0, return_dict=True)["accuracy"]
    assert tl.evaluate(model, data.test, verbose=0).accuracy == pytest.approx(by_keras)
    rows = model.predict(data.test, verbose=0)
    texts = np.concatenate([x.numpy() for x, _ in data.test]).astype(str)
    np.testing.assert_allclose(model.predict(list(texts), verbose=0), rows, atol=1e-5)


@pytest.mark.slow
def test_answers_keep_the_order_of_texts_and_do_not_depend_on_their_company():
    model = classifier(tiny_gpt2)
    alone = [model.predict([text], verbose=0)[0] for text in SENTENCES]
    together = model.predict(SENTENCES, batch_size=2, verbose=0)
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert len({tuple(row) for row in together.round(4).tolist()}) == len(SENTENCES)


@pytest.mark.parametrize("make", [tiny_bert, tiny_roberta])
@pytest.mark.slow
def test_pairs_of_texts(make):
    model = classifier(make)
    tl.fit_head(model, (PAIRS, LABELS), epochs=1, verbose=0)
    there = model.predict(PAIRS[:2], verbose=0)
    back = model.predict(PAIRS[:2, ::-1], verbose=0)
    assert not np.allclose(there, back, atol=1e-6)
    assert len(model.classify([("we loved it", "it was bad")])) == 1


def test_batches_are_as_long_as_their_longest_text():
    lengths = []
    model = classifier(small_bert, sequence_length=32)
    texts = ["i loved it"] * 4 + [" ".join(["film"] * 60)] * 4

    class Spy(keras.layers.Layer):
        def call(self, inputs):
            import tensorflow as tf

            tf.numpy_function(
                lambda n: lengths.append(int(n)), [tf.shape(inputs)[1]], []
            )
            return inputs

    tokens = keras.Input((None,), dtype="int32")
    spy = keras.Model(tokens, Spy()(tokens))
    batches, _ = model.problem.input.batches(texts, 4)
    for batch in batches:
        spy(batch["token_ids"])
    assert lengths == [16, 32]


def test_extracted_features_keep_the_order_of_the_data():
    model = classifier(small_bert)
    features = tl.extract_features(model, (TEXTS, LABELS), cache=False, verbose=0)
    pooled = tl.split_model(model).prefix(model.ready(TEXTS), training=False)
    np.testing.assert_allclose(features.arrays[0], pooled, atol=1e-5)
    np.testing.assert_array_equal(features.labels, LABELS)


@pytest.mark.slow
def test_a_pooler_trains_without_a_warning():
    """A layer without a gradient would make Keras warn, and warnings are errors."""
    history = tune(classifier(pool="pooled"), unfreeze_from=1.0)
    assert np.isfinite(history.history["loss"]).all()


def test_pooling_leaves_padding_out():
    states = np.arange(24, dtype="float32").reshape(2, 4, 3)
    mask = np.array([[1, 1, 0, 0], [1, 1, 1, 1]])
    pooled = {
        pool: np.array(TokenPooling(pool)([states, mask]))
        for pool in ("mean", "cls", "last")
    }
    np.testing.assert_allclose(pooled["mean"][0], states[0, :2].mean(axis=0))
    np.testing.assert_allclose(pooled["mean"][1], states[1].mean(axis=0))
    np.testing.assert_array_equal(pooled["cls"], states[:, 0])
    np.testing.assert_array_equal(pooled["last"], [states[0, 1], states[1, 3]])


def test_decoders_pool_the_last_token_and_encoders_the_mean():
    models = classifier(tiny_gpt2), classifier(small_bert)
    pools = [model.get_layer("pooling").pool for model in models]
    assert pools == ["last", "mean"]
    with pytest.raises(ValueError, match="pooled output"):
        classifier(tiny_gpt2, pool="pooled")


def test_frozen_dropout_is_off_and_trained_dropout_on():
    """In training, the frozen part repeats itself; what trains does not."""
    model = classifier(small_bert, dropout=0.0)
    tokens = model.ready(TEXTS[:4])

    def differs(before):
        run = join(tl.split_model(tl.freeze(model, unfreeze_from=before)))
        first, second = (np.array(run(tokens, training=True)) for _ in range(2))
        return not np.array_equal(first, second)

    assert not differs(None)
    assert differs("transformer_layer_0")


@pytest.mark.filterwarnings("ignore:The backbone .* is part of:UserWarning")
@pytest.mark.slow
@pytest.mark.parametrize("form", ["texts", "pairs", "two columns"])
def test_texts_may_come_in_lists_wherever_arrays_do(form):
    backbone, tokenizer = tiny_bert()
    heads = {"good": tl.Classes(["no", "yes"]), "stars": tl.Numbers()}
    sizes = {"tokenizer": tokenizer, "sequence_length": 24}
    texts, pairs = TEXTS.tolist(), PAIRS.tolist()
    x = {"texts": texts, "pairs": pairs, "two columns": (texts, texts[::-1])}[form]
    y = LABELS
    if form == "texts":
        model = tl.text_classifier(backbone, heads, **sizes)
        y = {"good": LABELS.tolist(), "stars": LABELS.tolist()}
    else:
        model = tl.text_classifier(backbone, heads["good"], **sizes)
    tl.fit_head(model, (x, y), (x, y), verbose=0)
    as_array = TEXTS if form == "texts" else PAIRS
    for found, expected in zip(
        keras.tree.flatten(model.predict(x, verbose=0)),
        keras.tree.flatten(model.predict(as_array, verbose=0)),
        strict=True,
    ):
        np.testing.assert_array_equal(found, expected)
    found = tl.evaluate(model, (x, y), verbose=0)
    report = found["good"] if form == "texts" else found
    assert report.y_true.tolist() == LABELS.tolist() and report.accuracy > 0.9
    tl.calibrate(model, (x, y), verbose=0)
    assert len(model.classify(x)) == len(LABELS)


@pytest.mark.slow
def test_a_regressor_and_several_labels_of_texts_some_too_long(capsys):
    backbone, tokenizer = small_bert()
    model = tl.text_regressor(backbone, tokenizer=tokenizer, sequence_length=16)
    job = open_job(model, (TEXTS, LABELS.astype("float32")))
    assert job.problem.task == "regression"
    assert model.predict(list(TEXTS), verbose=0).shape == (18, 1)
    backbone, tokenizer = small_bert()
    model = tl.text_classifier(
        backbone, 3, tokenizer=tokenizer, multi_label=True, sequence_length=24
    )
    texts = np.array(["good " * 40, *TEXTS[1:]], dtype=object)
    labels = np.random.default_rng(0).integers(0, 2, (18, 3)).astype("float32")
    tl.fit_head(model, (texts, labels), epochs=1, verbose=2)
    assert "1 of 18 texts are longer than 24 tokens" in capsys.readouterr().out
    assert isinstance(model.classify(["good"])[0].label, tuple)


@pytest.mark.slow
def test_a_preset_folder_in_mixed_precision(tmp_path):
    folder = write_preset(tmp_path / "tiny", *tiny_bert())
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = tl.text_classifier(folder, 2, sequence_length=16)
    tune(model)
    assert model.predict(list(TEXTS), verbose=0).dtype == "float32"
    (layer,) = [x for x in model.backbone.layers if x.name == "transformer_layer_1"]
    assert layer.compute_dtype == "bfloat16"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sequence_length": 2}, "sequence_length"),
        ({"sequence_length": 1000}, "at most 32 tokens"),
        ({"pool": "max"}, "pool"),
    ],
)
def test_wrong_arguments_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        classifier(small_bert, **change)


@pytest.fixture(scope="module")
def read_both():
    """A model of pairs, one of single texts, and what the latter says of the data."""
    models = []
    for texts in (PAIRS, TEXTS):
        model, data = classifier(small_bert), tl.from_arrays(texts, LABELS)
        model.problem = model.problem.but(
            input=model.problem.input.adopt(data.problem.input)
        )
        models.append(model)
    return *models, models[1].predict(TEXTS, verbose=0)


FORMS = {
    "list": list,
    "objects": lambda x: np.array(x, object),
    "numpy strings": lambda x: np.array(x, np.dtypes.StringDType()),
    "object series": lambda x: pd.Series(x, dtype=object),
    "string series": lambda x: pd.Series(x, dtype="string"),
    "arrow series": lambda x: pd.Series(x, dtype="string[pyarrow]"),
    "categories": lambda x: pd.Series(x, dtype="category"),
    "index": lambda x: pd.Series(x, index=range(7, 7 + len(x))),
    "arrow": pa.array,
    "arrow chunks": lambda x: pa.chunked_array([x[:4], x[4:]]),
}


@pytest.mark.parametrize("form", FORMS)
def test_all_verbs_take_texts_in_any_form(read_both, form):
    _, model, wanted = read_both
    x = FORMS[form](TEXTS.tolist())
    tokens = model.ready(TEXTS)
    for name, found in model.ready(x).items():
        np.testing.assert_array_equal(found, tokens[name])
    part = examples_of(tl.from_arrays(x, LABELS, batch_size=18).train)
    assert set(part.inputs.numpy()) == {text.encode() for text in TEXTS}
    if form in ("list", "index", "arrow chunks"):
        np.testing.assert_array_equal(model.predict(x, verbose=0), wanted)
        assert [a.label for a in model.classify(x)] == [
            ("bad", "good")[i] for i in wanted.argmax(axis=1)
        ]
        report = tl.evaluate(model, (x, LABELS), verbose=0)
        assert report.accuracy == np.mean(wanted.argmax(axis=1) == LABELS)


@pytest.mark.parametrize("gap", [None, np.nan, pd.NA])
def test_what_is_missing_among_texts_is_named(read_both, gap):
    _, model, _ = read_both
    for texts in (["a", gap], pd.Series(["a", gap], dtype="string")):
        for verb in (model.classify, lambda x: model.predict(x, verbose=0)):
            with pytest.raises(ValueError, match=r"texts\[1\]=(None|nan|<NA>)"):
                verb(texts)
        for verb in (open_job, lambda m, x: tl.evaluate(m, x, verbose=0)):
            with pytest.raises(ValueError, match=r"texts\[1\]=(None|nan|<NA>)"):
                verb(model, (texts, LABELS[:2]))
        with pytest.raises(ValueError, match="index 1 has no text"):
            tl.from_arrays(texts, [0, 1])


@pytest.mark.slow
def test_texts_of_forms_that_no_array_has(read_both):
    _, model, _ = read_both
    arrow = pa.array(TEXTS.tolist())
    assert open_job(model, (arrow, LABELS)).train.element_spec[0].dtype == tf.string
    ragged = tf.ragged.constant([["a film"], ["a", "play"]])
    for texts, message in (
        (["a", "\ud83d"], r"texts\[1\] has characters that are not UTF-8"),
        (ragged, "Every text must be a string"),
    ):
        with pytest.raises(ValueError, match=message):
            model.classify(texts)
    for texts in ({*TEXTS}, iter(TEXTS), (text for text in TEXTS)):
        for verb in (open_job, tl.evaluate):
            with pytest.raises(ValueError, match="array or a list, which has an order"):
                verb(model, (texts, LABELS))


@pytest.mark.slow
def test_a_model_of_pairs_stays_one(tmp_path, read_both):
    model, single, _ = read_both
    model.save(tmp_path / "pairs.keras")
    pairs = [("the film", "was good"), ("a bad play", "we hated it")]
    loaded = tl.load(tmp_path / "pairs.keras")
    for each in (model, loaded):
        for verb in (each.classify, each.predict, each.ready, tl.explain):
            arguments = (each, ["a film"]) if verb is tl.explain else (["a film"],)
            with pytest.raises(ValueError, match="trained on pairs of texts. Pass"):
                verb(*arguments)
        with pytest.raises(ValueError, match="trained on pairs"):
            tl.evaluate(each, (TEXTS, LABELS))
        with pytest.raises(ValueError, match="trained on pairs"):
            tl.export(each, str(tmp_path / "served"), data=TEXTS)
    assert len(loaded.classify(pairs[0])) == 1
    assert len(loaded.classify(tuple(map(list, zip(*pairs, strict=True))))) == 2
    with pytest.raises(ValueError, match="trained on single texts"):
        single.classify(pairs)


@pytest.mark.slow
def test_the_first_pairs_make_a_model_one_of_pairs():
    model = classifier(small_bert)
    columns = tuple(map(list, PAIRS.T))
    batches = tf.data.Dataset.from_tensor_slices((PAIRS, LABELS)).batch(6)
    for train in ((PAIRS, LABELS), (columns, LABELS), batches):
        assert open_job(model, train).problem.input.pairs
        with pytest.raises(ValueError, match="trained on pairs"):
            open_job(model, train, (TEXTS, LABELS))
    assert not open_job(model, (TEXTS, LABELS)).problem.input.pairs
    with pytest.raises(ValueError, match="trained on pairs"):
        model.fit(PAIRS[:2], LABELS[:2], validation_data=(TEXTS[:2], LABELS[:2]))
    assert model.problem.input.pairs
    with pytest.raises(ValueError, match="trained on pairs"):
        tl.extract_features(model, (TEXTS, LABELS), cache=False, verbose=0)


def test_what_is_no_text_is_refused():
    model = classifier(small_bert)
    with pytest.raises(ValueError, match="must hold texts"):
        tl.fit_head(model, (np.zeros((4, 8, 8, 3), "float32"), LABELS[:4]), verbose=0)
    with pytest.raises(ValueError, match="takes texts"):
        tl.fit_head(
            model, (TEXTS, LABELS), recipe=tl.Recipe(augment="light"), verbose=0
        )


def test_single_texts_of_a_dataset_are_to_be_batched():
    single = tf.data.Dataset.from_tensor_slices((TEXTS, LABELS))
    with pytest.raises(ValueError, match="gives single ones: add `.batch"):
        tl.fit_head(classifier(small_bert), single, verbose=0)
