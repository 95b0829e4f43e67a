"""Whether tlkeras is right on a card: each check prints what it found and `ok` or not.

    python tests/benchmarks/gpu_checks.py
    python tests/benchmarks/gpu_checks.py cached_equals_uncached    # one of them

Small networks, generated pictures, under a minute each where XLA does not compile. What
needs a GPU is left out without one, and said. Each check runs in a process of its own.
Only those that need none have been run so far, on a CPU.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import keras
import numpy as np
import tensorflow as tf
from helpers import solid_colours, tiny_backbone

import tlkeras as tl

GPUS = tf.config.list_physical_devices("GPU")
X, Y = solid_colours(75, 3, seed=1)
VAL = solid_colours(21, 3, seed=2)
CHECKS = {}


def check(run):
    CHECKS[run.__name__] = run
    return run


def needs_gpu(run):
    run.needs_gpu = True
    return check(run)


def quiet_backbone() -> keras.Model:
    """Returns one without dropout, whose random numbers depend on the device."""
    backbone = tiny_backbone()
    for layer in backbone.layers:
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0
    return backbone


def trained(**arguments):
    """Returns the history and the model of a run of both phases."""
    keras.utils.set_random_seed(0)
    with tl.current_runtime().scope():
        backbone = quiet_backbone()
    model = tl.image_classifier(backbone, 3)
    settings = {"head_epochs": 2, "epochs": 2, "cache": "memory", **arguments}
    recipe = tl.Recipe(head="gradient", keep="last", batch_size=16)
    history = tl.fine_tune(
        model, (X, Y), VAL, unfreeze_from="block2", recipe=recipe, verbose=0, **settings
    )
    return history, model


def gap(one, two) -> float:
    """Returns the largest difference of two runs' histories and weights."""
    (history, model), (other, other_model) = one, two
    weights = zip(model.get_weights(), other_model.get_weights(), strict=True)
    return max(
        *(float(np.abs(a - b).max()) for a, b in weights),
        *(
            float(np.abs(np.subtract(values, other.history[name])).max())
            for name, values in history.history.items()
        ),
    )


@check
def cached_equals_uncached() -> tuple[float, float]:
    tl.configure(precision="float32", strategy="none", seed=0)
    return gap(trained(), trained(cache=False)), 1e-4


@check
def xla_equals_none() -> tuple[float, float]:
    """Batches of 15 that are filled up to one shape."""
    runs = []
    for xla in (False, True):
        tl.configure(precision="float32", strategy="none", seed=0, xla=xla)
        runs.append(trained())
    return gap(*runs), 1e-4


@needs_gpu
def cpu_and_gpu_agree_on_features() -> tuple[float, float]:
    keras.config.set_dtype_policy("float32")
    # Products of TensorFloat-32 have 10 bits.
    tf.config.experimental.enable_tensor_float_32_execution(False)
    keras.utils.set_random_seed(0)
    backbone = keras.applications.MobileNetV2(
        weights=None, include_top=False, input_shape=(96, 96, 3)
    )
    x = np.random.default_rng(0).normal(size=(8, 96, 96, 3)).astype("float32")
    found = []
    for device in ("CPU:0", "GPU:0"):
        with tf.device(device):
            found.append(np.asarray(backbone(x, training=False)))
    return float(np.abs(found[0] - found[1]).max() / np.abs(found[0]).max()), 1e-3


def two_logical(kind: str) -> None:
    limit = {"memory_limit": 4096} if kind == "GPU" else {}
    device = tf.config.list_physical_devices(kind)[0]
    parts = [tf.config.LogicalDeviceConfiguration(**limit) for _ in range(2)]
    tf.config.set_logical_device_configuration(device, parts)


@check
def two_devices_equal_one() -> tuple[float, float]:
    """Two logical GPUs of one card; two logical CPUs without one."""
    kind = "GPU" if GPUS else "CPU"
    two_logical(kind)
    tl.configure(precision="float32", strategy="none", seed=0)
    one = trained()
    devices = [f"{kind}:0", f"{kind}:1"]
    # NCCL takes a device once; logical ones share it.
    reduction = tf.distribute.HierarchicalCopyAllReduce()
    strategy = tf.distribute.MirroredStrategy(devices, cross_device_ops=reduction)
    tl.configure(precision="float32", strategy=strategy, seed=0)
    return gap(one, trained()), 1e-4


@needs_gpu
def a_file_of_float16_gives_the_same_classes_on_a_cpu() -> tuple[float, float]:
    tl.configure(precision="mixed_float16", strategy="none", seed=0)
    _, model = trained()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.keras")
        model.save(path)
        np.save(Path(folder, "x.npy"), VAL[0])
        script = (
            "import sys, numpy as np, tlkeras as tl\n"
            "model = tl.load(sys.argv[1])\n"
            "outputs = model.predict(np.load(sys.argv[2]), verbose=0)\n"
            "np.save(sys.argv[3], outputs)\n"
        )
        names = [path, Path(folder, "x.npy"), Path(folder, "outputs.npy")]
        subprocess.run(
            [sys.executable, "-c", script, *map(str, names)],
            check=True,
            env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
        )
        elsewhere = np.load(names[2])
    here = model.predict(VAL[0], verbose=0)
    return float((here.argmax(1) != elsewhere.argmax(1)).mean()), 0.0


class Stops(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        if epoch == 2:
            raise KeyboardInterrupt


@check
def a_resumed_run_is_equal_where_determinism_is_on() -> tuple[float, float]:
    tf.config.experimental.enable_op_determinism()
    tl.configure(precision="float32", strategy="none", seed=0)
    with tempfile.TemporaryDirectory() as folder:
        whole = trained(checkpoint_dir=Path(folder, "whole"))
        cut = Path(folder, "cut")
        try:
            trained(checkpoint_dir=cut, callbacks=[Stops()])
        except KeyboardInterrupt:
            pass
        else:
            raise AssertionError("nothing was interrupted")
        # Callbacks are part of what a run was asked for: it goes on with the same.
        Stops.on_epoch_end = keras.callbacks.Callback.on_epoch_end
        return gap(whole, trained(checkpoint_dir=cut, callbacks=[Stops()])), 0.0


@needs_gpu
def too_large_a_batch_is_named() -> tuple[float, float]:
    """A card of 1 GB, and a batch that would take many."""
    limit = tf.config.LogicalDeviceConfiguration(memory_limit=1024)
    tf.config.set_logical_device_configuration(GPUS[0], [limit])
    tl.configure(precision="float32", strategy="none", seed=0)
    x = np.zeros((512, 224, 224, 3), "uint8")
    y = np.arange(512) % 2
    backbone = keras.applications.VGG16(
        weights=None, include_top=False, input_shape=(224, 224, 3)
    )
    model = tl.image_classifier(backbone, 2)
    settings = {"head_epochs": 0, "epochs": 1, "unfreeze_from": 0, "verbose": 0}
    try:
        tl.fine_tune(model, (x, y), recipe=tl.Recipe(batch_size=512), **settings)
    except MemoryError as error:
        print(f"    {error}")
        return float("batch_size=512" not in str(error)), 0.0
    return 1.0, 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", choices=[*CHECKS, []], metavar="check")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.here:
        found, allowed = CHECKS[args.names[0]]()
        print(f"    difference {found:.3g}, allowed {allowed:g}")
        sys.exit(not found <= allowed)
    tl.report_environment()
    failed = 0
    for name in args.names or CHECKS:
        if getattr(CHECKS[name], "needs_gpu", False) and not GPUS:
            print(f"{name}: left out, there is no GPU")
            continue
        print(name, flush=True)
        done = subprocess.run([sys.executable, __file__, name, "--here"], timeout=600)
        failed += done.returncode != 0
        print(f"{name}: {'FAILED' if done.returncode else 'ok'}", flush=True)
    sys.exit(failed != 0)


if __name__ == "__main__":
    main()
