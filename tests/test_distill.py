"""Students: what they are taught, and that they end up like their teacher."""

import functools

import keras
import numpy as np
import pytest
from helpers import (
    assert_equal_weights,
    softmax,
    solid_colours,
    tiny_backbone,
    weights_of,
)
from images import encode, picture
from text_models import SENTENCES, tiny_bert, tiny_roberta

import tlkeras as tl
from tlkeras.builders.recording import fingerprint
from tlkeras.compress import distilling
from tlkeras.compress.teaching import (
    JointLoss,
    answers,
    joint_metric,
    packed,
)
from tlkeras.inputs.arrays import ArrayExamples
from tlkeras.inputs.examples import examples_of

L = keras.layers
X, Y = solid_colours(24, 2)
QUIET = {"cache": False, "verbose": 0}
WHOLE = {
    "head_epochs": 0,
    "unfreeze_from": 1.0,
    "fine_tune_learning_rate": 1e-2,
    "recipe": tl.Recipe(train_batch_norm=True),
}


def plain(size=16, width=4, seed=0):
    """Returns a small backbone that learns from scratch."""
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((size, size, 3))
    x = L.Rescaling(1 / 127.5, offset=-1)(inputs)
    x = L.Conv2D(width, 3, strides=2, activation="relu", name="conv1")(x)
    x = L.Conv2D(2 * width, 3, activation="relu", name="conv2")(x)
    return keras.Model(inputs, x, name=f"plain{size}")


def classifier(classes=("ant", "bee"), **arguments):
    return tl.image_classifier(plain(**arguments), classes)


# A teacher and a student for those who leave them as they are.
unchanged = functools.cache(classifier)


def divergence(wanted, got):
    return float(np.mean(np.sum(wanted * np.log(wanted / got), axis=-1)))


# The loss.


def test_the_loss_of_classes_is_that_of_the_logits():
    rng = np.random.default_rng(0)
    taught, given = 3 * rng.normal(size=(2, 6, 4))
    labels = np.arange(6) % 4
    rows = packed(labels, softmax(taught).astype("float32"))
    soft = 9 * divergence(softmax(taught / 3), softmax(given / 3))
    hard = -np.mean(np.log(softmax(given)[np.arange(6), labels]))
    for alpha in (0.0, 0.3, 1.0):
        own = keras.losses.SparseCategoricalCrossentropy()
        loss = JointLoss(own, tl.Classes(4), 1, 3.0, alpha)
        found = float(loss(rows, softmax(given).astype("float32")))
        assert found == pytest.approx(alpha * hard + (1 - alpha) * soft, rel=1e-4)


def test_the_loss_of_several_labels_and_of_numbers():
    rng = np.random.default_rng(0)
    taught, given = 2 * rng.normal(size=(2, 5, 3))

    def sigmoid(z):
        return 1 / (1 + np.exp(-z))

    p, q = sigmoid(taught / 2), sigmoid(given / 2)
    wanted = 4 * np.mean(p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q)))
    rows = packed(np.zeros((5, 3)), sigmoid(taught))
    loss = JointLoss("binary_crossentropy", tl.Labels(3), 3, 2.0, 0.0)
    found = float(loss(rows.astype("float32"), sigmoid(given).astype("float32")))
    assert found == pytest.approx(wanted, rel=1e-3)
    numbers = JointLoss("mean_squared_error", tl.Numbers(3), 3, 2.0, 0.25)
    rows = packed(np.zeros((5, 3)), taught).astype("float32")
    wanted = 0.25 * np.mean(given**2) + 0.75 * np.mean((given - taught) ** 2)
    assert float(numbers(rows, given.astype("float32"))) == pytest.approx(wanted)


def test_probabilities_of_zero_and_one_give_finite_gradients():
    import tensorflow as tf

    certain = np.array([[1.0, 0.0], [0.0, 1.0]], "float32")
    for output, own in (
        (tl.Classes(2), "categorical_crossentropy"),
        (tl.Labels(2), "binary_crossentropy"),
    ):
        loss = JointLoss(own, output, 2, 4.0, 0.5)
        outputs = tf.constant(certain[::-1].copy())
        with tf.GradientTape() as tape:
            tape.watch(outputs)
            value = loss(packed(certain, certain), outputs)
        assert np.isfinite(float(value))
        assert np.isfinite(np.asarray(tape.gradient(value, outputs))).all()


def test_metrics_look_at_the_labels_alone():
    outputs = np.array([[0.9, 0.1], [0.2, 0.8]], "float32")
    taught = outputs[::-1]
    accuracy = joint_metric(tl.Classes(2), 1)
    accuracy.update_state(packed(np.array([0, 0]), taught), outputs)
    assert float(accuracy.result()) == 0.5
    rows = joint_metric(tl.Classes(2), 2)
    rows.update_state(packed(np.array([[1, 0], [0, 1]]), taught), outputs)
    assert float(rows.result()) == 1.0
    error = joint_metric(tl.Numbers(), 1)
    error.update_state(packed(np.array([1.0, 2.0]), np.zeros((2, 1))), [[1.0], [4.0]])
    assert float(error.result()) == 1.0


# What is taught.


def as_seen_by(model, examples):
    return model.problem.input.seen(examples, f"Model {model.name!r}")


def test_each_example_keeps_its_own_answer_at_each_models_size():
    # Each picture has one value, by which it is known again at any size.
    grey = np.arange(0, 240, 10)
    x = np.broadcast_to(grey[:, None, None, None], (24, 16, 16, 3)).astype("uint8")
    teacher, student = classifier(size=24), classifier(size=12)
    examples = ArrayExamples(x, Y)
    seen = as_seen_by(teacher, examples)
    assert seen.inputs.shape[1:] == (24, 24, 3)
    taught = answers(teacher, seen, 5, False, 0)
    large = np.broadcast_to(grey[:, None, None, None], (24, 24, 24, 3))
    np.testing.assert_allclose(taught, teacher.predict(large, verbose=0), rtol=1e-4)
    lessons = as_seen_by(student, examples).with_labels(packed(Y, taught))
    for pictures, rows in lessons.dataset(7, shuffle=True, seed=1):
        assert pictures.shape[1:] == (12, 12, 3)
        places = np.round(pictures.numpy().mean(axis=(1, 2, 3)) / 10).astype(int)
        np.testing.assert_array_equal(rows[:, 0], Y[places])
        np.testing.assert_allclose(rows[:, 1:], taught[places], rtol=1e-5)


@pytest.mark.slow
def test_files_are_read_again_at_the_other_size(tmp_path):
    for name in ("ant", "bee"):
        (tmp_path / name).mkdir()
        for i in range(5):
            pixels = encode(picture(seed=i), "PNG")
            (tmp_path / name / f"{i}.png").write_bytes(pixels)
    data = tl.image_folder(tmp_path, image_size=16, validation_split=0, test_split=0)
    examples = examples_of(data.train)
    assert as_seen_by(classifier(), examples) is examples
    larger = as_seen_by(classifier(size=24), examples)
    direct = tl.image_folder(tmp_path, image_size=24, validation_split=0, test_split=0)
    wanted = examples_of(direct.train).dataset(10)
    for got, want in zip(larger.dataset(10), wanted, strict=True):
        np.testing.assert_array_equal(got[0], want[0])
        np.testing.assert_array_equal(got[1], want[1])


def text_model(make):
    backbone, tokenizer = make()
    return tl.text_classifier(backbone, 2, tokenizer=tokenizer, sequence_length=16)


TEXTS = np.array([text or "good" for text in SENTENCES], dtype=object)


@pytest.mark.slow
def test_answers_to_texts_are_in_the_order_of_the_texts():
    teacher, labels = text_model(tiny_bert), np.array([0, 1, 0, 1, 1])
    found = answers(teacher, ArrayExamples(TEXTS, labels), 2, False, 0)
    wanted = teacher.predict(TEXTS, verbose=0)
    assert np.ptp(wanted, axis=0).min() > 1e-4
    np.testing.assert_allclose(found, wanted, rtol=1e-4)


@pytest.mark.slow
def test_texts_go_through_each_models_own_tokenizer():
    models = [text_model(tiny_bert), text_model(tiny_roberta)]
    data = TEXTS, np.array([0, 1, 0, 1, 1])
    settings = {"head_epochs": 1, "epochs": 1, "unfreeze_from": 1.0, **QUIET}
    report = tl.distill(*models, data, test=data, **settings)
    assert report.student.scores.keys() == {"accuracy"}
    assert models[1].classify("a good film")[0].label in ("0", "1")


# Students.


def noisy(count, seed):
    """Colours whose classes overlap: 30 % of the labels are others."""
    rng = np.random.default_rng(seed)
    x, y = solid_colours(count, 3, seed=seed)
    wrong = rng.random(count) < 0.3
    return x, np.where(wrong, rng.integers(0, 3, count), y).astype("int32")


@pytest.mark.slow
def test_a_distilled_student_is_closer_to_its_teacher_than_one_of_labels_alone():
    teacher = classifier(3, width=8)
    recipe = WHOLE["recipe"].but(batch_size=8)
    settings = {**WHOLE, **QUIET, "recipe": recipe, "epochs": 40}
    tl.fine_tune(teacher, noisy(240, 0), **{**settings, "epochs": 5})
    x, y = noisy(24, 1)
    held_out = solid_colours(60, 3, seed=2)[0]
    wanted = teacher.predict(held_out, verbose=0)
    taught, alone = classifier(3, seed=1), classifier(3, seed=1)
    assert_equal_weights_of_both = zip(taught.weights, alone.weights, strict=True)
    assert all(np.array_equal(a, b) for a, b in assert_equal_weights_of_both)
    tl.distill(teacher, taught, (x, y), alpha=0.1, **settings)
    tl.fine_tune(alone, (x, y), **settings)
    near, far = (
        divergence(wanted, np.clip(m.predict(held_out, verbose=0), 1e-7, 1))
        for m in (taught, alone)
    )
    assert near < 0.2 * far


@pytest.mark.slow
def test_the_student_is_a_plain_model_afterwards_and_the_teacher_as_before(tmp_path):
    teacher, student = classifier(width=8), classifier(size=12)
    before, began = weights_of(teacher), weights_of(student)
    loss, optimizer = student.loss, student.optimizer
    report = tl.distill(
        teacher,
        student,
        (X, Y),
        (X, Y),
        test=(X, Y),
        epochs=2,
        temperature=2.0,
        **WHOLE,
        **QUIET,
    )
    assert_equal_weights(before, weights_of(teacher))
    assert any(
        not np.array_equal(value, began[name])
        for name, value in weights_of(student).items()
    )
    run = student.record.runs[-1]
    assert "temperature 2" in run.taught_by and run.train["examples"] == len(X)
    assert run.weights == fingerprint(student) and run.val["fingerprint"]
    assert "taught by: " in str(student.record) and not run.notes
    with pytest.raises(ValueError, match="repeat it with `tl.distill`"):
        tl.rerun(student.record, (X, Y))
    assert student.loss is loss and student.class_names == ("ant", "bee")
    assert type(student.optimizer) is type(optimizer)
    assert not int(student.optimizer.iterations)
    history = report.history.history
    assert history.keys() == {"accuracy", "loss", "val_accuracy", "val_loss"}
    small, _ = solid_colours(6, 2, size=12)
    student.fit(small, Y[:6], epochs=1, verbose=0)
    student.save(tmp_path / "student.keras")
    loaded = tl.load(tmp_path / "student.keras")
    np.testing.assert_allclose(
        loaded.predict(small, verbose=0), student.predict(small, verbose=0), atol=1e-6
    )
    assert report.student.parameters == student.count_params()
    assert report.teacher.parameters == teacher.count_params()
    text, page = str(report), report._repr_html_()
    for part in ("teacher", "student", "latency", "accuracy", "temperature 2"):
        assert part in text and part in page


@pytest.mark.slow
def test_a_head_alone_can_be_taught_and_a_run_goes_on(tmp_path):
    teacher, student = classifier(width=8), classifier()
    student.temperature = 2.0
    frozen = weights_of(student.backbone)
    settings = {"head_epochs": 2, "epochs": 0, "checkpoint_dir": tmp_path / "run"}
    settings["recipe"] = tl.Recipe(augment="strong")
    reports = [
        tl.distill(teacher, model, (X, Y), **settings, **QUIET)
        for model in (student, classifier())
    ]
    assert_equal_weights(frozen, weights_of(student.backbone))
    # A calibration does not outlive distillation.
    assert student.temperature is None
    losses = [report.history.history["loss"] for report in reports]
    assert losses[0] == losses[1] and len(losses[0]) == 2


@pytest.mark.parametrize(
    "task", ["multi_label", pytest.param("regression", marks=pytest.mark.slow)]
)
@pytest.mark.slow
def test_several_labels_and_numbers(task):
    if task == "multi_label":
        teacher, student = (
            tl.image_classifier(plain(width=w), ["a", "b"], multi_label=True)
            for w in (8, 4)
        )
        labels = np.array([[1, 1], [0, 1]], "float32")[Y]
    else:
        teacher, student = (tl.image_regressor(plain(width=w)) for w in (8, 4))
        labels = Y.astype("float32")
    settings = {**WHOLE, **QUIET}
    tl.fine_tune(teacher, (X, labels), epochs=10, **settings)
    report = tl.distill(
        teacher, student, (X, labels), test=(X, labels), epochs=20, **settings
    )
    losses = report.history.history["loss"]
    assert losses[-1] < 0.5 * losses[0]
    assert report.student.scores.keys() == report.teacher.scores.keys()


# What does not do.


@pytest.mark.slow
def test_models_that_do_not_go_together():
    teacher = classifier()
    heads = {"a": tl.Classes(["x", "y"]), "b": tl.Numbers()}
    backbone, tokenizer = tiny_bert()
    text = tl.text_classifier(backbone, 2, tokenizer=tokenizer, sequence_length=16)
    for student, message in (
        (teacher, "the same model"),
        (classifier(3), "as many outputs"),
        (classifier(("bee", "ant")), "another order"),
        (tl.image_regressor(plain()), "one task"),
        (tl.image_classifier(tiny_backbone(blocks=1), heads), "one head"),
        (keras.Sequential([keras.Input((2,)), L.Dense(2)]), "must be a TransferModel"),
        (text, "a student of texts"),
    ):
        with pytest.raises(ValueError, match=message):
            tl.distill(teacher, student, (X, Y), **QUIET)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"temperature": 0}, "above 0"),
        ({"alpha": 1.5}, "at most 1"),
        ({"alpha": -1}, "at least 0"),
        (
            {"recipe": tl.Recipe(class_weight="balanced")},
            "`class_weight` goes by labels",
        ),
        ({"recipe": tl.Recipe(sampling="balanced")}, "`sampling` goes by labels"),
        ({"recipe": "auto"}, "`recipe` must be a `tl.Recipe`"),
        ({"epoch": 1}, "Did you mean 'epochs'"),
        ({"test": X}, "`test` must be"),
    ],
)
def test_arguments_that_do_not_do(arguments, message):
    with pytest.raises(ValueError, match=message):
        settings = {"head_epochs": 1, "epochs": 0, **QUIET, **arguments}
        tl.distill(unchanged(), unchanged(seed=1), (X, Y), **settings)


@pytest.mark.parametrize(
    "augment", ["mixup", ["light", "cutmix"], lambda images, labels: (images, labels)]
)
def test_what_mixes_labels_is_refused_before_the_teacher_answers(augment, monkeypatch):
    monkeypatch.setattr(distilling, "answers", None)
    with pytest.raises(ValueError, match="must not mix labels here"):
        tl.distill(
            unchanged(),
            unchanged(seed=1),
            (X, Y),
            recipe=tl.Recipe(augment=augment),
            **QUIET,
        )


def test_data_that_do_not_do():
    import tensorflow as tf

    teacher, student = unchanged(), unchanged(seed=1)
    batches = tf.data.Dataset.from_tensor_slices((X, Y)).batch(8)
    with pytest.raises(ValueError, match="answers once for each example"):
        tl.distill(teacher, student, batches, **QUIET)
    with pytest.raises(ValueError, match="whole numbers from 0 to 1"):
        tl.distill(teacher, student, (X, Y + 5), **QUIET)
    with pytest.raises(ValueError, match="takes pictures of 3 channel"):
        tl.distill(teacher, student, (X[..., :1], Y), **QUIET)
    with pytest.raises(ValueError, match="does not fit the model"):
        tl.distill(teacher, student, (np.array(["good"] * 24), Y), **QUIET)
    texts = tl.from_arrays(["good", "bad"] * 12, Y, validation_split=0, test_split=0)
    with pytest.raises(ValueError, match="takes pictures; the data are texts"):
        tl.distill(teacher, student, texts, **QUIET)
