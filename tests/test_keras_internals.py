"""Fails when a private Keras attribute that `tlkeras._keras` reads has changed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from helpers import tiny_backbone, with_head

from tlkeras import _keras

pytestmark = pytest.mark.contract


def test_graph_nodes_come_after_their_inputs():
    model = tiny_backbone()
    seen = {id(tensor) for tensor in model.inputs}
    nodes = _keras.graph_nodes(model)
    for node in nodes:
        assert all(id(tensor) in seen for tensor in node.input_tensors)
        seen.update(id(tensor) for tensor in node.outputs)
    assert all(id(tensor) in seen for tensor in model.outputs)
    assert len(nodes) == len(model.layers) - 1


def test_graph_nodes_of_a_sequential_model():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    assert [node.operation.units for node in _keras.graph_nodes(model)] == [3]


def test_call_again_rebuilds_the_same_function():
    model = tiny_backbone()
    inputs = keras.Input(model.input_shape[1:])
    values = {id(model.inputs[0]): inputs}
    _keras.call_again(_keras.graph_nodes(model), values)
    again = keras.Model(inputs, values[id(model.outputs[0])])
    x = np.random.default_rng(0).uniform(0, 255, (2, 16, 16, 3))
    np.testing.assert_array_equal(again(x), model(x))


def test_sublayers_reach_inside_composite_layers():
    inner = keras.layers.Dense(2)
    outer = keras.layers.TimeDistributed(inner)
    model = keras.Sequential([keras.Input((3, 2)), outer])
    assert inner in _keras.sublayers(model)


def test_compile_arguments_are_what_was_given():
    def own_loss(y_true, y_pred):
        return keras.ops.mean(y_pred - y_true)

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    assert _keras.compile_arguments(model) == {}
    model.compile("sgd", own_loss, metrics=["mae"])
    arguments = _keras.compile_arguments(model)
    assert arguments["loss"] is own_loss
    assert arguments["metrics"] == ["mae"]
    assert isinstance(arguments["optimizer"], keras.optimizers.SGD)


def test_training_true_still_overrides_a_baked_training_false():
    """The reason for `features.Frozen`; when this fails, it may no longer be needed."""
    backbone = tiny_backbone()
    inputs = keras.Input((16, 16, 3))
    model = keras.Model(inputs, backbone(inputs, training=False))
    x = np.random.default_rng(0).uniform(0, 255, (2, 16, 16, 3))
    inference, training = model(x, training=False), model(x, training=True)
    assert np.abs(np.subtract(inference, training)).max() > 1e-3


def test_trainable_true_still_does_not_reach_inside_a_partly_frozen_model():
    """The reason for `freezing.set_trainable`; see there."""
    model = with_head(tiny_backbone()).layers[1]
    model.layers[1].trainable = False
    model.trainable = True
    assert not model.layers[1].trainable


def test_metrics_are_built_without_a_step():
    inputs = keras.Input((2,))
    model = keras.Model(inputs, keras.layers.Dense(1)(inputs))
    model.compile("sgd", "mse", metrics=["mae"])
    weights = model.get_weights()
    batch = np.ones((3, 2), "float32"), np.ones((3, 1), "float32")
    assert len(model.metrics_variables) == 2
    _keras.build_for(model, batch)
    assert len(model.metrics_variables) == 4
    for before, after in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


def test_an_optimizer_sums_gradients_over_replicas_unless_told_not_to(monkeypatch):
    import tensorflow as tf

    summed = []
    plain = keras.optimizers.SGD._all_reduce_sum_gradients

    def noted(self, grads_and_vars):
        summed.append(self)
        return plain(self, grads_and_vars)

    monkeypatch.setattr(keras.optimizers.SGD, "_all_reduce_sum_gradients", noted)
    strategy = tf.distribute.OneDeviceStrategy("CPU:0")
    with strategy.scope():
        variable = keras.Variable([1.0])
        optimizer = keras.optimizers.SGD(1.0)
        optimizer.build([variable])

    def step():
        optimizer.apply_gradients([(tf.constant([0.25]), variable)])

    strategy.run(step)
    assert len(summed) == 1
    scaled = keras.optimizers.LossScaleOptimizer(optimizer)
    with _keras.gradients_are_summed(scaled):
        strategy.run(step)
    assert len(summed) == 1
    strategy.run(step)
    assert len(summed) == 2
    np.testing.assert_allclose(variable, [0.25])


@pytest.mark.slow
def test_plain_keras_still_cannot_do_with_uneven_parts():
    """A reason for `distribution.replicated`; when this fails, it may be over."""
    here = Path(__file__).parent
    paths = [str(here.parent), str(here), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [sys.executable, here / "replicas_script.py", "plain_keras"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    result = json.loads(done.stdout.splitlines()[-1])["plain_keras"]
    # In Keras 3.15 it fails to add the parts up.
    assert "must have the same size" in result.get("error", "") or (
        result["difference"] > 1e-3
    )


def test_the_loss_tracker_is_the_first_metric():
    model = with_head(tiny_backbone())
    assert _keras.loss_tracker(model) is model.metrics[0]
    assert model.metrics[0].name == "loss"
