"""Logs of a run: a table and TensorBoard's events, with the phases' boundaries."""

import csv

import keras
import numpy as np
import pytest
from helpers import solid_colours, tiny_backbone, with_head

import tlkeras as tl

X, Y = solid_colours(32, 2)


def tune(**arguments):
    return tl.fine_tune(
        with_head(tiny_backbone(blocks=1)),
        (X, Y),
        (X, Y),
        head_epochs=2,
        epochs=3,
        unfreeze_from="block1",
        verbose=0,
        **arguments,
    )


def rows_of(path):
    with open(path, encoding="utf-8") as file:
        return list(csv.DictReader(file))


def events_of(folder):
    import tensorflow as tf

    for path in sorted(folder.glob("events.*")):
        for record in tf.data.TFRecordDataset(str(path)):
            event = tf.compat.v1.Event.FromString(record.numpy())
            for value in event.summary.value:
                yield value.tag, event.step, tf.make_ndarray(value.tensor)


@pytest.fixture(scope="module")
def logged(tmp_path_factory):
    """The folder of a run's logs, with those of Keras' logger, and its history."""
    folder = tmp_path_factory.mktemp("logs")
    logger = keras.callbacks.CSVLogger(folder / "log.csv")
    return folder, tune(log_dir=folder, callbacks=[logger])


def test_table_and_events_hold_each_epoch_once(logged):
    folder, history = logged
    rows = rows_of(folder / "epochs.csv")
    assert [row["phase"] for row in rows] == ["head"] * 2 + ["fine-tune"] * 3
    assert [int(row["epoch"]) for row in rows] == history.epoch
    for name, values in history.history.items():
        assert [float(row[name]) for row in rows] == values
    events = list(events_of(folder / "train"))
    phases = [(step, value.item()) for tag, step, value in events if tag == "phase"]
    assert phases == [(0, b"head"), (2, b"fine-tune")]
    losses = {step: float(v) for tag, step, v in events if tag == "epoch_loss"}
    assert list(losses) == history.epoch
    np.testing.assert_allclose(list(losses.values()), history.history["loss"])
    rates = [float(v) for tag, _, v in events if tag == "epoch_learning_rate"]
    np.testing.assert_allclose(rates, [1e-3] * 2 + [1e-5] * 3)
    validation = [s for t, s, _ in events_of(folder / "validation")]
    assert sorted(set(validation)) == history.epoch


def test_a_csv_logger_of_keras_keeps_all_phases(logged):
    folder, _ = logged
    rows = rows_of(folder / "log.csv")
    assert [row["epoch"] for row in rows] == ["0", "1", "2", "3", "4"]


def test_a_folder_that_cannot_be_written_to(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="Logs cannot be written"):
        tune(log_dir=tmp_path / "file" / "logs")
