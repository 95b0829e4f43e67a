"""`configure`: what it chooses, what it says, what it refuses."""

import json

import keras
import numpy as np
import pytest
from helpers import tiny_backbone

import tlkeras as tl
from tlkeras import runtime


@pytest.fixture(autouse=True)
def _forget_configuration(monkeypatch):
    monkeypatch.setattr(runtime, "_configured", None)


def test_import_configures_nothing():
    assert tl.current_runtime().reasons["precision"].startswith("Keras' global policy")


def test_a_cpu_gets_no_strategy_and_is_told_why(capsys):
    chosen = tl.configure(seed=3)
    assert (chosen.precision, chosen.strategy, chosen.seed) == ("auto", None, 3)
    assert keras.config.dtype_policy().name == "float32"
    assert chosen.replicas == 1
    printed = capsys.readouterr().out
    assert "as measured for each backbone" in printed
    assert tl.current_runtime() is chosen


def test_a_seed_makes_models_repeat(capsys):
    drawn = []
    for _ in range(2):
        tl.configure(seed=5)
        drawn.append(np.array(keras.random.normal((3,))))
    np.testing.assert_array_equal(*drawn)


def test_precision_is_the_global_policy(capsys):
    tl.configure(precision="mixed_bfloat16")
    assert keras.config.dtype_policy().name == "mixed_bfloat16"


@pytest.mark.parametrize(
    ("capabilities", "strategy", "expected"),
    [
        ([(7, 0)], None, "mixed_float16"),
        ([(9, 0), (6, 1)], None, "float32"),
        ([], None, "auto"),
        ([], type("TPUStrategy", (), {})(), "mixed_bfloat16"),
    ],
)
def test_precision_follows_the_hardware(monkeypatch, capabilities, strategy, expected):
    monkeypatch.setattr(runtime, "_gpu_capabilities", lambda: capabilities)
    assert runtime._choose_precision("auto", strategy)[0] == expected


def test_a_strategy_object_is_taken_and_models_are_built_under_it(capsys):
    import tensorflow as tf

    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    chosen = tl.configure(strategy=strategy)
    assert chosen.strategy is strategy
    with chosen.scope():
        assert tf.distribute.get_strategy() is strategy


def test_workers_are_found_in_tf_config(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert not runtime._several_workers()
    cluster = {"cluster": {"worker": ["a:1", "b:1"]}}
    task = {"task": {"type": "worker", "index": 1}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(cluster | task))
    assert runtime._several_workers()
    monkeypatch.setenv("TF_CONFIG", json.dumps(cluster))
    with pytest.raises(ValueError, match="TF_CONFIG must look like"):
        tl.configure()


@pytest.mark.parametrize(
    ("devices", "said"),
    [([], "off (slow on CPUs"), (["GPU"], "auto (tried where a phase is long")],
)
def test_no_xla_unless_asked(monkeypatch, capsys, devices, said):
    """Keras' "auto" has it on GPUs, where a step compiles for half a minute."""
    monkeypatch.setattr(runtime, "_accelerators", lambda: devices)
    monkeypatch.setattr(runtime, "_describe_devices", lambda: "made up")
    assert runtime.jit_compile() is False
    tl.configure(precision="float32", strategy="none")
    assert f"XLA: {said}" in capsys.readouterr().out
    tl.configure(precision="float32", strategy="none", xla=True)
    assert "XLA: on (as asked)" in capsys.readouterr().out
    model = tl.image_classifier(tiny_backbone(), 2)
    assert model.jit_compile is True


def test_bad_arguments(monkeypatch):
    with pytest.raises(ValueError, match="Did you mean 'mixed_float16'"):
        tl.configure(precision="mixed_flot16")
    with pytest.raises(ValueError, match="strategy"):
        tl.configure(strategy="many")
    with pytest.raises(ValueError, match="tf.distribute.Strategy"):
        tl.configure(strategy=3)
    with pytest.raises(ValueError, match="seed"):
        tl.configure(seed=-1)
    with pytest.raises(ValueError, match="`xla` must be one of"):
        tl.configure(xla="on")
    with pytest.raises(ValueError, match="for one device.*MirroredStrategy"):
        tl.configure(strategy="mirrored", xla=True)
    monkeypatch.setattr(runtime, "_find_tpu", lambda: None)
    with pytest.raises(RuntimeError, match="found no TPU"):
        tl.configure(strategy="tpu")
    assert runtime._configured is None
