"""Bad input through the public verbs: a clear error, and nothing lost."""

import functools
import inspect
import io
import itertools
import zipfile
from contextlib import nullcontext

import keras
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import tensorflow as tf
from helpers import (
    assert_equal_weights,
    solid_colours,
    tiny_backbone,
    weights_of,
    with_recipe,
)

import tlkeras as tl
from tlkeras._validation import unknown_name
from tlkeras.export.interface import Interface
from tlkeras.export.scoring import scores
from tlkeras.inputs import given
from tlkeras.inputs.pictures.scale import takes_raw_pixels
from tlkeras.training.job import Fitting, open_job

X, Y = solid_colours(24, 2)


def classifier(classes=2, **kwargs):
    return tl.image_classifier(tiny_backbone(blocks=1), classes, **kwargs)


# For those who only look at it, or find that it is left as it was.
unchanged = functools.cache(classifier)


@functools.cache
def unchanged_heads():
    return classifier({"kind": tl.Classes(2), "size": tl.Numbers()})


def fit(model, train, validation_data=None, **kwargs):
    return tl.fit_head(
        model,
        train,
        validation_data,
        epochs=1,
        verbose=kwargs.pop("verbose", 0),
        **with_recipe(**kwargs),
    )


# Model files


@pytest.fixture(scope="module")
def saved_once(tmp_path_factory):
    model, path = classifier(), tmp_path_factory.mktemp("saved") / "model.keras"
    model.save(path)
    return model, path.read_bytes()


@pytest.fixture
def saved(saved_once, tmp_path):
    """A model and a file of it."""
    model, content = saved_once
    (tmp_path / "model.keras").write_bytes(content)
    return model, tmp_path / "model.keras"


def test_save_has_the_signature_of_keras():
    ours = inspect.signature(tl.TransferModel.save)
    assert ours == inspect.signature(keras.Model.save)


@pytest.mark.parametrize(
    "failure",
    [OSError(28, "No space left on device"), RuntimeError("no"), KeyboardInterrupt()],
)
def test_a_failed_save_keeps_the_old_file_and_leaves_no_other(
    saved, failure, monkeypatch
):
    model, path = saved
    before = path.read_bytes()

    def fail(self, store):
        raise failure

    monkeypatch.setattr(keras.layers.Dense, "save_own_variables", fail)
    expected = ValueError if isinstance(failure, OSError) else type(failure)
    with pytest.raises(expected) as caught:
        model.save(path)
    assert str(failure) in str(caught.value)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["model.keras"]


def test_saving_again_replaces_the_file_also_behind_a_link(saved, tmp_path):
    model, path = saved
    link = tmp_path / "latest.keras"
    link.symlink_to(path)
    model.layers[-1].bias.assign([3.0, 4.0])
    model.save(link)
    assert link.is_symlink()
    np.testing.assert_array_equal(tl.load(path).layers[-1].bias, [3, 4])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no/model.keras", "there is no folder .*no'"),
        ("folder.keras", "there is a folder of that name"),
        ("model", "must end in '.keras'"),
        ("model.h5", "must end in '.keras'"),
    ],
)
def test_a_path_that_a_model_cannot_be_saved_to(tmp_path, name, message):
    (tmp_path / "folder.keras").mkdir()
    with pytest.raises(ValueError, match=message):
        unchanged().save(tmp_path / name)
    assert [file.name for file in tmp_path.iterdir()] == ["folder.keras"]


def test_an_unzipped_model_loads_too(saved, tmp_path):
    saved[0].save(tmp_path / "unzipped", zipped=False)
    assert tl.load(tmp_path / "unzipped").class_names == ("0", "1")


def test_overwrite_false_asks_first(saved, monkeypatch):
    model, path = saved
    before = path.read_bytes()
    monkeypatch.setattr("builtins.input", lambda *_: "n")
    model.layers[-1].bias.assign([3.0, 4.0])
    model.save(path, overwrite=False)
    assert path.read_bytes() == before


def without_weights(path):
    with zipfile.ZipFile(path) as archive:
        config = archive.read("config.json")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", config)


def with_half_a_configuration(path):
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    files["config.json"] = files["config.json"][:100]
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)


def with_flipped_bytes(path):
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 50] = bytes(255 - b for b in content[middle:][:50])
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-3000]),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_text("no model"),
        without_weights,
        with_half_a_configuration,
        with_flipped_bytes,
    ],
    ids=["truncated", "empty", "text", "weights", "configuration", "flipped"],
)
def test_a_damaged_model_file_is_named(saved, damage):
    _, path = saved
    damage(path)
    with pytest.raises(ValueError, match=r"model\.keras' is damaged or no Keras model"):
        tl.load(path)


def test_a_renamed_model_file_is_recognised(saved):
    _, path = saved
    with pytest.raises(ValueError, match="must end in '.keras'. Rename"):
        tl.load(path.rename(path.with_suffix(".zip")))


def double(y_true, y_pred):
    return 2 * keras.losses.sparse_categorical_crossentropy(y_true, y_pred)


class Halved(keras.layers.Layer):
    def call(self, x):
        return x / 2


@keras.saving.register_keras_serializable("tests")
def registered(y_true, y_pred):
    return keras.losses.sparse_categorical_crossentropy(y_true, y_pred)


def with_layer(layer):
    base = tiny_backbone(blocks=1)
    inputs = keras.Input((16, 16, 3))
    backbone = keras.Model(inputs, base(layer(inputs)), name="behind")
    return tl.image_classifier(backbone, 2, preprocessing=None)


FOREIGN = {
    "double": (lambda: classifier(loss=double), {"double": double}),
    "Halved": (lambda: with_layer(Halved()), {"Halved": Halved}),
    "halve": (lambda: with_layer(keras.layers.Lambda(halve)), {"halve": None}),
    "lambda": (lambda: with_layer(keras.layers.Lambda(lambda x: x / 2)), None),
}


def halve(x):
    return x / 2


@pytest.mark.parametrize("name", FOREIGN)
def test_code_of_the_users_own_is_told_of_and_comes_back(name, tmp_path):
    make, objects = FOREIGN[name]
    objects = {"halve": halve} if name == "halve" else objects
    model, path = make(), tmp_path / "model.keras"
    with pytest.warns(UserWarning, match=f"needs .*'{name}.*tl.load"):
        model.save(path)
    message = "safe_mode=False" if objects is None else f"needs '{name}'.*custom_obj"
    with pytest.raises(ValueError, match=message) as caught:
        tl.load(path)
    assert len(str(caught.value)) < 600
    given = {"safe_mode": False} if objects is None else {"custom_objects": objects}
    loaded = tl.load(path, **given)
    np.testing.assert_array_equal(loaded(X), model(X))
    assert loaded.class_names == model.class_names and loaded.compiled
    bare = tl.load(path, compile=False, **given)
    assert not bare.compiled


def test_code_that_comes_back_by_itself_is_not_told_of(tmp_path):
    model = classifier(loss=registered)
    model.save(tmp_path / "model.keras")
    assert tl.load(tmp_path / "model.keras").loss is registered
    classifier(loss="focal").save(tmp_path / "f.keras")
    # What only the loss needs is not missed without it.
    with pytest.warns(UserWarning, match="double"):
        classifier(loss=double).save(tmp_path / "loss.keras")
    assert not tl.load(tmp_path / "loss.keras", compile=False).compiled


# Classes of data and model


@pytest.mark.parametrize("classes", [3, ("dog", "cat"), ("cat", "dog", "owl")])
def test_classes_that_do_not_match_the_head(classes):
    data = tl.from_arrays(X, Y, class_names=["cat", "dog"])
    model = unchanged(classes)
    message = "another order" if len(np.atleast_1d(classes)) == 2 else "3 in number"
    for use in (lambda: fit(model, data.train), lambda: tl.evaluate(model, data.test)):
        with pytest.raises(ValueError, match=f"has 2 classes, 'cat'.*{message}"):
            use()


@pytest.mark.parametrize("classes", [2, ("Katze", "Hund")])
def test_classes_may_have_other_names(classes):
    data = tl.from_arrays(X, Y, class_names=["cat", "dog"])
    report = tl.evaluate(unchanged(classes), data.test, verbose=0)
    assert len(report.y_true) == 3


@pytest.mark.parametrize(
    ("names", "labels", "error", "message"),
    [
        (["True", "False"], Y > 0, ValueError, "booleans.*True 'False'.*from_arrays"),
        (["yes", "no"], Y > 0, ValueError, "False would be 'yes'"),
        (["False", "True"], Y > 0, None, ""),
        (["cat", "dog"], Y > 0, None, ""),
        (["True", "False"], Y, UserWarning, "'False' as a name"),
        (["1", "0"], Y, UserWarning, "positions.*'0' as a name would be another"),
        (["1", "10", "2", "3"], Y + 1, UserWarning, "'1' as a name"),
        (["1", "10", "2", "3"], np.arange(24) % 4, None, ""),
    ],
)
def test_labels_that_names_would_turn_round(names, labels, error, message):
    model = unchanged(tuple(names))
    if error is None:
        assert open_job(model, (X, labels)).train is not None
        return
    with pytest.raises(error, match=message):
        open_job(model, (X, labels))
    if error is ValueError:
        with pytest.raises(error, match=message):
            tl.evaluate(model, (X, labels), verbose=0)


@pytest.mark.parametrize("labels", [Y + 5, Y - 5, Y * 0.5])
def test_labels_out_of_range_of_a_model_that_is_not_ours(labels):
    model = own_model(2, "softmax", "sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match="whole numbers from 0 to 1"):
        fit(model, (X, labels))


def test_targets_of_the_wrong_width():
    model = tl.image_regressor(tiny_backbone(blocks=0), 2)
    with pytest.raises(ValueError, match="outputs=1"):
        fit(model, (X, Y * 0.5))
    with pytest.raises(ValueError, match="0 to 1 in each column"):
        fit(classifier(multi_label=True), (X, np.eye(2)[Y] * 3))


@pytest.mark.parametrize("named", [False, True])
def test_one_hot_rows_as_labels_are_warned_of(named):
    labels = tl.Labels(3)
    model = classifier({"a": labels} if named else labels)
    with pytest.warns(UserWarning, match="24 rows of .* one 1.*without multi_label"):
        open_job(model, (X, {"a": ONE_HOT} if named else ONE_HOT))


@functools.cache
def own_model(units, activation, loss):
    backbone = tiny_backbone(blocks=1)
    backbone.trainable = False
    inputs = keras.Input((16, 16, 3))
    x = keras.layers.GlobalAveragePooling2D()(backbone(inputs))
    model = keras.Model(inputs, keras.layers.Dense(units, activation)(x))
    model.compile("sgd", loss)
    return model


MULTI_HOT = np.eye(3)[np.arange(24) % 3] + np.eye(3)[0] * (np.arange(24) > 20)[:, None]
ONE_HOT, NUMBERS = np.eye(3)[np.arange(24) % 3], np.arange(24) % 3


@pytest.mark.parametrize(
    ("make", "labels", "message"),
    [
        (lambda: unchanged(3), MULTI_HOT > 0, "one class"),
        (lambda: unchanged(3), ONE_HOT * 0, "one class"),
        (lambda: own_model(3, "softmax", "binary_crossentropy"), MULTI_HOT, "one-hot"),
        (lambda: own_model(3, "softmax", "mse"), MULTI_HOT > 0, "one-hot"),
        (
            lambda: own_model(3, "sigmoid", "categorical_crossentropy"),
            MULTI_HOT > 0,
            "multi_label=True",
        ),
    ],
)
def test_several_labels_do_not_go_into_one_class(make, labels, message):
    model = make()
    for use in (
        lambda: fit(model, (X, labels * 1)),
        lambda: fit(
            model, tf.data.Dataset.from_tensor_slices((X, labels * 1)).batch(24)
        ),
        lambda: fit(model, (X, ONE_HOT), validation_data=(X, labels * 1)),
        lambda: tl.evaluate(model, (X, labels * 1), verbose=0),
    ):
        with pytest.raises(ValueError, match=f"{message}|one-hot|cannot be told"):
            use()


@pytest.mark.parametrize(
    ("loss", "labels", "mend"),
    [
        ("sparse_categorical_crossentropy", ONE_HOT, "argmax"),
        ("categorical_crossentropy", NUMBERS, "to_categorical"),
        (keras.losses.CategoricalCrossentropy(), NUMBERS[:, None], "to_categorical"),
        ("mse", NUMBERS, "to_categorical"),
    ],
)
def test_labels_of_a_form_that_the_loss_does_not_take(loss, labels, mend):
    with pytest.raises(ValueError, match=f"does not take.*{mend}"):
        fit(own_model(3, "softmax", loss), (X, labels))


def test_metrics_that_do_not_take_the_form_of_the_labels():
    rows, numbers = np.eye(2)[Y], Y
    model, named = classifier(), classifier({"kind": tl.Classes(2)})
    metrics = keras.metrics
    for metric, labels, message in (
        (metrics.AUC(), numbers, "'auc' does not take.*sparse_categorical_accuracy"),
        (metrics.F1Score(), numbers, "'f1_score' does not take"),
        (metrics.MeanIoU(2), numbers, "'mean_io_u' does not take"),
        ("MeanSquaredError", numbers, "does not take.*to_categorical"),
        (keras.losses.kl_divergence, numbers, "'kl_divergence' does not take"),
        (metrics.SparseCategoricalAccuracy(), rows, "does not take.*argmax"),
        ("accuracy", numbers, None),
        (metrics.MeanIoU(2, sparse_y_pred=False), numbers, None),
        (metrics.AUC(), rows, None),
        (lambda y, outputs: outputs[:, 0], numbers, None),
    ):
        model.compile("adam", model.loss, metrics=[metric])
        with pytest.raises(ValueError, match=message) if message else nullcontext():
            open_job(model, (X, labels))
    named.compile("adam", named.loss, metrics={"kind": ["AUC"]})
    with pytest.raises(ValueError, match="of head 'kind' .*'AUC' does not take"):
        open_job(named, (X, {"kind": Y}))


@pytest.mark.parametrize(
    ("labels", "form"), [(NUMBERS, "numbers"), (ONE_HOT, "rows"), (MULTI_HOT > 0, "")]
)
def test_classes_with_names_are_no_numbers(labels, form):
    names = ["ant", "bee", "cow"]
    data = tl.from_arrays(X, labels * 1, class_names=names, seed=1)
    task = "classification" if form else "multi_label"
    ours = tl.image_regressor(tiny_backbone(blocks=0))
    for model in (own_model(1, None, "mse"), ours):
        for use in (
            lambda m=model: fit(m, data),
            lambda m=model: tl.evaluate(m, data.test, verbose=0),
        ):
            with pytest.raises(ValueError, match=f"read for '{task}'.*'regression'"):
                use()


def test_numbers_are_no_classes_with_names():
    data = tl.from_arrays(X, np.linspace(0, 9, 24))
    for use in (fit, lambda m, d: tl.evaluate(m, d.test, verbose=0)):
        with pytest.raises(ValueError, match="read for 'regression'"):
            use(unchanged(3), data)
    with pytest.raises(ValueError, match="whole numbers from 0 to 2"):
        fit(own_model(3, "softmax", "sparse_categorical_crossentropy"), data)


def test_shares_of_classes_and_two_classes_of_a_number_are_taken():
    shares = 0.8 * ONE_HOT + 0.2 / 3
    assert open_job(unchanged(3), (X, shares)).train is not None
    fit(own_model(3, "softmax", keras.losses.KLDivergence()), (X, shares))
    data = tl.from_arrays(X, Y, class_names=["cat", "dog"])
    assert open_job(own_model(1, "sigmoid", "mse"), data).train is not None


def test_an_unknown_loss():
    with pytest.raises(ValueError, match="mse2"):
        tl.image_regressor(tiny_backbone(blocks=0), loss="mse2")


# Data of every form


def two_inputs(form=list):
    backbone = tiny_backbone(blocks=1)
    backbone.trainable = False
    image, meta = keras.Input((16, 16, 3), name="pixels"), keras.Input((3,), name="age")
    x = keras.layers.GlobalAveragePooling2D()(backbone(image))
    x = keras.layers.Concatenate()([x, meta])
    inputs = [image, meta] if form is list else {"pixels": image, "age": meta}
    model = keras.Model(inputs, keras.layers.Dense(2, "softmax")(x))
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


def two_outputs(form, loss="sparse_categorical_crossentropy"):
    backbone = tiny_backbone(blocks=1)
    backbone.trainable = False
    inputs = keras.Input((16, 16, 3))
    x = keras.layers.GlobalAveragePooling2D()(backbone(inputs))
    kind, size = keras.layers.Dense(2, "softmax")(x), keras.layers.Dense(1)(x)
    losses = {"kind": loss, "size": "mse"}
    if form is dict:
        outputs = {"kind": kind, "size": size}
    else:
        outputs, losses = [kind, size], list(losses.values())
    model = keras.Model(inputs, outputs)
    model.compile("sgd", losses)
    return model


class Batches(keras.utils.PyDataset):
    """Batches of 8, with or without an end."""

    def __init__(self, x, y, ends=True):
        super().__init__()
        self.x, self.y, self.ends = x, y, ends

    @property
    def num_batches(self):
        return 3 if self.ends else None

    def __getitem__(self, index):
        part = slice(8 * (index % 3), 8 * (index % 3) + 8)
        return keras.tree.map_structure(lambda rows: rows[part], (self.x, self.y))


AGES = np.linspace(0, 1, 72).reshape(24, 3)
BOTH = {"kind": Y, "size": Y * 1.0}
# Shares of classes are for the losses alone, class numbers become rows.
ROW_LOSSES = [
    ("categorical_crossentropy", {**BOTH, "kind": np.eye(2)[Y] * 0.8 + 0.1}),
    (keras.losses.KLDivergence(), BOTH),
]


@pytest.mark.parametrize(
    ("make", "x", "y", "use"),
    [
        (two_inputs, [X, AGES], Y, fit),
        (two_inputs, (X, AGES), Y, open_job),
        (lambda: two_inputs(dict), {"pixels": X, "age": AGES}, Y, fit),
        (lambda: two_outputs(dict), X, BOTH, open_job),
        (lambda: two_outputs(list), X, [Y, Y * 1.0], fit),
        (lambda: two_outputs(dict, ROW_LOSSES[0][0]), X, ROW_LOSSES[0][1], open_job),
        (lambda: two_outputs(dict, ROW_LOSSES[1][0]), X, ROW_LOSSES[1][1], fit),
        (unchanged, [X], Y, open_job),
        (unchanged, list(X), Y, open_job),
    ],
)
def test_several_inputs_and_outputs_are_counted_one_by_one(make, x, y, use):
    model = make()
    assert use(model, (x, y), (x, y) if isinstance(x, dict) else None)
    fewer = keras.tree.map_structure(lambda rows: rows[:20], y)
    if isinstance(y, dict) and y["kind"].ndim == 1:
        assert tl.evaluate(model, (x, y), verbose=0)["kind"].y_true.tolist() == [*Y]
    if len(x) < 20:
        with pytest.raises(ValueError, match="as many labels as inputs|n = 24|20"):
            fit(model, (x, fewer))
    if isinstance(y, np.ndarray):
        assert tl.evaluate(model, (x, y), verbose=0).y_true.tolist() == Y.tolist()


@pytest.mark.parametrize("form", [list, dict])
def test_inputs_that_are_not_named_as_those_of_the_model_are_refused(form):
    model = two_inputs(form)
    wrong = [{"pixels": X, "Age": AGES}, [AGES, X]]
    for x in [*wrong, *([[X, AGES]] if form is dict else [])]:
        for use in (open_job, tl.evaluate):
            with pytest.raises(ValueError, match="keys .*'age'.*Rec|not fit the model"):
                use(model, (x, Y))
    for use in (open_job, tl.evaluate):
        with pytest.raises(ValueError, match="must be a batched"):
            use(model, [([X, AGES], Y)] * 2)


def test_batches_of_keras_are_taken_by_all_verbs():
    from keras.src.legacy.preprocessing.image import ImageDataGenerator

    model, once = classifier(), Batches(X, Y)
    history = fit(model, once, once, augment="light", class_weight={0: 1.0, 1: 2.0})
    assert history.history["val_loss"]
    flow = ImageDataGenerator().flow(X, Y, batch_size=8)
    fit(model, flow)
    heads = unchanged_heads()
    named = Batches(X, BOTH)
    assert open_job(heads, named, named, tl.Recipe(augment="light")).val is not None
    for report in (
        tl.evaluate(model, once, verbose=0),
        tl.evaluate(model, flow, verbose=0),
        tl.evaluate(heads, named, verbose=0)["kind"],
    ):
        assert len(report.y_true) == 24


def test_iterators_without_an_end_are_refused():
    model = unchanged()
    for use in (model.classify, lambda x: tl.explain(model, x)):
        with pytest.raises(ValueError, match="`inputs` is an iterator.*an end"):
            use(itertools.cycle(["a.png"]))


def test_pictures_of_several_sizes_are_no_batch():
    for use in (fit, tl.evaluate):
        with pytest.raises(ValueError, match="one shape to make a batch"):
            use(unchanged(), ([X[0], X[1][:8]], Y[:2]))


@pytest.mark.parametrize("form", ["tf.data", "PyDataset"])
def test_data_without_an_end_are_refused_by_each_verb(form):
    once = tf.data.Dataset.from_tensor_slices((X, Y)).batch(8)
    endless = once.repeat() if form == "tf.data" else Batches(X, Y, ends=False)
    model = unchanged()
    for use in (
        lambda: fit(model, endless),
        lambda: fit(model, (X, Y), endless),
        lambda: tl.fine_tune(model, endless, epochs=1, verbose=0),
        lambda: tl.fine_tune(model, once, endless, epochs=1, verbose=0),
        lambda: tl.find_learning_rate(model, endless, verbose=0),
        lambda: tl.evaluate(model, endless, verbose=0),
        lambda: tl.calibrate(model, endless, verbose=0),
        lambda: tl.extract_features(model, endless, verbose=0),
        lambda: tl.distill(classifier(), model, endless, verbose=0),
        lambda: scores(Interface(model), {}, endless),
        lambda: tl.plan(model, endless, verbose=0),
    ):
        with pytest.raises(ValueError, match=r"no end|must end|must be a|takes a data"):
            use()


@pytest.mark.slow
def test_data_that_do_not_tell_their_end_are_read_so_far(monkeypatch):
    monkeypatch.setattr(given, "_MOST_BATCHES", 6)
    once = tf.data.Dataset.from_tensor_slices((X, Y)).batch(8)
    endless = once.repeat().filter(lambda x, y: True)
    model = unchanged()
    for name, use in {
        "train": lambda: fit(model, endless),
        "validation_data": lambda: fit(model, once, endless),
        "data": lambda: tl.evaluate(model, endless, verbose=0),
        "test": lambda: scores(Interface(model), {}, endless),
    }.items():
        with pytest.raises(ValueError, match=f"^`{name}` has given 6 batches.*take"):
            use()
    assert len(tl.evaluate(model, endless.take(6), verbose=0).y_true) == 48


# Inputs


def with_nan(*numbers, value=np.nan):
    pixels = X.astype("float32")
    pixels[[*numbers], 3, 3] = value
    return pixels


def test_nan_in_pixels_leaves_the_model_as_it_was():
    model = classifier()
    before = weights_of(model)
    # Not in the first batch, which is looked at.
    pixels = tf.data.Dataset.from_tensor_slices((with_nan(20), Y)).batch(8)
    with pytest.raises(tl.PhaseError, match="became nan.*weights from before"):
        fit(model, pixels)
    assert_equal_weights(before, weights_of(model))


def test_a_diverging_second_phase_keeps_what_the_first_learnt():
    model = classifier()
    head = keras.callbacks.LambdaCallback(
        on_train_end=lambda logs: learnt.append(model.layers[-1].kernel.numpy())
    )
    learnt = []
    with pytest.raises(tl.PhaseError, match="fine-tune stopped in step 1.*became nan"):
        tl.fine_tune(
            model,
            (X, Y),
            head_epochs=1,
            epochs=2,
            unfreeze_from="block1",
            fine_tune_learning_rate=1e30,
            callbacks=[head],
            verbose=0,
        )
    np.testing.assert_array_equal(model.layers[-1].kernel, learnt[0])


def uses(model, pixels):
    """Yields the verbs that take pixels, each ready to be called."""
    batched = tf.data.Dataset.from_tensor_slices((pixels, Y)).batch(24)
    yield lambda: fit(model, (pixels, Y))
    yield lambda: fit(model, batched)
    yield lambda: fit(model, (X, Y), (pixels, Y))
    yield lambda: tl.evaluate(model, (pixels, Y), verbose=0)
    yield lambda: tl.evaluate(model, batched, verbose=0)
    yield lambda: tl.calibrate(model, (pixels, Y), verbose=0)
    yield lambda: tl.extract_features(model, (pixels, Y), cache=False, verbose=0)
    yield lambda: tl.explain(model, pixels)
    if isinstance(model, tl.TransferModel):
        yield lambda: model.classify(pixels)
        yield lambda: model.classify(list(pixels))


def dead_relu():
    """Returns a classifier whose features stay finite whatever goes in."""
    inputs = keras.Input((16, 16, 3))
    x = keras.layers.Rescaling(1 / 255)(inputs)
    x = keras.layers.Conv2D(4, 3)(x)
    x = keras.layers.Lambda(lambda x: keras.ops.nan_to_num(x))(x)
    return tl.image_classifier(keras.Model(inputs, x, name="dead"), 2)


def test_nan_and_infinite_pixels_are_counted():
    model, pixels = dead_relu(), with_nan(5, 7, 11)
    pixels[7] = np.inf
    for use in uses(model, pixels):
        with pytest.raises(ValueError, match="in 3 of 24 images, first at index 5"):
            use()


def of_operations(family=keras.applications.mobilenet_v2):
    """Returns a model of the user's own that scales pixels by operations."""
    backbone = tiny_backbone(blocks=1)
    inner = keras.Model(backbone.layers[1].output, backbone.output, name="inner")
    inner.trainable = False
    inputs = keras.Input((16, 16, 3))
    augmented = keras.Sequential([keras.layers.RandomFlip()])(inputs)
    x = family.preprocess_input(augmented)
    x = keras.layers.GlobalAveragePooling2D()(inner(x))
    model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(x))
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


@pytest.fixture(scope="module")
def ours():
    return unchanged()


@pytest.fixture(scope="module")
def hand_made():
    return of_operations()


BASE = X.astype("float32")


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (BASE / 255, r"rescaled: its values go from 0.* to 1.*`x \* 255`"),
        (BASE / 127.5 - 1, r"rescaled.*`\(x \+ 1\) \* 127.5`"),
        (BASE / 255 - 0.5, r"rescaled.*`\(x \+ 0.5\) \* 255`"),
        (BASE / 127.5, r"rescaled.*`x \* 127.5`"),
        (X > 127, r"rescaled: its values go from 0 to 1.*`x \* 255`"),
        ((X > 127).astype("uint8"), r"rescaled.*`x \* 255`"),
        ((BASE - 128) / 50, "between 0 and 255.*normalisation"),
        (X.astype("uint16") * 257, "between 0 and 255.*6.554e.*by 257"),
        (BASE * 2, "between 0 and 255.*510"),
    ],
)
def test_pixels_that_are_not_raw_are_told(pixels, message, ours, hand_made):
    with pytest.warns(UserWarning, match=message):
        ours.classify(pixels)
    with pytest.raises(UserWarning, match=message):
        tl.evaluate(hand_made, (pixels, Y), verbose=0)


def test_every_verb_tells_of_rescaled_pixels(ours):
    for use in uses(ours, BASE / 255):
        # The warning, an error in these tests, ends it: the verb need not do its work.
        with pytest.raises(UserWarning, match="looks rescaled"):
            use()


def test_rescaled_pixels_are_told_of_in_every_form(ours):
    for pixels in ((BASE / 255).tolist(), tf.cast(BASE / 255, "bfloat16")):
        with pytest.raises(UserWarning, match="looks rescaled"):
            ours.classify(pixels)


def test_raw_pixels_and_those_of_models_without_a_scale_pass():
    black = np.zeros((2, 16, 16, 3))
    model = unchanged()
    model.classify(black)
    model.classify(black.astype("uint8") + 1)
    model.classify(np.where(BASE > 250, 270, BASE))
    backbone = keras.Sequential([keras.Input((16, 16, 3)), keras.layers.Conv2D(4, 3)])
    backbone = keras.Model(backbone.inputs, backbone.outputs, name="own")
    own = tl.image_classifier(backbone, 2, preprocessing=None)
    own.classify(BASE / 255)
    assert open_job(own, (BASE / 255, Y)).train is not None
    tl.evaluate(own, (BASE / 255, Y), verbose=0)


@pytest.mark.parametrize("name", ["vgg16", "mobilenet_v3_small"])
def test_backbones_that_take_raw_pixels_are_known(name):
    model = tl.image_classifier(name, 2, weights=None, input_shape=32)
    assert takes_raw_pixels(model)


@pytest.mark.parametrize("family", ["vgg16", "densenet"])
def test_operations_that_take_raw_pixels_are_known(family):
    assert takes_raw_pixels(of_operations(getattr(keras.applications, family)))


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (np.full((16, 16, 3), np.nan), "NaN or infinite pixels in 1 of 1"),
        (["a.jpg", np.zeros((16, 16, 3))], "one by one"),
        (["a.jpg", None], "None at index 1 among paths"),
        (np.array(["a.jpg", np.nan], object), "nan at index 1 among paths"),
        (
            [b"\x89PNG\r\n\x1a\n" + bytes(2000)],
            "bytes of 2,008.* at index 0: the content",
        ),
        (io.BytesIO(b"picture"), "is an open file"),
        (tf.data.Dataset.from_tensors(X), r"a dataset, .*next\(iter\(data"),
        (None, "takes paths"),
    ],
)
def test_what_cannot_be_classified(pixels, message):
    with pytest.raises(ValueError, match=message) as caught:
        unchanged().classify(pixels)
    assert len(str(caught.value)) < 400


def test_nothing_to_classify_gives_nothing():
    model = unchanged()
    assert model.classify([]) == []
    assert model.classify(np.zeros((0, 16, 16, 3))) == []
    assert model.predict([], verbose=0).shape == (0, 2)
    assert model.predict(X[:0], verbose=0).dtype == "float32"
    with pytest.raises(ValueError, match="batch_size"):
        model.classify(X, batch_size=0)


@pytest.mark.parametrize("shape", [(4, 16, 16, 1), (4, 32, 32, 3)])
def test_evaluation_of_pictures_of_another_size_or_colour(shape):
    with pytest.raises(ValueError, match=r"does not fit the model.*\(None, 16, 16, 3"):
        tl.evaluate(unchanged(), (np.zeros(shape), Y[:4]), verbose=0)


# Structures, kinds of models, arguments


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ((X, None), "arrays.*'NoneType'"),
        ((X.tolist(), Y.tolist()), "np.array.*'list', 'list'"),
        (((X, Y) for _ in range(3)), "Received: generator"),
        (
            tf.data.Dataset.from_tensor_slices({"image": X, "label": Y}).batch(8),
            "Received: .*Dataset of dict",
        ),
    ],
    ids=["no labels", "lists", "generator", "dict"],
)
def test_data_of_the_wrong_structure(train, message):
    with pytest.raises(ValueError, match=message):
        fit(unchanged(), train)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"class_weight": {0: 1.0}}, "each class number from 0 to 1"),
        ({"class_weight": [1.0, 2.0]}, "each class number"),
        ({"class_weight": {"a": 1.0, "b": 1.0}}, "each class number"),
        ({"callbacks": ["early"]}, "`callbacks`.*'early'"),
        ({"verbose": "loud"}, "`verbose` must be one of"),
    ],
)
def test_bad_arguments_of_the_fit_verbs(arguments, message):
    with pytest.raises(ValueError, match=message):
        fit(unchanged(), (X, Y), **arguments)


def test_callbacks_may_be_one_or_none():
    class Counter(keras.callbacks.Callback):
        epochs = 0

        def on_epoch_end(self, epoch, logs=None):
            self.epochs += 1

    counter, model = Counter(), classifier()
    history = fit(model, (X, Y), callbacks=counter)
    assert counter.epochs == 1
    none = Fitting(callbacks=None)
    assert open_job(model, (X, Y), fitting=none).fitting.callbacks == []
    # What a notebook shows.
    assert repr(history).startswith("<FineTuneHistory: head: 1 epoch(s); last ")
    assert "loss " in repr(history) and len(repr(history)) < 100


def test_models_that_are_none():
    with pytest.raises(ValueError, match="must be a `keras.Model`. Received: str"):
        tl.evaluate("vgg16", (X, Y))
    with pytest.raises(ValueError, match="functional.*Received: NoneType"):
        fit(None, (X, Y))


def test_a_subclassed_model_is_refused_before_it_trains():
    class Subclassed(keras.Model):
        def call(self, x):
            return x

    model = Subclassed()
    model.compile("adam", "mse")
    with pytest.raises(ValueError, match="functional.*Received: Subclassed"):
        fit(model, (X, Y))


def test_run_eagerly_is_kept():
    model = classifier()
    model.compile("adam", model.loss, run_eagerly=True)
    fit(model, (X, Y))
    assert model.run_eagerly


def test_a_fixed_batch_takes_any_dataset_of_that_batch():
    inputs = keras.Input(batch_shape=(8, 16, 16, 3))
    x = keras.layers.Flatten()(tiny_backbone(blocks=0)(inputs))
    model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(x))
    model.compile("adam", "sparse_categorical_crossentropy", jit_compile=False)
    fit(model, tf.data.Dataset.from_tensor_slices((X, Y)).batch(8))


@pytest.mark.parametrize(
    ("kind", "several"),
    [
        ("class", "classes"),
        ("class name", "class names"),
        ("part of the data", "parts of the data"),
        ("layer with a feature map", "layers with a feature map"),
    ],
)
def test_messages_know_the_plural(kind, several):
    assert f"Valid {several} (1): a." in str(unknown_name(kind, "b", ["a"]))


@pytest.mark.parametrize("labels", [Y.tolist(), ["a" if y else "b" for y in Y]])
def test_labels_in_a_list_are_to_be_an_array(labels):
    with pytest.raises(ValueError, match="make them of lists with `np.array`"):
        fit(own_model(2, "softmax", "sparse_categorical_crossentropy"), (X, labels))


def test_no_weights_at_all_are_none():
    plain, none = (open_job(unchanged(), data) for data in ((X, Y), (X, Y, None)))
    assert none.train.element_spec == plain.train.element_spec
    assert len(none.train.element_spec) == 2


FRAME = pd.DataFrame({"y": Y})
NAMED = np.array(["ant", "bee"])[Y]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (FRAME, None),
        (pd.get_dummies(FRAME.y), None),
        (Y.astype(object), None),
        (scipy.sparse.csr_matrix(np.eye(2)[Y]), None),
        (NAMED, "'ant'.*from_arrays.*class_names=model.class_names"),
        (pd.Series(NAMED).astype("category"), "'ant'.*from_arrays"),
        (tf.data.Dataset.from_tensor_slices((X, NAMED)).batch(8), "b'ant'.*from_arr"),
        (np.array([*Y[:-1], None]), "must be numbers.*dtype object"),
        (Y.astype("datetime64[D]"), r"must be numbers.*datetime64\[D\]"),
        (Y + 1j, "must be numbers.*complex128"),
        (np.linspace(0, 1, 24), r"whole numbers from 0 to 1.*such as 0\.043"),
    ],
)
def test_labels_in_other_forms_are_numbers_or_told(ours, labels, message):
    data = labels if isinstance(labels, tf.data.Dataset) else (X, labels)
    if message is None:
        assert open_job(ours, data).train is not None
        assert tl.evaluate(ours, data, verbose=0).y_true.tolist() == Y.tolist()
        return
    with pytest.raises(ValueError, match=message):
        open_job(ours, data)
    with pytest.raises(ValueError, match="must be (class )?numbers|be numbers"):
        tl.evaluate(ours, data, verbose=0)


def test_targets_that_float32_does_not_tell_apart_are_told():
    targets = 2**40 + Y.astype("int64")
    model = tl.image_regressor(tiny_backbone(blocks=0))
    for use in (
        lambda: open_job(model, (X, targets)),
        lambda: tl.from_arrays(X, targets, task="regression"),
        lambda: tl.from_dataframe(
            pd.DataFrame({"text": [f"text {i}" for i in range(24)], "label": targets}),
            task="regression",
        ),
    ):
        with pytest.warns(UserWarning, match="steps of 131072.*y.mean"):
            use()
    assert open_job(model, (X, targets - 2**40 + 2000)).train is not None


@pytest.mark.parametrize(
    ("labels", "part", "message"),
    [
        (np.where(np.arange(24) == 20, 5, Y), "train", "from 0 to 1, for .* to 5 "),
        (np.vstack([np.eye(2)[Y[:16]], np.ones((8, 2))]), "validation_data", "one-hot"),
    ],
)
def test_labels_of_later_batches_are_looked_at(labels, part, message):
    data = tf.data.Dataset.from_tensor_slices((X, labels)).batch(8)
    given = (data, None) if part == "train" else ((X, Y), data)
    with pytest.raises(ValueError, match=f"`{part}`.*{message}.*in a later one") as c:
        fit(unchanged(), *given)
    assert len(str(c.value)) < 500


def test_shares_of_classes_are_not_taken_for_labels_of_their_own(ours):
    shares = np.eye(2)[Y] * 0.8 + 0.1
    assert open_job(ours, (X, shares)).train is not None
    with pytest.raises(ValueError, match=r"shares.*argmax\(axis=1\).*\[0\.9, 0\.1"):
        tl.evaluate(ours, (X, shares), verbose=0)


ROWS = np.eye(2)[Y]
WEIGHTS = np.ones((24, 2))
LISTS = [["red"], ["red", "round"]] * 12


def batches(*parts):
    return tf.data.Dataset.from_tensor_slices((X, *parts)).batch(8)


@pytest.mark.parametrize(
    ("build", "train", "message"),
    [
        (2, (X, Y, WEIGHTS), r"one for each example, of shape \(n,\).*\(24, 2\)"),
        (2, batches(Y, WEIGHTS), r"one for each example.*\(None, 2\)"),
        (2, (X, Y, ["much"] * 24), "numbers of at least 0.*'much'"),
        (2, batches(Y, ["much"] * 24), "must be numbers.*string"),
        (2, batches(Y, {"a": np.ones(24)}), r"one array.*dictionary of \['a'\]"),
        (2, (X, Y, {"kind": np.ones(24)}), r"one array.*dictionary of \['kind'\]"),
        ("heads", {"kind": np.ones(24)}, r"each head.*\['kind'\]. Add .*'size'"),
        ("heads", {"kind": 0, "sort": 0, "size": 0}, "No such head.*'sort'"),
        ("heads", {"kind": WEIGHTS, "size": WEIGHTS[:, 0]}, "of head 'kind'.*each ex"),
        ("heads", {"kind": -WEIGHTS[:, 0], "size": WEIGHTS[:, 0]}, "'kind'.*finite"),
        (2, (X, LISTS), r"rows? of 0 and 1.*from_arrays.*\['red'\]"),
        (2, (X, np.array([["red", "round"]] * 24)), "row of 0 and 1"),
        ("heads", [{"kind": LISTS}], "row of 0 and 1"),
    ],
)
def test_weights_and_labels_that_no_loss_takes(build, train, message):
    model = unchanged_heads() if build == "heads" else unchanged(build)
    if isinstance(train, dict):
        train = X, {"kind": Y, "size": Y / 2}, train
    train = (X, *train) if isinstance(train, list) else train
    with pytest.raises(ValueError, match=message):
        fit(model, train)
    if isinstance(train, tuple):
        with pytest.raises(ValueError, match="`?(sample_weight|data)`? "):
            tl.evaluate(model, train, verbose=0)


def test_weights_of_each_label_are_taken_where_each_has_a_loss():
    output = tl.Labels(["a", "b"], loss=tl.outputs.LabelLoss("binary_crossentropy"))
    one = classifier(output)
    several = classifier({"tags": output, "size": tl.Numbers()})
    # Some have both labels: rows that look like one-hot classes are warned of.
    rows = np.maximum(ROWS, np.arange(24)[:, None] % 2)
    labels, weights = {"tags": rows, "size": Y / 2}, np.ones((24, 1))
    for model, data in (
        (one, (X, rows, WEIGHTS)),
        (one, batches(rows, WEIGHTS)),
        (several, (X, labels, {"tags": WEIGHTS, "size": weights})),
    ):
        assert open_job(model, data).train is not None
