"""Boxes: files, places in pictures, loss, suppression, figures, a whole detector."""

import json
import re
import subprocess
import sys
import warnings
from pathlib import Path

import keras
import keras_hub
import numpy as np
import pytest
import scenes
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

import tlkeras as tl
from tlkeras.augmentation import resolve_augment
from tlkeras.inputs import Pictures
from tlkeras.inputs.pictures.decoding import resize_image
from tlkeras.inputs.pictures.geometry import frames
from tlkeras.inputs.pictures.pyramids import pyramid
from tlkeras.metrics import detection
from tlkeras.outputs import output_from_config
from tlkeras.outputs.boxes.loss import DetectionLoss
from tlkeras.outputs.boxes.suppression import suppressed_rows

READ = {"image_size": 64, "batch_size": 8}
NAMES = scenes.SHAPES[:2]


@pytest.fixture(scope="module")
def drawn():
    return scenes.scenes(24, size=(48, 64), sides=(0.4, 0.7))


@pytest.fixture(scope="module")
def folder(drawn, tmp_path_factory):
    """COCO's form of the scenes: `coco.json` and `images/`."""
    root = tmp_path_factory.mktemp("scenes")
    scenes.write_coco(root, drawn)
    return root


@pytest.fixture(scope="module")
def data(folder):
    return tl.boxes_from_coco(folder / "coco.json", folder / "images", **READ)


@pytest.fixture(scope="module")
def coco_labels(data):
    return labels_of(data)


def small_detector(classes=NAMES):
    inputs = keras.Input((64, 64, 3))
    x = keras.layers.Rescaling(1 / 127.5, offset=-1)(inputs)
    for number in range(1, 5):
        x = keras.layers.Conv2D(
            12, 3, 2, "same", activation="relu", name=f"block{number}_conv"
        )(x)
    return tl.image_detector(
        keras.Model(inputs, x, name="small"),
        classes,
        strides=(8, 16),
        width=16,
        depth=1,
        preprocessing=None,
    )


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """A detector after both phases, their history, and its file."""
    keras.utils.set_random_seed(0)
    model = small_detector()
    history = tl.fine_tune(
        model,
        data.train,
        data.val,
        head_epochs=2,
        epochs=2,
        unfreeze_from="block4_conv",
        cache="memory",
        callbacks=[tl.EpochReports(data.val, ["ap50", "ar"])],
        verbose=0,
    )
    # Whatever it finds is of a low score after four epochs.
    model.thresholds = 0.011
    path = tmp_path_factory.mktemp("detector") / "signs.keras"
    model.save(path)
    return model, history, path


def labels_of(data):
    """Returns the labels of each part, sorted: training is shuffled anew each time."""
    parts = (data.train, data.val, data.test)
    rows = [np.concatenate([y for _, y in part]).tolist() for part in parts]
    return [np.array(sorted(each)) for each in rows]


# Files.


@pytest.mark.parametrize(
    "write, read",
    [
        (scenes.write_voc, tl.boxes_from_voc),
        (scenes.write_yolo, tl.boxes_from_yolo),
        (scenes.write_csv, tl.boxes_from_csv),
    ],
    ids=["voc", "yolo", "csv"],
)
def test_every_form_of_a_data_set_gives_the_same_data(
    write, read, drawn, data, coco_labels, tmp_path
):
    other = read(write(tmp_path, drawn), class_names=NAMES, **READ)
    assert other.class_names == data.class_names == NAMES
    for ours, coco in zip(labels_of(other), coco_labels, strict=True):
        np.testing.assert_allclose(ours, coco, atol=1e-6)
    with pytest.raises(ValueError, match="nowhere"):
        read(tmp_path / "nowhere", **READ)


def as_tfds(folder, parts, crowds=()):
    """Writes scenes as a data set of TensorFlow Datasets, whose boxes are relative."""
    import tensorflow_datasets as tfds
    from test_data_tfds import IMAGE, write_dataset

    def example(part, image, boxes, numbers):
        height, width = image.shape[:2]
        shares = [
            tfds.features.BBox(y1 / height, x1 / width, y2 / height, x2 / width)
            for x1, y1, x2, y2 in boxes
        ]
        objects = [
            {"bbox": box, "label": number, "is_crowd": part in crowds, "a_pose": 0}
            for box, number in zip(shares, numbers, strict=True)
        ]
        return {"image": image, "objects": objects}

    one = {
        "bbox": tfds.features.BBoxFeature(),
        "label": tfds.features.ClassLabel(names=list(NAMES)),
        "is_crowd": np.bool_,
        # A second class of each object, as VOC has.
        "a_pose": tfds.features.ClassLabel(names=["left", "right"]),
    }
    features = {"image": IMAGE, "objects": tfds.features.Sequence(one)}
    splits = {}
    for part, some in parts.items():
        # Two files hold them, every other one each: in their order in the end.
        half = len(some) // 2
        pairs = zip(some[:half], some[half:], strict=True)
        splits[part] = [example(part, *each) for pair in pairs for each in pair]
    return write_dataset(folder, splits, features, None)


@pytest.mark.filterwarnings("ignore:The val part has no example")
def test_a_data_set_of_tfds_gives_the_same_data(drawn, data, coco_labels, tmp_path):
    builder = as_tfds(tmp_path / "a", {"train": drawn})
    other = tl.boxes_from_tfds(builder, **READ)
    assert other.class_names == data.class_names == NAMES
    for ours, coco in zip(labels_of(other), coco_labels, strict=True):
        np.testing.assert_allclose(ours, coco, atol=1e-6)
    for (ours, _), (theirs, _) in zip(other.test, data.test, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-3)
    without = [(image, [], []) for image, *_ in drawn[:4]]
    parts = {"train": drawn, "validation": drawn[:4], "test": without}
    builder = as_tfds(tmp_path / "b", parts, crowds=("validation",))
    with pytest.warns(UserWarning, match="'test' of .* has no boxes"):
        crowds = tl.boxes_from_tfds(builder, class_names=[*NAMES[::-1]], **READ)
    assert crowds.class_names == NAMES[::-1]
    assert crowds.test is not None
    for part, ignored in ((crowds.val, True), (crowds.test, False)):
        labels = np.concatenate([y for _, y in part])
        assert (labels[..., 5] == (ignored & (labels[..., 4] >= 0))).all()
    with pytest.raises(ValueError, match="No such feature of boxes.*'things'"):
        tl.boxes_from_tfds(builder, objects="things")


def test_what_cannot_be_is_left_out_and_reported(drawn, tmp_path):
    file, images = scenes.write_coco(tmp_path, drawn)
    content = json.loads(file.read_text())
    (images / "0003.png").unlink()
    content["images"][4]["width"] += 1
    content["annotations"] = [
        {"id": i, "image_id": 0, "category_id": 1, "bbox": box, "iscrowd": crowd}
        for i, (box, crowd) in enumerate(
            [
                ([2, 2, 20, 20], 0),
                ([2, 2, 30, 30], 1),
                ([2, 2, 0, 20], 0),
                ([90, 2, 20, 20], 0),
                ([50, 2, 20, 20], 0),
            ]
        )
    ] + [
        {"id": 8, "image_id": 0, "category_id": 7, "bbox": [1, 1, 9, 9]},
        {"id": 9, "image_id": 99, "category_id": 1, "bbox": [1, 1, 9, 9]},
    ]
    file.write_text(json.dumps(content))
    with pytest.warns(UserWarning, match="left out|skipped|could not"):
        data = tl.boxes_from_coco(
            file, images, validation_split=0, test_split=0, **READ
        )
    said = " | ".join(f"{where} {why}" for where, why in data.skipped)
    for word in (
        *("0003.png", "annotation was made for 65 x 48", "no area", "outside"),
        *("was cut there", "unknown class", "unknown picture"),
    ):
        assert word in said, word
    labels = np.concatenate([y for _, y in data.train])
    # One whole, one of a crowd, one cut.
    assert sorted(labels[labels[..., 4] >= 0][:, 5]) == [0, 0, 1]
    assert len(labels) == 22


def change(text, new):
    """Returns what replaces the first of a text in a file by another."""

    def write(file):
        content = file.read_text()
        assert text in content
        file.write_text(content.replace(text, new, 1), encoding="utf-8-sig")

    return write


@pytest.mark.parametrize(
    "form, file, write, said",
    [
        ("coco", "coco.json", change('"id": 2', '"id": 1'), "must not have one id"),
        ("coco", "coco.json", change('"bbox": [', '"bbox": ["a", '), "no `bbox` of f"),
        ("coco", "coco.json", change('"width": 64', '"width": 0'), ""),
        ("coco", "coco.json", change('"name": "yield"', '"name": ""'), "without a nam"),
        ("yolo", "labels/0001.txt", change("0.", "20."), "reaches|outside"),
        ("yolo", "labels/0001.txt", change("1 ", "0.5 "), "unknown class 0.5"),
        ("yolo", "labels/0001.txt", change("1 ", "1e400 "), "unknown class 1e400"),
        ("yolo", "classes.txt", change("stop", "stop\n"), "without a name"),
        (
            "voc",
            "Annotations/0001.xml",
            change("<name>yield", "<name>"),
            "without a na",
        ),
        ("voc", "Annotations/0001.xml", change("</object>", ""), "is not Pascal VOC"),
        ("csv", "boxes.csv", change(",yield", ","), "without a class"),
    ],
)
def test_what_files_have_wrong_is_said(form, file, write, said, drawn, tmp_path):
    getattr(scenes, f"write_{form}")(tmp_path, drawn)
    write(tmp_path / file)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            read_as(form, tmp_path)
            told = " ".join(str(one.message) for one in caught)
        except ValueError as error:
            told = str(error)
    assert re.search(said, told) if said else not told


def read_as(form, root, **arguments):
    arguments = {**READ, "validation_split": 0, "test_split": 0, **arguments}
    if form == "coco":
        return tl.boxes_from_coco(root / "coco.json", root / "images", **arguments)
    path = root / "boxes.csv" if form == "csv" else root
    return getattr(tl, f"boxes_from_{form}")(path, **arguments)


def test_pixels_and_shares_are_told_apart_and_classes_must_be_there(folder, tmp_path):
    scenes.write_csv(tmp_path, scenes.scenes(4, sides=(0.4, 0.7), seed=3))
    with pytest.raises(ValueError, match="look like pixels, but are read as shares"):
        read_as("csv", tmp_path, format="rel_xyxy")
    content = json.loads((folder / "coco.json").read_text())
    for one in content["annotations"]:
        one["bbox"] = [number / 100 for number in one["bbox"]]
    (tmp_path / "coco.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match="look like shares of the sides, but"):
        tl.boxes_from_coco(tmp_path / "coco.json", folder / "images", **READ)
    with pytest.raises(ValueError, match="No such class: 'yeld'. Did you mean 'yield'"):
        read_as("coco", folder, class_names=["yeld"])


@pytest.mark.parametrize("fit", ["pad", "crop", "stretch"])
def test_boxes_move_with_their_pictures(fit):
    picture = np.zeros((50, 90, 3), "uint8")
    box = np.array([30, 10, 60, 40])
    picture[box[1] : box[3], box[0] : box[2]] = 255
    seen = np.asarray(resize_image(picture, (64, 64), fit))
    rows, columns = (np.flatnonzero(seen[..., 0].max(axis) > 127) for axis in (1, 0))
    there = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]) / 64
    where = frames(np.array([picture.shape[:2]]), (64, 64), fit)
    shares = box / np.array([90, 50, 90, 50])
    np.testing.assert_allclose(where.seen(0, shares[None])[0], there, atol=1 / 64)
    np.testing.assert_allclose(where.own(0, where.seen(0, shares[None]))[0], box, 1e-4)


def test_data_are_told_and_drawn(data):
    said = str(data.describe())
    assert "stop" in said and "(pictures without boxes)" in said
    shown = data.show(9)
    assert sum(len(cell.patches) for cell in shown.child_axes) > 4
    assert "tiny boxes" not in str(data.check())
    labels = np.zeros((1, 2, 6), "float32")
    labels[0, :, :4] = 0.1, 0.1, 0.105, 0.105
    kinds = {finding.kind for finding in tl.Boxes(NAMES)._findings({"train": labels})}
    assert {"tiny boxes", "doubled boxes"} <= kinds


# The loss, suppression, figures.


def cells_for(boxes, classes, score):
    """Returns outputs with one cell, the whole picture, for each box."""
    rows = np.zeros((1, len(boxes), 8 + 2), "float32")
    rows[0, :, :4] = boxes
    rows[0, :, 4:8] = 0, 0, 1, 1
    rows[0, np.arange(len(boxes)), 8 + np.array(classes)] = score
    return rows


def test_the_loss_is_that_of_its_papers():
    loss = DetectionLoss(box_weight=2.0, gamma=2.0, alpha=0.25)
    output = cells_for([[0, 0, 0.5, 1]], [0], 0.6)
    none = np.full((1, 1, 6), -1, "float32")
    missing = -0.75 * 0.6**2 * np.log(0.4)
    assert float(loss(none, output)) == pytest.approx(missing, rel=1e-3)
    # Half of the true box: IoU and generalized IoU are 0.5.
    label = np.array([[[0, 0, 1, 1, 0, 0]]], "float32")
    expected = -0.25 * 0.4**2 * np.log(0.6) + 2 * 0.5
    assert float(loss(label, output)) == pytest.approx(expected, rel=1e-3)
    label[..., 5] = 1
    assert float(loss(label, output)) == 0
    again = DetectionLoss.from_config(loss.get_config())
    assert again.get_config() == loss.get_config()


def test_of_boxes_on_each_other_the_surest_of_a_class_is_kept():
    boxes = [[0, 0, 0.5, 0.5], [0, 0, 0.5, 0.45], [0, 0, 0.5, 0.45], [0.5, 0.5, 1, 1]]
    output = cells_for(boxes, [0, 0, 1, 0], [0.9, 0.8, 0.7, 0.6])
    found = suppressed_rows(output, 0.5, 5)[0]
    np.testing.assert_allclose(found[:, 5], [0.9, 0.7, 0.6, 0, 0], rtol=1e-6)
    assert found[:, 4].tolist() == [0, 1, 0, -1, -1]
    said = tl.Boxes(NAMES, thresholds=(0.65, 0.8)).answers(output)[0]
    assert said.labels == ("stop",) and str(said).startswith("stop 0.90 at")
    graph = tl.Boxes(NAMES, thresholds=(0.65, 0.8)).graph_answers(output)
    assert [x.decode() for x in graph["label"][0].numpy() if x] == ["stop"]


def test_figures_are_those_of_cocos_evaluator():
    truth = np.full((2, 2, 6), -1.0)
    truth[0] = [[0, 0, 0.4, 0.4, 0, 0], [0.5, 0.5, 1, 1, 1, 0]]
    truth[1, 0] = [0, 0, 0.4, 0.4, 0, 1]
    found = np.full((2, 3, 6), -1.0)
    found[0, 0] = [0, 0, 0.4, 0.3, 0, 0.9]
    found[0, 1] = [0.6, 0.6, 0.7, 0.7, 1, 0.8]
    # On what is ignored: neither right nor false.
    found[1, 0] = [0, 0, 0.4, 0.4, 0, 0.95]
    output = tl.Boxes(NAMES, thresholds=0.5)
    figures = output.figures(truth, found)
    # An IoU of 0.75 is enough at 6 of 10 thresholds.
    assert figures["ap50"] == pytest.approx(0.5)
    assert figures["ap"] == pytest.approx(0.3)
    assert figures["exact"] == output.main_values(truth, found).values.mean() == 0.5
    assert output.losses(truth, found).tolist() == [2, 0]
    assert output.verdict(truth[0], found[0], found[0]) == "missed yield, false yield"
    best = detection.best_thresholds(truth, found, 2)
    assert best[0] == pytest.approx(0.45) and best[1] == 0.5
    report = tl.Report(truth, found.reshape(2, -1), output=output)
    assert "ap50 0.5000" in str(report)


# A detector.


@pytest.mark.slow
def test_both_phases_train_on_cached_maps_as_they_do_without(data, trained):
    _, history, _ = trained
    keras.utils.set_random_seed(0)
    model = small_detector()
    uncached = tl.fit_head(
        model, data.train, data.val, epochs=1, cache=False, verbose=0
    )
    # One pass of the frozen part serves both.
    assert [phase.extraction_seconds > 0 for phase in history.phases] == [True, False]
    for name in ("loss", "val_loss"):
        assert uncached.history[name][0] == pytest.approx(
            history.history[name][0], rel=1e-4
        )
    assert history.history["loss"][-1] < history.history["loss"][0]


def test_it_finds_boxes_in_pictures_of_any_size(trained, data, folder):
    model, _, path = trained
    picture = folder / "images" / "0001.png"
    found = model.detect([picture, picture])
    assert len(found) == 2 and found[0].size == (48, 64) and len(found[0])
    assert (found[0].boxes <= np.array([64, 48, 64, 48])).all()
    assert len(found[0].plot(picture).patches) == len(found[0])
    again = tl.load(path)
    assert again.thresholds == model.thresholds
    np.testing.assert_allclose(again.detect(picture)[0].boxes, found[0].boxes, 1e-5)
    assert not len(model.detect(picture, thresholds=1.0)[0])
    assert model.thresholds == again.thresholds
    with pytest.raises(tl.UnsupportedError, match="detect"):
        tl.image_classifier("glyphnet", 2).detect(np.zeros((32, 32, 1)))


def test_the_score_of_one_box_is_explained(trained, folder):
    model, _, _ = trained
    picture = folder / "images" / "0001.png"
    surest = model.detect(picture, thresholds=0)[0]
    [found] = tl.explain(model, picture, steps=32, tolerance=1)
    assert (found.target, found.method) == (surest.labels[0], "integrated_gradients")
    assert found.probability == pytest.approx(surest.scores[0], rel=1e-4)
    cell = np.asarray(model(found.image[None]))[0, found.index // len(NAMES)]
    np.testing.assert_allclose(found.box, cell[:4] * 64, atol=1e-3)
    assert found.map.shape == (64, 64) and found.gap < 0.1
    assert abs(found.map.sum() - (found.logit - found.baseline)) < 0.1 * 14
    assert len(found.plot().patches) == 1


def test_it_is_evaluated_and_its_worst_pictures_drawn(trained, data):
    model, history, _ = trained
    report = tl.evaluate(model, data.test, verbose=0)
    assert {"ap", "ap50", "ap_small", "ar"} <= set(report.metrics)
    # While it was trained, after each epoch.
    for name in ("val_ap50", "val_ar"):
        assert len(history.history[name]) == 4
        assert 0 <= min(history.history[name]) and max(history.history[name]) <= 1
    best = history.best["epoch"] if history.best["phase"] != "start" else None
    of_best = tl.evaluate(model, data.val, verbose=0).metrics["ar"]
    assert best is None or of_best == history.history["val_ar"][best]
    cells = report.plot_top_losses(2).child_axes
    assert sum(len(cell.patches) for cell in cells)
    assert report.thresholds.shape == (2,)
    assert "finds objects" in str(tl.model_card(model, report))
    assert "object-detection" in str(tl.model_card(model, report))
    assert tl.plan(model, data.train).augment is None
    config = json.loads(json.dumps(model.problem.output.get_config()))
    assert output_from_config(config) == model.problem.output


@pytest.mark.parametrize(
    "run, match",
    [
        (
            lambda m, d: fit(m, d, augment=tf.image.rot90),
            "leaves boxes where they were",
        ),
        (lambda m, d: fit(m, d, class_weight="balanced"), "several"),
        (lambda m, d: fit(m, d, augment="mixup"), "mixes|MixUp"),
        (lambda m, d: tl.distill(m, small_detector(), d.train), "are many"),
        (lambda m, d: tl.calibrate(m, d.val), "calibrate"),
        (lambda m, d: tl.Boxes(2, iou_threshold=-1), "iou"),
        (lambda m, d: tl.Boxes(2, hidden=(3,)), "feature maps"),
        (lambda m, d: small_detector({"a": tl.Boxes(2)}), "one head"),
        (lambda m, d: small_detector(tl.Classes(2)), "a classifier is"),
        (lambda m, d: tl.image_detector("glyphnet", 2, strides=(8, 12)), "twice"),
        (lambda m, d: tl.image_detector("glyphnet", 2, strides=(64,)), "no feature"),
        (lambda m, d: tl.image_detector("dfine_nano_coco", 2), "not an image backbone"),
        (
            lambda m, d: tl.evaluate(m, (np.zeros((4, 64, 64, 3)), np.zeros(4))),
            "labels|Labels",
        ),
        (
            lambda m, d: tl.fit_head(small_detector(3), d.train, epochs=1),
            "classes|class names|names",
        ),
        (lambda m, d: tl.image_classifier("glyphnet", tl.Boxes(2)), "image_detector"),
    ],
)
def test_what_cannot_be_is_refused(run, match, trained, data):
    with pytest.raises((ValueError, tl.UnsupportedError), match=match):
        run(trained[0], data)


def fit(model, data, **recipe):
    return tl.fit_head(
        model, data.train, epochs=1, recipe=tl.Recipe(**recipe), verbose=0
    )


# Of each augmentation one, on batches of one shape: what it traces is traced once.
MOVING = {
    "light": resolve_augment("light", output=tl.Boxes(NAMES), seed=0),
    "strong": resolve_augment("strong", output=tl.Boxes(NAMES), seed=0),
    "layers": resolve_augment(
        [
            keras.layers.RandomFlip("horizontal"),
            keras.layers.RandomTranslation(0.2, 0.2, "constant"),
            keras.layers.RandomBrightness(0.1),
        ],
        output=tl.Boxes(NAMES),
        seed=0,
    ),
}
RUN = {name: tf.function(augment) for name, augment in MOVING.items()}


@pytest.mark.parametrize("name", MOVING)
@settings(max_examples=12, deadline=None)
@given(
    st.integers(0, 10**6),
    *(st.integers(0, most) for most in (70, 40)),
    *(st.integers(8, most) for most in (30, 20)),
)
def test_boxes_move_with_augmented_pictures(name, batch, x, y, width, height):
    images = np.zeros((2, 64, 96, 3), "float32")
    box = [x, y, min(x + width, 96), min(y + height, 64)]
    images[:, box[1] : box[3], box[0] : box[2]] = 255
    sides = np.array([96, 64, 96, 64])
    labels = np.array([[[*(box / sides), 1, 0], [0, 0, 0, 0, -1, 0]]] * 2, "float32")
    moved, found = RUN[name](images, labels, tf.constant(batch, "int64"))
    tl.Boxes(NAMES).check(found.numpy(), "train")
    assert (found[:, 1, 4] == -1).numpy().all()
    for picture, row in zip(moved.numpy()[..., 0], found.numpy()[:, 0], strict=True):
        if row[4] < 0 or np.min((row[2:4] - row[:2]) * sides[:2]) < 2:
            continue
        shown = picture > (picture.min() + picture.max()) / 2
        rows, columns = (np.flatnonzero(shown.any(axis)) for axis in (1, 0))
        there = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
        np.testing.assert_allclose(row[:4] * sides, there, atol=1)


def test_boxes_that_are_moved_out_are_ignored_or_none():
    labels = np.tile(np.float32([[0.2, 0.2, 0.6, 0.6, 1, 0]]), (3, 1, 1))
    scales, starts = np.ones((3, 2), "float32"), np.zeros((3, 2), "float32")
    # A quarter is left; nothing is; all of it, in a mirror.
    starts[:, 0], scales[2, 0] = (0.7, 0.9, 1.0), -1
    found = tl.Boxes(NAMES).moved(tf.constant(labels), scales, starts).numpy()[:, 0]
    expected = [
        [0.9, 0.2, 1, 0.6, 1, 1],
        [0, 0, 0, 0, -1, 0],
        [0.4, 0.2, 0.8, 0.6, 1, 0],
    ]
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.slow
def test_a_detector_trains_on_augmented_pictures(data):
    model = small_detector()
    history = fit(model, data, augment="strong", cached_views=2)
    assert np.isfinite(history.history["loss"]).all()
    # As the documentation has it.
    text = (Path(__file__).parents[1] / "docs" / "boxes.md").read_text()
    names = {"tf": tf}
    exec(re.search(r"def turn\(.*?\n\n", text, re.DOTALL)[0], names)
    augment = resolve_augment(names["turn"], output=data.problem.output, seed=0)
    images, labels = next(iter(data.train))
    turned, boxes = (np.asarray(each) for each in augment(images, labels))
    np.testing.assert_array_equal(turned, np.asarray(images)[:, ::-1, ::-1])
    np.testing.assert_allclose(boxes[..., 0], 1 - labels.numpy()[..., 2], atol=1e-6)
    assert np.isfinite(fit(model, data, augment=names["turn"]).history["loss"]).all()


@pytest.mark.slow
def test_it_learns_to_find_signs(tmp_path):
    found = scenes.scenes(120, sides=(0.3, 0.6), seed=1)
    data = tl.boxes_from_coco(*scenes.write_coco(tmp_path, found), **READ)
    keras.utils.set_random_seed(0)
    model = small_detector()
    tl.fine_tune(
        model,
        data.train,
        head_epochs=2,
        epochs=40,
        unfreeze_from=0,
        fine_tune_learning_rate=3e-3,
        verbose=0,
    )
    assert tl.evaluate(model, data.test, verbose=0).metrics["ap50"] > 0.6
    # What speaks for a box lies in it, and hangs on what was learnt.
    pixels = np.concatenate([x for x, _ in data.test])[:8]
    sure = [one for one in tl.explain(model, pixels, steps=64) if one.output > 0.5]
    assert len(sure) > 2
    for one in sure:
        x1, y1, x2, y2 = np.clip(one.box, 0, 64).round().astype(int)
        evidence = np.maximum(one.map, 0)
        density = evidence[y1:y2, x1:x2].mean() / evidence.mean()
        assert density > 1.5
    assert tl.sanity_check(model, pixels, stages=2).passed
    two = [NAMES[1], sure[0].index]
    other, same = tl.explain(model, pixels[:2], target=two, layer="block3_conv")
    assert (other.target, other.method) == (NAMES[1], "grad_cam")
    assert (same.target, same.index) == (sure[0].target, sure[0].index)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["signs", "signs.tflite", "signs.onnx"])
def test_exports_find_the_same(name, trained, data, tmp_path):
    if name.endswith(".onnx"):
        for package in ("onnx", "tf2onnx", "onnxruntime"):
            pytest.importorskip(package)
    report = tl.export(trained[0], tmp_path / name)
    assert report.difference < report.tolerance and report.agreement == 1


@pytest.mark.slow
def test_the_command_line_finds_boxes(trained, folder):
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tlkeras", "predict", trained[2], "--json"),
            folder / "images" / "0001.png",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    said = json.loads(done.stdout)
    assert said["size"] == [48, 64]
    # The model itself may have been trained on since it was saved.
    found = tl.load(trained[2]).detect(folder / "images" / "0001.png")[0]
    assert [box["label"] for box in said["boxes"]] == list(found.labels)


# KerasHub's RetinaNet.


@pytest.fixture(scope="module")
def retinanet(tmp_path_factory):
    """A folder with a small RetinaNet and its preprocessing, as KerasHub saves them."""
    models = keras_hub.models
    encoder = models.DenseNetBackbone(
        stackwise_num_repeats=[1, 1, 1, 1], compression_ratio=0.25, growth_rate=4
    )
    folder = str(tmp_path_factory.mktemp("presets") / "retinanet")
    models.RetinaNetBackbone(encoder, 3, 6, use_p5=False).save_to_preset(folder)
    converter = keras_hub.layers.RetinaNetImageConverter(
        image_size=(64, 64), scale=[0.01, 0.02, 0.03], offset=[-1.0, -2.0, -3.0]
    )
    models.RetinaNetObjectDetectorPreprocessor(converter).save_to_preset(folder)
    return folder


@pytest.mark.contract
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_a_retinanet_gives_the_maps_of_its_own_pyramid(retinanet):
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 3))
    ready = keras_hub.layers.ImageConverter.from_preset(retinanet)(pixels)
    backbone = keras_hub.models.Backbone.from_preset(retinanet)
    theirs = backbone(ready)
    model = tl.image_detector(retinanet, NAMES, strides=(8, 16, 32, 64))
    ours = model.backbone(model.get_layer("preprocessing")(pixels))
    for stride, found, expected in zip(
        (8, 16, 32, 64), ours, theirs.values(), strict=True
    ):
        assert found.shape[1] == 64 // stride
        np.testing.assert_allclose(found, expected, atol=1e-5)
    # Each layer of the encoder and of the pyramid is a freeze point.
    tl.freeze(model, "stack4")
    trained = [layer.name for layer in model.backbone.layers if layer.trainable_weights]
    assert trained[0].startswith("stack4")
    assert {"lateral_conv_P5", "output_conv_P3", "coarser_P6"} < set(trained)
    assert pyramid(backbone, (64,), (64, 128)).output_shape == (None, 1, 2, 256)
    with pytest.raises(ValueError, match="must be multiples of 32 pixels"):
        pyramid(backbone, (8,), (48, 48))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_a_retinanet_trains_on_cached_maps_and_is_saved_and_exported(
    retinanet, data, tmp_path
):
    # Of a backbone that takes pictures of any size, at one of them.
    backbone = keras_hub.models.Backbone.from_preset(retinanet)
    with pytest.raises(ValueError, match="pass `input_shape=`"):
        tl.image_detector(backbone, data, input_shape=None, preprocessing=None)
    model = tl.image_detector(backbone, data, width=16, depth=1, preprocessing=None)
    history = tl.fine_tune(
        model,
        data.train,
        data.val,
        head_epochs=1,
        epochs=1,
        unfreeze_from="stack4",
        cache="memory",
        verbose=0,
    )
    assert [phase.extraction_seconds > 0 for phase in history.phases] == [True, False]
    assert np.isfinite(history.history["loss"]).all()
    model.save(tmp_path / "signs.keras")
    pixels = np.concatenate([x for x, _ in data.test])
    np.save(tmp_path / "pixels.npy", pixels)
    code = (
        "import numpy as np, sys, tlkeras as tl\n"
        "model = tl.load('signs.keras')\n"
        "np.save('found.npy', model.predict(np.load('pixels.npy'), verbose=0))"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    expected = model.predict(pixels, verbose=0)
    np.testing.assert_allclose(np.load(tmp_path / "found.npy"), expected, atol=1e-5)
    for name in ("signs", "signs.tflite"):
        report = tl.export(model, tmp_path / name)
        assert report.difference < report.tolerance and report.agreement == 1


def test_pictures_say_where_they_lie():
    where = Pictures((64, 64), fit="pad").frames(np.zeros((2, 32, 64, 3)))
    assert where.sizes.tolist() == [[32, 64]] * 2
