"""What each worker of `test_workers.py` does; writes what it came to as JSON.

    python tests/workers_script.py FOLDER SHARES CASES INDEX

CASES is a list with commas. Without `TF_CONFIG` it is one device, which is given the
global batches that SHARES workers would train on.
"""

import contextlib
import json
import sys
import traceback
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from helpers import with_recipe
from runs import SETTINGS, VAL_X, VAL_Y, X, Y, plain_backbone
from text_models import tiny_bert

import tlkeras as tl
from tlkeras.distribution import WorkerError
from tlkeras.distribution.replicated import ReplicatedModel
from tlkeras.features.order import Order
from tlkeras.training import feeding

# Global batches of 12, 12 and 11; of two workers of 6, 6, 6 and 6, 6, 5.
DATA = (X, Y), (VAL_X, VAL_Y)
CASES, SEEN = {}, []


def case(function):
    CASES[function.__name__] = function
    return function


def classifier():
    return tl.image_classifier(plain_backbone(), 3)


def fitted(worker, build=classifier, data=DATA, seed=0, **given):
    keras.utils.set_random_seed(seed)
    with tl.current_runtime().scope():
        model = build()
    before = model.get_weights()
    history = tl.fine_tune(model, *data, **with_recipe(**{**SETTINGS, **given}))
    after = model.get_weights()
    return model, {
        "weights": [w.ravel().astype("float64").tolist() for w in after],
        "moved": max(
            float(np.abs(a - b).max()) for a, b in zip(before, after, strict=True)
        ),
        "history": history.history,
    }


@case
def cached(worker):
    """Labels tell which examples each step read."""

    def build():
        classes = classifier()
        return tl.image_regressor(classes.backbone, 1)

    labels = np.arange(35) / 35
    data = (X, labels.astype("float32")), (VAL_X, VAL_Y / 3)
    SEEN.clear()
    _, result = fitted(worker, build, data, learning_rate=0.01)
    return {**result, "seen": [round(35 * y) for y in SEEN]}


@case
def uncached(worker, folder):
    """Each process has a folder of its own: of workers only the chief writes to it."""
    mine = folder / f"files-{worker}-of-{tl.current_runtime().workers.count}"
    (mine / "best").mkdir(parents=True)
    callbacks = [
        keras.callbacks.ModelCheckpoint(mine / "best" / "{epoch}.keras"),
        keras.callbacks.CSVLogger(mine / "log.csv"),
    ]
    model, result = fitted(
        worker,
        cache=False,
        class_weight="balanced",
        optimizer=keras.optimizers.Adam(global_clipnorm=0.01),
        layer_decay=0.5,
        checkpoint_dir=mine / "checkpoints",
        log_dir=mine / "logs",
        callbacks=callbacks,
    )
    model.save(mine / "model.keras")
    files = sorted(str(p.relative_to(mine)) for p in mine.rglob("*") if p.is_file())
    report = tl.evaluate(model, (VAL_X, VAL_Y), verbose=0)
    splits = tl.from_arrays(
        VAL_X, VAL_Y, batch_size=4, validation_split=0, test_split=0.5, seed=0
    )
    split_report = tl.evaluate(model, splits.test, verbose=0)
    # Fewer than there are workers.
    one_report = tl.evaluate(model, (VAL_X[:1], VAL_Y[:1]), verbose=0)
    reports = (report, split_report, one_report)
    figures = [[one.accuracy, one.confusion.tolist()] for one in reports]
    # Each predicts for itself; the others do not take part.
    prediction = model.predict(X[: 3 + worker], verbose=0)
    predicted = prediction[:3].tolist()
    return {**result, "report": figures, "predicted": predicted, "files": files}


@case
def texts(worker):
    words = ["a good film", "a bad film", "the story was dull", "we loved it and you"]
    sentences = np.array([words[k % 4] + " very" * (k % 3) for k in range(35)])
    labels = np.arange(35) % 2

    def build():
        backbone, tokenizer = tiny_bert(dropout=0.0)
        return tl.text_classifier(
            backbone, 2, tokenizer=tokenizer, sequence_length=8, dropout=0.0
        )

    data = (sentences, labels), (sentences[:23], labels[:23])
    # A head that is solved, of the features of all workers.
    given = {"head_epochs": "auto", "learning_rate": "auto", "epochs": 1}
    given["unfreeze_from"] = "transformer_layer_1"
    model, result = fitted(worker, build, data, **given)
    label = model.classify(["a good film"])[0].label
    return {**result, "label": str(label)}


@case
def learning_rate_range(worker):
    keras.utils.set_random_seed(0)
    with tl.current_runtime().scope():
        model = classifier()
    found = tl.find_learning_rate(
        model, (X, Y), steps=40, recipe=tl.Recipe(optimizer="sgd"), verbose=0
    )
    return {"suggestion": float(found.suggestion), "losses": found.smoothed.tolist()}


def refused(worker, **given):
    """Returns the error of a run that is to be refused."""
    try:
        fitted(worker, **given)
    except (WorkerError, ValueError) as error:
        return {"error": f"{type(error).__name__}: {error}"}
    return {"error": "none"}


@case
def other_recipe(worker):
    return refused(worker, learning_rate=0.05 + worker / 100)


@case
def other_data(worker):
    labels = np.where(np.arange(35) == 7, (Y + worker) % 3, Y)
    return refused(worker, data=((X, labels), DATA[1]))


@case
def other_weights(worker):
    """Random starts are the chief's everywhere; weights set later are not."""

    def build():
        model = classifier()
        model.set_weights([weight + worker for weight in model.get_weights()])
        return model

    return refused(worker, build=build)


@case
def own_dataset(worker):
    batches = tf.data.Dataset.from_tensor_slices((X, Y)).batch(12)
    return refused(worker, data=(batches, None), batch_size=None)


def note_labels():
    """Notes the labels that each training step of a replica gets."""
    plain = ReplicatedModel.train_step

    def train_step(self, data):
        labels = data[0][1]
        if isinstance(labels, tf.Tensor):
            tf.numpy_function(lambda y: SEEN.extend(y.ravel().tolist()), [labels], [])
        return plain(self, data)

    ReplicatedModel.train_step = train_step


def order_as_shares(shares):
    """Gives one device the global batches of several workers."""

    def order(self, examples, views):
        known, count = self.readings[0], len(examples)
        steps = -(-count // known.batch_size)

        def draw(seed, epoch):
            orders = []
            for k in range(shares):
                own = Order(len(range(k, count, shares)), True, known.seed + 7919 * k)
                cuts = np.array_split(np.arange(own.count), steps)
                positions = own.positions(epoch) * shares + k
                orders.append([tf.gather(positions, cut) for cut in cuts])
            batches = [tf.concat(parts, 0) for parts in zip(*orders, strict=True)]
            return tf.concat(batches, 0)

        return Order(count, known.shuffled, known.seed, views, draw)

    feeding.Feeder._order = order


def main():
    folder, shares, names, worker = sys.argv[1:]
    folder, worker = Path(folder), int(worker)
    runtime = tl.configure(precision="float32", seed=0)
    if runtime.strategy is None:
        order_as_shares(int(shares))
    note_labels()
    results = {"replicas": runtime.replicas, "index": runtime.workers.index}
    for name in names.split(","):
        function = CASES[name]
        arguments = (worker, folder)[: function.__code__.co_argcount]
        with contextlib.redirect_stdout(sys.stderr):
            try:
                results[name] = function(*arguments)
            except Exception:  # noqa: BLE001 - its test fails, the others run
                results[name] = {"failure": traceback.format_exc()[-2000:]}
        print(name, flush=True)
    kind = "alone" if runtime.strategy is None else str(worker)
    (folder / f"result-{kind}.json").write_text(json.dumps(results))


if __name__ == "__main__":
    main()
