"""`from_arrays`: pixels and texts in memory, good and bad."""

import numpy as np
import pytest
import tensorflow as tf
from helpers import tiny_backbone
from images import encode

import tlkeras as tl
from tlkeras._validation import UnsupportedError
from tlkeras.data import from_arrays
from tlkeras.inputs import Pictures
from tlkeras.inputs.examples import examples_of
from tlkeras.inputs.pictures.decoding import load_images

Y = [0, 1] * 10


def pixels(*shape, dtype="uint8"):
    return np.random.default_rng(0).integers(0, 256, shape).astype(dtype)


def everything(data):
    """Returns all pixels and labels of training, in the stored order."""
    batches = list(examples_of(data.train).dataset(batch_size=7))
    return [np.concatenate([batch[i].numpy() for batch in batches]) for i in (0, 1)]


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float16", "float32", "float64"])
def test_pixels_come_out_as_float32_with_their_label(dtype):
    x = pixels(20, 6, 5, 3, dtype=dtype)
    data = from_arrays(x, np.arange(20) % 2, validation_split=0, test_split=0)
    seen, labels = everything(data)
    assert seen.dtype == np.float32
    np.testing.assert_array_equal(seen, x.astype("float32"))
    np.testing.assert_array_equal(labels, np.arange(20) % 2)
    assert data.problem.input.image_size == (6, 5)


def test_grey_pictures_get_a_channel():
    x = pixels(20, 6, 5)
    data = from_arrays(x, Y, validation_split=0, test_split=0)
    np.testing.assert_array_equal(everything(data)[0], x[..., None].astype("float32"))


def test_lists_and_tensors_are_arrays():
    x = pixels(20, 2, 2, 3)
    expected = everything(from_arrays(x, Y, test_split=0))
    for other in (x.tolist(), tf.constant(x)):
        found = everything(from_arrays(other, tf.constant(Y), test_split=0))
        np.testing.assert_array_equal(found[0], expected[0])


def test_every_example_is_in_one_part_with_its_own_label():
    x = np.arange(60, dtype="uint8")[:, None, None, None] * np.ones((1, 2, 2, 1))
    data = from_arrays(x, np.arange(60) % 3, batch_size=8)
    seen = []
    for dataset in (data.train, data.val, data.test):
        for batch, labels in dataset:
            numbers = batch.numpy()[:, 0, 0, 0]
            np.testing.assert_array_equal(numbers % 3, labels)
            seen += numbers.tolist()
    assert sorted(seen) == list(range(60))


def test_later_changes_to_the_array_do_not_matter():
    x = pixels(20, 64, 64, 3)
    before = x.copy()
    data = from_arrays(x, Y, validation_split=0, test_split=0)
    x[:] = 0
    np.testing.assert_array_equal(everything(data)[0], before)


def test_the_parts_share_one_copy_of_the_pixels():
    data = from_arrays(pixels(20, 4, 4), Y)
    assert examples_of(data.train).inputs is examples_of(data.test).inputs


def test_regression_and_multi_label_are_split_too():
    targets = from_arrays(pixels(20, 4, 4), np.linspace(0, 1, 20), batch_size=4)
    assert targets.task == "regression"
    assert targets.num_classes is None
    assert [len(getattr(targets, p)) for p in ("train", "val", "test")] == [4, 1, 1]
    rows = np.array([[1, 1, 0], [0, 0, 0]] * 10)
    tags = from_arrays(pixels(20, 4, 4), rows, class_names=["a", "b", "c"])
    assert tags.task == "multi_label"
    assert next(iter(tags.val))[1].shape == (3, 3)


def with_value(value, index=3):
    x = pixels(20, 4, 4, 3, dtype="float32")
    x[index, 1, 2, 0] = value
    return x


def with_value_at(values, index, value):
    return [*values[:index], value, *values[index + 1 :]]


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (with_value(np.nan), "1 of 20 images, first at index 3"),
        (with_value(np.inf), "NaN or infinite.*index 3"),
        (with_value(-3.0), "between 0 and 255.*clip"),
        (with_value(300.0), "between 0 and 255"),
        (pixels(20, 4, 4, 3, dtype="uint16") * 257, "divide 16-bit images by 257"),
        (pixels(20, 4, 4, 3) / 255, r"looks rescaled.*`x \* 255`"),
        (pixels(20, 4, 4, 3) / 127.5 - 1, r"looks rescaled.*`\(x \+ 1\) \* 127.5`"),
        (pixels(20, 4), r"shape \(20, 4\)"),
        (pixels(20, 4, 4, 3, 1), r"shape \(20, 4, 4, 3, 1\)"),
        (pixels(0, 4, 4, 3), "shape"),
        (pixels(20, 3, 8, 8), "moveaxis"),
        (pixels(20, 8, 8, 4), "alpha"),
        (pixels(20, 8, 8, 7), "7 channels"),
        (pixels(20, 4, 4) > 9, "dtype bool"),
        (np.array([pixels(4, 4), None] * 10, dtype=object), "dtype object"),
        ([pixels(4, 4), pixels(5, 5)] * 10, "same size"),
    ],
)
def test_bad_pixels(x, message):
    with pytest.raises(ValueError, match=message):
        from_arrays(x, Y)


@pytest.mark.parametrize(
    ("y", "kwargs", "message"),
    [
        ([0, 1] * 9, {}, r"len\(x\)=20, len\(y\)=18"),
        ([0] * 20, {}, "two classes.*20 examples of '0'"),
        ([0] * 19 + [1], {}, "class '1' has 1 example"),
        ([0, 3] * 10, {"class_names": ["a", "b"]}, "3 at index 1"),
        ([0, -1] * 10, {}, "negative"),
        ([0.5, np.nan] * 10, {}, "10 of 20"),
        ([0.0, 1.0] * 10, {"task": "classification"}, "int32"),
        (Y, {"validation_split": 2}, "validation_split"),
        (Y, {"batch_size": 0}, "batch_size"),
        (Y, {"seed": "x"}, "seed"),
        (np.array([object()] * 20), {}, "dtype object"),
        (np.array([{}] * 20), {}, "each label must be a name, at index 0"),
    ],
)
def test_bad_labels_and_arguments(y, kwargs, message):
    with pytest.raises(ValueError, match=message):
        from_arrays(pixels(20, 4, 4), y, **kwargs)


def test_too_few_examples_for_regression():
    with pytest.raises(ValueError, match="the data set has 2 examples"):
        from_arrays(pixels(2, 4, 4), [0.5, 0.7])


def test_fingerprint_of_arrays():
    def fingerprint(x, y=Y, **kwargs):
        return examples_of(from_arrays(x, y, **kwargs).train).fingerprint()

    x = pixels(20, 4, 4)
    first = fingerprint(x)
    assert fingerprint(x.copy()) == first
    assert fingerprint(x, batch_size=3) == first
    one_pixel = x.copy()
    one_pixel[examples_of(from_arrays(x, Y).train).rows[2], 0, 0] ^= 1
    others = [
        fingerprint(one_pixel),
        fingerprint(x[::-1]),
        fingerprint(x, Y[::-1]),
        fingerprint(x, seed=1),
        fingerprint(x.astype("float32")),
        fingerprint(x.reshape(20, 2, 8)),
    ]
    assert len({first, *others}) == 7


TEXTS = [f"film {i}, ünfair" for i in range(20)]
PAIRS = [[text, f"answer {i}"] for i, text in enumerate(TEXTS)]


def texts_of(data):
    """Returns all texts of training, in the stored order."""
    decode = np.vectorize(bytes.decode, otypes=[object])
    return decode(everything(data)[0]).tolist()


@pytest.mark.parametrize(
    "x",
    [
        TEXTS,
        tuple(TEXTS),
        np.array(TEXTS),
        np.array(TEXTS, dtype=object),
        [text.encode() for text in TEXTS],
        tf.constant(TEXTS),
    ],
    ids=["list", "tuple", "array", "objects", "bytes", "tensor"],
)
def test_texts_come_out_as_strings(x):
    data = from_arrays(x, Y, validation_split=0, test_split=0, batch_size=8)
    assert texts_of(data) == TEXTS
    assert data.problem.input.kind == "texts"
    batch, labels = next(iter(data.train))
    assert (batch.dtype, batch.shape, labels.dtype) == (tf.string, (8,), tf.int32)


@pytest.mark.parametrize(
    "x",
    [
        PAIRS,
        np.array(PAIRS),
        (TEXTS, [pair[1] for pair in PAIRS]),
        np.array(PAIRS, "O"),
    ],
    ids=["rows", "array", "columns", "objects"],
)
def test_pairs_of_texts_come_out_in_rows_of_two(x):
    data = from_arrays(x, Y, validation_split=0, test_split=0, batch_size=8)
    assert texts_of(data) == PAIRS
    assert data.problem.input.kind == "text pairs"
    assert next(iter(data.train))[0].shape == (8, 2)


def test_every_text_is_in_one_part_with_its_own_label():
    data = from_arrays(TEXTS, Y, batch_size=8)
    seen = []
    for dataset in (data.train, data.val, data.test):
        for batch, labels in dataset:
            numbers = [int(text[5:].split(b",")[0]) for text in batch.numpy()]
            assert [number % 2 for number in numbers] == labels.numpy().tolist()
            seen += numbers
    assert sorted(seen) == list(range(20))


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (with_value_at(TEXTS, 3, ""), "1 of 20 .*index 3 has an empty text"),
        (with_value_at(TEXTS, 3, " \n"), "index 3 has an empty text"),
        (with_value_at(TEXTS, 3, None), "index 3 has no text"),
        (with_value_at(TEXTS, 0, None), "index 0 has no text"),
        (with_value_at(TEXTS, 3, float("nan")), "index 3 has no text"),
        (with_value_at(TEXTS, 3, 7), r"index 3 has 7 \(int\) in place of a text"),
        (with_value_at(TEXTS, 3, "\ud800"), "index 3 has .*not UTF-8"),
        (with_value_at(TEXTS, 3, b"\xff"), "index 3 has .*not UTF-8"),
        (with_value_at(PAIRS, 3, ["a", ""]), "index 3 has an empty text"),
        (
            with_value_at(PAIRS, 3, ["a"]),
            r"two; index 0 has \['film 0.*index 3 has \['a'",
        ),
        (
            with_value_at(TEXTS, 3, ["a", "b"]),
            r"example two; .*index 3 has \['a', 'b'\]",
        ),
        ([np.array(["a", "b"]), np.array([["c"], ["d"]])], "example two: could not"),
        ([TEXTS, TEXTS], r"shape \(2, 20\).*tuple"),
        ((TEXTS, TEXTS[1:]), r"shapes \(20,\) and \(19,\)"),
        (TEXTS[1:], r"len\(x\)=19"),
    ],
)
def test_bad_texts(x, message):
    with pytest.raises(ValueError, match=message):
        from_arrays(x, Y)


def test_fingerprint_of_texts():
    others = [TEXTS, TEXTS[::-1], with_value_at(TEXTS, 3, "other"), PAIRS]
    others.append([pair[::-1] for pair in PAIRS])
    kwargs = {"validation_split": 0, "test_split": 0}
    prints = [
        examples_of(from_arrays(x, Y, **kwargs).train).fingerprint()
        for x in [*others, np.array(TEXTS)]
    ]
    assert len(set(prints)) == 5
    assert prints[-1] == prints[0]


A, B = pixels(20, 6, 5, 3), pixels(8, 6, 5, 3)[::-1]
YA, YB = np.array([0, 1] * 10), np.array([1, 1, 0, 0] * 2)
PREDEFINED = {
    "two dictionaries": ({"train": A, "Test": B}, {"train": YA, "test": YB}),
    "pairs by part": ({"test": (B, YB), "training": (A, YA)},),
    "Keras' load_data": (((A, YA), (B, YB)),),
    "nested": ({"train": {"x": A, "y": YA}, "test": {"labels": YB, "images": B}},),
    "x_train": ({"x_train": A, "y_train": YA, "x_test": B, "y_test": YB},),
    "Xtrain": ({"Xtrain": A, "ytrain": YA, "Xtest": B, "ytest": YB},),
    "MedMNIST": (
        {
            "train_images": A,
            "test_images": B,
            "train_labels": YA[:, None],
            "test_labels": YB[:, None],
        },
    ),
    "lists": ({"train": (A.tolist(), YA.tolist()), "test": (B, YB.tolist())},),
    "names": ({"train": (A, list("ab" * 10)), "test": (B, list("bbaabbaa"))},),
}


@pytest.mark.parametrize("form", PREDEFINED)
def test_parts_that_come_with_the_data_stay_as_they_are(form):
    data = from_arrays(*PREDEFINED[form], validation_split=0.2)
    counts = [len(examples_of(d)) for d in (data.train, data.val, data.test)]
    assert counts == [16, 4, 8]
    test = examples_of(data.test)
    np.testing.assert_array_equal(test.labels, YB)
    np.testing.assert_array_equal(next(iter(test.dataset(8)))[0], B)
    assert data.class_names == (("a", "b") if form == "names" else ("0", "1"))


def test_a_file_of_arrays_has_parts(tmp_path):
    arrays = {"x_train": A, "y_train": YA, "x_val": B, "y_val": YB}
    names = np.array(["no", "yes"])
    np.savez(tmp_path / "a.npz", **arrays, x_test=B, y_test=YB, class_names=names)
    with np.load(tmp_path / "a.npz") as file:
        data = from_arrays(file)
        assert from_arrays(file, class_names=("no", "yes")).class_names == ("no", "yes")
        with pytest.raises(ValueError, match=r"own, 'class_names': .*\['yes', 'no'\]"):
            from_arrays(file, class_names=["yes", "no"])
    assert data.class_names == ("no", "yes")
    parts = {"train": (A, YA), "test": (B, YB), "label_names": ["a", "b"]}
    assert from_arrays(parts).class_names == ("a", "b")
    counts = [len(examples_of(d)) for d in (data.train, data.val, data.test)]
    assert counts == [20, 8, 8]


def test_parts_have_groups_and_heads_of_their_own():
    y = {"train": {"kind": YA, "cm": YA / 2}, "test": {"kind": YB, "cm": YB / 2}}
    x, groups = {"train": A, "test": B}, {"train": [*range(20)], "test": [90] * 8}
    data = from_arrays(x, y, groups=groups)
    assert list(data.problem.outputs) == ["kind", "cm"]
    assert len(examples_of(data.test)) == 8
    with pytest.raises(ValueError, match="1 groups are in 'train' and in 'test'"):
        from_arrays(x, y, groups={**groups, "test": [3] * 8})
    with pytest.raises(ValueError, match="`groups` must be a dictionary by part"):
        from_arrays(x, y, groups=[1] * 20)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((A,), "`y`, the labels, is missing.*x_train"),
        (((A, YA), (B, YB)), r"pairs of arrays both.*from_arrays\(\(\(x, y\), \(x, y"),
        (({"train": (A, YA), "test": B},), r"for 'test': ndarray of shape \(8, 6, 5"),
        (({"train": A, "test": B}, {"train": YA}), "inputs of .*'test'.*labels of"),
        (({"train": A, "test": B}, YA), "`y` must be a dictionary by part"),
        (({"test": (B, YB)},), "'train' must be there"),
        (({"train": (A, YA), "x_train": A},), "Several arrays|What is the array"),
        (({"x_train": A, "ids": YA},), "What is the array 'ids'"),
        (
            ({"train": (A, YA), "test": (B, YB[:4])},),
            "of 'test' must have the same",
        ),
        (({"train": (A, YA), "test": (B[:, 1:], YB)},), "inputs of one form.*'test'"),
        (({"train": (A, YA), "test": (B, YB + 1)},), r"'test' has classes.*'2'"),
        (("pictures.npz",), r"np\.load\('pictures\.npz'\)"),
    ],
)
def test_parts_that_do_not_fit(arguments, message):
    with pytest.raises(ValueError, match=message):
        from_arrays(*arguments)


@pytest.mark.parametrize(("fit", "channels"), [(None, 1), ("pad", 3), ("stretch", 1)])
def test_arrays_are_read_at_a_size_as_files_are(tmp_path, fit, channels):
    x = pixels(20, 12, 16, channels)
    data = from_arrays(x, Y, image_size=(6, 5), fit=fit, color_mode="rgb", test_split=0)
    path = tmp_path / "a.png"
    path.write_bytes(encode(np.broadcast_to(x[0], (12, 16, 3)), "PNG"))
    seen = np.concatenate([x for x, _ in examples_of(data.train).dataset(7)])
    expected = load_images(path, (6, 5), fit=fit or "crop")[0]
    first = list(examples_of(data.train).rows).index(0)
    np.testing.assert_allclose(seen[first], expected, atol=1e-3)
    assert data.problem.input == Pictures((6, 5), 3, fit or "crop")
    plain = examples_of(from_arrays(x, Y, test_split=0).train)
    assert examples_of(data.train).fingerprint() != plain.fingerprint()
    assert data.train.element_spec[0].shape.as_list() == [None, 6, 5, 3]
    assert [finding.severity for finding in data.check()] != ["error"]


def test_grey_arrays_train_a_backbone_of_three_channels():
    data = from_arrays(pixels(20, 28, 28), Y, image_size=16, color_mode="rgb")
    model = tl.image_classifier(tiny_backbone(16), 2)
    tl.fit_head(model, data, epochs=1, verbose=0)
    assert model.problem.input.fit == "crop"
    as_they_are = from_arrays(pixels(20, 28, 28), Y)
    message = r"Read the pictures with image_size=16, color_mode='rgb'; or build .*28"
    with pytest.raises(ValueError, match=message):
        tl.fit_head(model, as_they_are, epochs=1, verbose=0)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"fit": "pad"}, "pass that as well"),
        ({"image_size": 0}, "image_size"),
        ({"image_size": 8, "fit": "squeeze"}, "fit"),
        ({"color_mode": "cmyk"}, "color_mode"),
    ],
)
def test_how_arrays_are_read_is_checked(kwargs, message):
    with pytest.raises(ValueError, match=message):
        from_arrays(A, YA, **kwargs)
    with pytest.raises(UnsupportedError, match="not offered for texts"):
        from_arrays(["a", "b"] * 10, YA, image_size=8)
