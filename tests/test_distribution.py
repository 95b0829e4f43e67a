"""Replicas and workers: what each reads, what they tell another, and two replicas."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tlkeras.distribution import Cluster, Replicas, Share, WorkerError, Workers
from tlkeras.distribution.batches import (
    filled,
    in_parts,
    share_sizes,
    totals,
    with_totals,
)
from tlkeras.distribution.replicated import ReplicatedModel
from tlkeras.features.order import Order, endless_epochs
from tlkeras.inputs.arrays import ArrayExamples
from tlkeras.inputs.examples import Reading
from tlkeras.training.feeding import Feeder

TWO_HOSTS = {"worker": ["a:1", "b:2"]}


def config(cluster, kind="worker", index=0):
    return json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}})


# --- The cluster --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "addresses", "index"),
    [
        (None, (), 0),
        ("", (), 0),
        ("{}", (), 0),
        (config({"worker": ["a:1"]}), ("a:1",), 0),
        (config(TWO_HOSTS, index=1), ("a:1", "b:2"), 1),
        # Some give the index as a string.
        (config(TWO_HOSTS, index="1"), ("a:1", "b:2"), 1),
        (config({"chief": ["c:0"], **TWO_HOSTS}, "chief"), ("c:0", "a:1", "b:2"), 0),
        (config({"chief": ["c:0"], **TWO_HOSTS}, index=1), ("c:0", "a:1", "b:2"), 2),
        (config({"worker": ["[::1]:1", "10.0.0.2:2"]}), ("[::1]:1", "10.0.0.2:2"), 0),
    ],
)
def test_the_cluster_is_read_from_the_environment(monkeypatch, text, addresses, index):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if text is not None:
        monkeypatch.setenv("TF_CONFIG", text)
    cluster = Cluster.from_environment()
    assert (cluster.addresses, cluster.index) == (addresses, index)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{cluster: 1}", "JSONDecodeError"),
        ("[]", "AttributeError"),
        (json.dumps({"cluster": TWO_HOSTS}), "KeyError: 'task'"),
        (config(TWO_HOSTS, index=2), "there is no worker 2"),
        (config(TWO_HOSTS, index=-1), "there is no worker -1"),
        (config(TWO_HOSTS, "chief"), "there is no chief 0"),
        (config(TWO_HOSTS, "evaluator"), "evaluator"),
        (config({"worker": ["a:1", "b"]}), "'b' is not host:port"),
        (config({"worker": ["a:1", ":2"]}), "':2' is not host:port"),
        (config({"worker": ["a:1", "b:port"]}), "'b:port' is not host:port"),
    ],
)
def test_what_tf_config_lacks_is_named(monkeypatch, text, reason):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(ValueError, match="TF_CONFIG must look like") as error:
        Cluster.from_environment()
    assert reason in str(error.value)
    assert repr(text) in str(error.value)


def free_addresses(count):
    """Returns loopback addresses whose ports were free just now."""
    with contextlib.ExitStack() as held:
        servers = [held.enter_context(socket.socket()) for _ in range(count)]
        for server in servers:
            server.bind(("127.0.0.1", 0))
        return tuple(f"127.0.0.1:{server.getsockname()[1]}" for server in servers)


@pytest.mark.slow
def test_workers_wait_until_all_are_there():
    addresses, ends = free_addresses(3), {}

    def work(index):
        time.sleep(0.5 * index)
        Cluster(addresses, index).wait(20)
        ends[index] = time.monotonic()

    began = time.monotonic()
    threads = [threading.Thread(target=work, args=(k,)) for k in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # The last one came after a second.
    assert sorted(ends) == [0, 1, 2]
    assert min(ends.values()) - began >= 1.0


@pytest.mark.slow
def test_a_worker_that_does_not_come_up_is_named_in_time(monkeypatch):
    addresses = free_addresses(3)
    began = time.monotonic()
    there = threading.Thread(target=Cluster(addresses, 1).wait, args=(3,))
    there.run = lambda: contextlib.suppress(WorkerError).__enter__()
    monkeypatch.setenv("TLKERAS_WORKER_TIMEOUT", "1")
    with pytest.raises(WorkerError, match="Worker 0 of 3 waited 1 seconds") as error:
        Cluster(addresses, 0).wait()
    assert time.monotonic() - began < 4
    assert addresses[2] in str(error.value)
    assert addresses[0] not in str(error.value)
    assert "TLKERAS_WORKER_TIMEOUT" in str(error.value)


def test_a_time_limit_that_is_no_number(monkeypatch):
    monkeypatch.setenv("TLKERAS_WORKER_TIMEOUT", "5 minutes")
    with pytest.raises(ValueError, match="number of seconds.*'5 minutes'"):
        Cluster(free_addresses(2), 0).wait()


def test_a_port_that_is_taken():
    addresses = free_addresses(2)
    with socket.socket() as other:
        other.bind(("127.0.0.1", int(addresses[0].rpartition(":")[2])))
        other.listen()
        with pytest.raises(WorkerError, match="cannot listen.*another port"):
            Cluster(addresses, 0).wait(1)


def test_the_port_is_free_again_after_waiting():
    addresses = free_addresses(2)
    for _ in range(2):
        with pytest.raises(WorkerError, match="waited 0 seconds"):
            Cluster(addresses, 0).wait(0)


@pytest.mark.parametrize("addresses", [(), ("127.0.0.1:1",)])
def test_one_process_waits_for_nobody(addresses):
    Cluster(addresses).wait(0)


# --- Shares -------------------------------------------------------------------------


def numbered(count):
    """Returns examples whose input and label are their number."""
    return ArrayExamples(np.arange(count)[:, None], np.arange(count))


@given(count=st.integers(1, 40), workers=st.integers(1, 6), batch=st.integers(1, 9))
@settings(max_examples=8, deadline=None)
def test_every_example_is_in_one_share(count, workers, batch):
    shares = [Share(numbered(count), k, workers) for k in range(workers)]
    labels = np.concatenate([share.labels for share in shares])
    assert sorted(labels) == list(range(count))
    assert list(map(len, shares)) == share_sizes(count, workers)
    read = [
        number
        for share in shares
        for x, y in share.dataset(batch).as_numpy_iterator()
        for number in (*x[:, 0], *y)
    ]
    assert sorted(read) == sorted([*range(count)] * 2)
    assert len({share.fingerprint() for share in shares}) == workers


@pytest.mark.parametrize(
    ("count", "workers", "batch_size", "first"),
    [(35, 2, 12, 0), (23, 3, 12, 1), (4, 4, 4, 0)],
)
def test_totals_are_what_the_shares_give(count, workers, batch_size, first):
    steps = -(-count // batch_size)
    sizes = share_sizes(count, workers)
    read = [
        endless_epochs(
            Share(numbered(count), k, workers),
            steps,
            Order(sizes[k], True, seed=k),
            0,
            first,
        )
        for k in range(workers)
    ]
    batches = tf.data.Dataset.zip((*read, totals(sizes, steps, first)))
    seen = []
    for *parts, total in batches.take(2 * steps - first).as_numpy_iterator():
        assert total == sum(len(y) for _, y in parts)
        assert total <= batch_size + workers
        seen += [number for _, y in parts for number in y]
    # The rest of the first epoch, and a whole one.
    assert sorted(seen[-count:]) == list(range(count))
    assert len(set(seen[:-count])) == len(seen) - count


@given(rows=st.integers(0, 20), count=st.integers(1, 6))
@settings(max_examples=8, deadline=None)
def test_parts_of_a_batch_make_the_batch(rows, count):
    batches = tf.data.Dataset.from_tensors((np.arange(rows), -np.arange(rows)))
    parts = list(in_parts(with_totals(batches), count).as_numpy_iterator())
    assert len(parts) == count
    assert all(total == rows for _, total in parts)
    sizes = [len(x) for (x, _), _ in parts]
    assert max(sizes) - min(sizes) <= 1
    np.testing.assert_array_equal(
        np.concatenate([x for (x, _), _ in parts]), np.arange(rows)
    )
    for (x, y), _ in parts:
        np.testing.assert_array_equal(x, -y)


def test_several_inputs_and_weights_are_cut_alike():
    batch = ({"a": np.arange(7), "b": np.ones((7, 2))}, np.arange(7), np.arange(7.0))
    batches = with_totals(tf.data.Dataset.from_tensors(batch))
    parts = list(in_parts(batches, 3).as_numpy_iterator())
    for (x, y, weights), total in parts:
        assert total == 7
        assert len(x["b"]) == len(y)
        np.testing.assert_array_equal(x["a"], y)
        np.testing.assert_array_equal(weights, y)


def test_parts_are_filled_up_with_rows_of_weight_zero():
    batches = tf.data.Dataset.from_tensor_slices((np.ones((11, 3)), np.ones(11)))
    parts = in_parts(with_totals(batches.batch(4)), 2, size=2)
    (x, y, weights), _, _ = parts.element_spec
    assert (x.shape, y.shape, weights.shape) == ((2, 3), (2,), (2,))
    read = list(parts.as_numpy_iterator())
    assert len(read) == 6
    assert [list(weights) for (_, _, weights), _, _ in read[-2:]] == [[1, 0], [1, 1]]
    for (x, _, weights), total, rows in read:
        np.testing.assert_array_equal(x, 1)
        assert rows == sum(weights)
        assert total in (3, 4)


def test_weights_of_filled_batches_stay():
    batch = ({"a": tf.ones([2, 3])}, tf.ones([2]), tf.constant([0.5, 2.0]))
    x, y, weights = filled(batch, 4)
    assert (x["a"].shape, y.shape) == ((4, 3), (4,))
    assert list(weights.numpy()) == [0.5, 2, 0, 0]


# --- What is refused ----------------------------------------------------------------


class Told(Workers):
    """One of several workers; the others say what they are told to."""

    def __init__(self, *others, index=0):
        self.strategy, self.others = None, others
        self.index, self.count = index, len(others) + 1

    def gather(self, value):
        values = list(self.others)
        values.insert(self.index, json.loads(json.dumps(value)))
        return values


def test_workers_that_are_alike():
    facts = {"Keras": "3", "data": ["abc", 32]}
    Told(facts, facts).check_same(facts)


@pytest.mark.parametrize("index", [0, 1, 2])
def test_what_workers_differ_in_is_named(index):
    facts = [
        {"Keras": "3", "the training data": ["abc", 32], "epochs": 2},
        {"Keras": "3", "the training data": ["abc", 32], "epochs": 2},
        {"Keras": "3.1", "the training data": ["abd", 32], "epochs": 2},
    ]
    mine = facts.pop(index)
    with pytest.raises(WorkerError) as error:
        Told(*facts, index=index).check_same(mine)
    text = str(error.value)
    assert "Keras: '3' on worker 0, '3.1' on worker 2" in text
    assert "the training data: ['abc', 32] on worker 0, ['abd', 32] on worker 2" in text
    assert "worker 1" not in text
    assert "epochs" not in text


def test_a_fact_that_only_some_state():
    with pytest.raises(WorkerError, match="b: None on worker 0, 2 on worker 1"):
        Told({"a": 1, "b": 2}).check_same({"a": 1})


def test_what_all_workers_say():
    assert Told(True, True).all(True)
    assert not Told(True, False).all(True)
    assert not Told(True, True).all(False)


def test_the_chiefs_error_is_every_workers():
    def fail():
        raise OSError("no such folder")

    with pytest.raises(OSError, match="no such folder"):
        Told("").from_chief(fail)
    with pytest.raises(WorkerError, match="The chief stopped. OSError: no such folder"):
        Told("OSError: no such folder", index=1).from_chief(fail)


def test_a_process_alone_asks_nobody():
    alone = Workers()
    assert (alone.index, alone.count, alone.is_chief) == (0, 1, True)
    assert alone.gather({"a": 1}) == [{"a": 1}]
    assert alone.gather_bytes(b"abc") == [b"abc"]
    assert alone.from_chief(lambda: b"abc") == b"abc"
    alone.check_same({"a": 1})


class Together(Workers):
    """One of several workers, each in a thread of its own."""

    def __init__(self, index, barrier, told):
        self.strategy, self.index, self.count = None, index, barrier.parties
        self.barrier, self.told = barrier, told

    def _gathered(self, values):
        self.told[self.index] = values
        self.barrier.wait()
        joined = np.concatenate([self.told[k] for k in range(self.count)])
        self.barrier.wait()
        return joined


@pytest.mark.parametrize(
    "contents", [(b"", b""), (b"abcdefghijk", b""), (b"abc", b"abcdefgh" * 5, b"a" * 8)]
)
def test_bytes_are_exchanged_in_pieces(contents, monkeypatch):
    monkeypatch.setattr("tlkeras.distribution.workers._PIECE", 8)
    barrier, told = threading.Barrier(len(contents)), {}
    workers = [Together(k, barrier, told) for k in range(len(contents))]
    with ThreadPoolExecutor(len(contents)) as pool:
        found = pool.map(Workers.gather_bytes, workers, contents)
    assert list(found) == [list(contents)] * len(contents)


class TwoReplicas:
    """What `ReplicatedModel` asks of `Replicas` before it trains."""

    strategy = tf.distribute.OneDeviceStrategy("CPU:0")
    is_static, count = False, 2


def small_model():
    inputs = keras.Input((2,))
    return keras.Model(inputs, keras.layers.Dense(1)(inputs))


@pytest.mark.parametrize(
    "loss",
    [
        keras.losses.MeanSquaredError(reduction="sum"),
        [keras.losses.MeanSquaredError(reduction="none")],
        keras.losses.MeanSquaredError(reduction="mean_with_sample_weight"),
    ],
)
def test_losses_that_do_not_average_are_refused(loss):
    model = ReplicatedModel(small_model(), TwoReplicas())
    with pytest.raises(ValueError, match="must average.*'mean_squared_error'"):
        model.compile("sgd", loss)


def test_accumulated_gradients_are_refused():
    optimizer = keras.optimizers.SGD(gradient_accumulation_steps=2)
    model = ReplicatedModel(small_model(), TwoReplicas())
    with pytest.raises(ValueError, match="accumulate.*gradient_accumulation_steps=2"):
        model.compile(optimizer, "mse")
    with pytest.raises(ValueError, match="accumulate"):
        model.compile(keras.optimizers.LossScaleOptimizer(optimizer), "mse")


def test_weighted_metrics_are_refused_where_batches_are_filled_up():
    replicas = TwoReplicas()
    replicas.is_static = True
    model = ReplicatedModel(small_model(), replicas)
    model.compile("sgd", "mse", metrics=["mae"])
    with pytest.raises(ValueError, match="weighted_metrics.*'mae'"):
        model.compile("sgd", "mse", weighted_metrics=["mae"])


@pytest.mark.parametrize(
    "loss", ["mse", keras.losses.MeanSquaredError(), lambda y, p: (y - p) ** 2]
)
def test_losses_that_average_are_taken(loss):
    ReplicatedModel(small_model(), TwoReplicas()).compile("sgd", loss)


def test_losses_of_heads_that_are_no_objects_are_left_to_keras():
    inputs = keras.Input((2,))
    outputs = {name: keras.layers.Dense(1)(inputs) for name in "abc"}
    losses = {"a": "mse", "b": keras.losses.MeanSquaredError(), "c": lambda y, p: y - p}
    model = ReplicatedModel(keras.Model(inputs, outputs), TwoReplicas())
    model.compile("sgd", losses)
    assert model.heads == ["b"]
    assert [metric.name for metric in model.head_means] == ["b_loss"]


class Feeding(Feeder):
    """A feeder with readings, before it shares them out."""

    def __init__(self, replicas, *readings):
        self.replicas, self.verbose = replicas, 1
        self.readings = list(readings)
        self.job = SimpleNamespace(train=1, val=None)


def replicas_of(workers, count):
    replicas = Replicas(small_model())
    replicas.workers, replicas.count = workers, count
    replicas.strategy = TwoReplicas.strategy
    return replicas


def test_a_batch_smaller_than_the_replicas_is_refused():
    reading = Reading(numbered(9), batch_size=3, shuffled=True, seed=0)
    feeding = Feeding(replicas_of(Workers(), 4), reading, None)
    with pytest.raises(ValueError, match="3 examples cannot be split over 4.*=128"):
        feeding._share_out()


def test_datasets_of_ones_own_are_refused_where_there_are_several_workers():
    feeding = Feeding(replicas_of(Told(1), 2), None, None)
    with pytest.raises(ValueError, match="cannot be shared out.*tl.from_arrays"):
        feeding._share_out()


def test_data_read_in_order_are_shared_out_by_their_cache_alone():
    feeding = Feeding(replicas_of(Told(1), 2), None, None)
    with pytest.raises(ValueError, match="only where the features are cached"):
        feeding._unknown(0)


@pytest.mark.parametrize(
    ("count", "batch_size"),
    # A worker without examples; one with less examples than there are steps.
    [(1, 4), (5, 2)],
)
def test_too_few_examples_for_all_workers_are_refused(count, batch_size):
    reading = Reading(numbered(count), batch_size, shuffled=True, seed=0)
    feeding = Feeding(replicas_of(Told(1), 2), reading, None)
    with pytest.raises(ValueError, match=f"{count} examples.*2 workers"):
        feeding._share_out()


def test_each_worker_reads_its_share(capsys):
    reading = Reading(numbered(9), batch_size=4, shuffled=True, seed=0)
    feeding = Feeding(replicas_of(Told(1, index=1), 2), reading, None)
    feeding._share_out()
    assert list(feeding.readings[0].examples.labels) == [1, 3, 5, 7]
    assert "2 for each of 2 replica(s) on 2 worker(s)" in capsys.readouterr().out


# --- Two replicas -------------------------------------------------------------------

CASES = (
    "cached",
    "uncached",
    "static_uncached",
    "several_heads",
    "saved_file",
    "clipped_averaged_and_by_depth_of_a_multi_label_flatten_head",
    "class_weight_weighted_metrics_and_regularizer",
    "own_loss_and_callbacks",
    "mixed_float16",
    "pulled_to_pretrained_and_balanced",
    "texts",
    "regression_on_own_dataset",
    "several_heads_evaluated",
    "resumed",
    "learning_rate_range",
)
# Sums in another order, rounded to 11 bits.
TOLERANCE = {"mixed_float16": 2e-3}
# Weights of a solved head, of size 10, of features that differ in the last bits.
TOLERANCE["texts"] = 1e-3


def run_replicas(names):
    """Trains the named cases in one process; returns what each came to."""
    here = Path(__file__).parent
    paths = [str(here.parent), str(here), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [sys.executable, here / "replicas_script.py", *names],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        timeout=3000,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def results():
    return run_replicas(CASES)


def check_alike(name, result):
    assert "error" not in result, result["error"]
    tolerance = TOLERANCE.get(name, 1e-5)
    assert result["moved"] > max(1e-3, 2 * tolerance), result
    assert result["difference"] < tolerance, result
    assert result["history"] < 10 * tolerance, result
    return result


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_two_replicas_train_as_one_device(results, name):
    result = check_alike(name, results[name])
    if name == "cached":
        assert {"loss", "accuracy", "val_loss", "val_accuracy"} <= {*result["logged"]}
    if name == "own_loss_and_callbacks":
        # Each phase stops after its second epoch.
        assert result["epochs"] == [4, 4]
    if name == "resumed":
        assert result["stops"] == 2
    if name == "saved_file":
        assert result["replicas"] == 1
    if name == "learning_rate_range":
        assert result["unchanged"] == 0
