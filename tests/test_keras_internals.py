"""Fails when a private Keras attribute that `tlkeras._keras` reads has changed."""

import keras
import numpy as np
from helpers import tiny_backbone, with_head

from tlkeras import _keras


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
