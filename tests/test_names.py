"""Names of classes: those of data, those of models built with a number of classes."""

import keras
import numpy as np
import pandas as pd
import pytest
from helpers import solid_colours, tiny_backbone, with_head

import tlkeras as tl
from tlkeras.outputs import Classes
from tlkeras.outputs.naming import check_same_classes, numbered
from tlkeras.training.job import open_job

# Sorted as folders are.
NAMES = ("0", "1", "10", "2")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (pd.Series(["a", "b", "b"]).value_counts(), r"counts.*list\(counts.index\)"),
        (np.array([["a"], ["b"]]), r"flat list.*\['a'\]"),
    ],
)
def test_what_are_no_names(names, message):
    with pytest.raises(ValueError, match=message):
        Classes(names)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three pictures of one colour in each of four folders."""
    root = tmp_path_factory.mktemp("numbers")
    pixels, labels = solid_colours(12, 4)
    for i, (picture, label) in enumerate(zip(pixels, labels, strict=True)):
        (root / NAMES[label]).mkdir(exist_ok=True)
        keras.utils.save_img(root / NAMES[label] / f"{i}.png", picture, scale=False)
    return root


@pytest.fixture(scope="module")
def data(folder):
    return tl.image_folder(folder, image_size=16, test_split=0, validation_split=0.34)


def of_keras(folder, **kwargs):
    return keras.utils.image_dataset_from_directory(
        folder, image_size=(16, 16), verbose=False, **kwargs
    )


def model_of(classes):
    return tl.image_classifier(tiny_backbone(blocks=1), classes)


@pytest.mark.slow
def test_a_model_of_a_number_takes_the_names_of_its_data(tmp_path, folder, data):
    model = model_of(4)
    assert model.class_names == ("0", "1", "2", "3")
    open_job(model, of_keras(folder))
    assert model.class_names == NAMES
    model = model_of(4)
    tl.fit_head(model, data, epochs=1, verbose=0)
    assert model.class_names == NAMES
    (answer,) = model.classify(np.zeros((16, 16, 3)))
    assert answer.label in NAMES and tuple(answer.probabilities) == NAMES
    model.save(tmp_path / "a.keras")
    assert tl.load(tmp_path / "a.keras").class_names == NAMES


def test_names_are_taken_by_fit_of_keras(folder):
    model = model_of(4)
    model.fit(of_keras(folder), shuffle=False, verbose=0)
    assert model.class_names == NAMES


def test_names_outlive_what_datasets_are_made_into(folder):
    model = model_of(NAMES[::-1])
    rest = of_keras(folder).cache().unbatch().shuffle(9).batch(4).take(2).prefetch(1)
    with pytest.raises(ValueError, match="in another order"):
        open_job(model, rest)
    mapped = rest.map(lambda x, y: (x / 1, y))
    with pytest.warns(UserWarning, match="in another order.*`map`"):
        open_job(model, mapped)
    model = model_of(4)
    open_job(model, mapped)
    assert model.class_names == NAMES
    open_job(model_of(["no", "yes"]), mapped.map(lambda x, y: (x, y % 2)))


def test_heads_with_names_take_names_of_classes():
    x, y = solid_colours(12, 2)
    data = tl.from_arrays(x, {"kind": np.array(["b", "a"])[y]}, test_split=0)
    model = model_of({"kind": tl.Classes(2)})
    open_job(model, data.train)
    assert model.class_names == {"kind": ("a", "b")}


def test_names_that_the_user_gave_stay(data):
    model = model_of(["zero", "one", "ten", "two"])
    open_job(model, data.train)
    assert model.class_names == ("zero", "one", "ten", "two")
    assert Classes(4).names == numbered(4)
    again = Classes.from_config(Classes(4).get_config())
    assert again.but(weight=0.5).renamed(NAMES).names == NAMES
    assert again.get_config() == Classes(4).get_config()


@pytest.mark.parametrize("source", ["Splits", "Keras"])
def test_names_in_another_order_are_an_error_everywhere(folder, data, source):
    model = model_of(["1", "0", "10", "2"])
    train = data.train if source == "Splits" else of_keras(folder)
    x = np.zeros((4, 16, 16, 3)), np.arange(4)
    for verb in (
        lambda: tl.fit_head(model, train, verbose=0),
        lambda: tl.fine_tune(model, x, train, verbose=0),
        lambda: tl.evaluate(model, train, verbose=0),
        lambda: model.fit(train, verbose=0),
        lambda: model.evaluate(train, verbose=0),
        lambda: model.fit(*x, validation_data=train, verbose=0),
    ):
        with pytest.raises(ValueError, match="has 4 classes, '0', .* in another order"):
            verb()


@pytest.mark.parametrize(
    ("built_by", "source"), [("tlkeras", "Keras"), ("Keras", "Splits")]
)
def test_a_report_takes_the_names_of_data_where_the_model_has_none(
    folder, data, built_by, source
):
    model = (
        model_of(4) if built_by == "tlkeras" else with_head(tiny_backbone(blocks=1), 4)
    )
    found = data.train if source == "Splits" else of_keras(folder, shuffle=False)
    assert tl.evaluate(model, found, verbose=0).class_names == NAMES
    given = tl.evaluate(model, found, class_names=list("abcd"), verbose=0)
    assert given.class_names == tuple("abcd")


@pytest.mark.parametrize(
    ("names", "known", "fits"),
    [
        ("abc", "abc", True),
        ("abc", "xyz", True),
        ("abc", "abz", True),
        ("abc", "zab", False),
        ("abc", "acb", False),
        ("ab", "abc", False),
        ("201", numbered(3), True),
        (numbered(3), "abc", True),
        (numbered(3), "201", False),
    ],
)
def test_which_names_go_together(names, known, fits):
    names = tuple(names) if isinstance(names, str) else names
    if fits:
        check_same_classes("data", names, known)
        return
    with pytest.raises(ValueError, match="`data` has .* (in another order|in number)"):
        check_same_classes("data", names, known)
