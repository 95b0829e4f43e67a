"""Settings for the whole suite: quiet TensorFlow, no downloads, fixed seeds."""

import gc
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("MPLBACKEND", "Agg")

import keras
import pytest

# Files whose tests share what takes long to start or to train: with `--dist loadgroup`
# one process runs all of such a file, and the other tests go wherever there is time.
TOGETHER = {
    "test_deploying",
    "test_distribution",
    "test_explain",
    "test_lora",
    "test_new_input",
    "test_predict_command",
    "test_quantize",
    "test_real",
    "test_workers",
}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Groups tests before pytest-xdist reads the groups."""
    for item in items:
        if item.path.stem in TOGETHER:
            item.add_marker(pytest.mark.xdist_group(item.path.stem))


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    """Each test has a cache folder of its own, never the user's."""
    monkeypatch.setenv("TLKERAS_CACHE", str(tmp_path / "tlkeras-cache"))


@pytest.fixture(autouse=True)
def _fresh_keras_state():
    """Each test starts with seed 0, the float32 policy and Keras' names from 0."""
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy("float32")
    yield
    keras.config.set_dtype_policy("float32")


@pytest.fixture(autouse=True, scope="module")
def _small_heap():
    """Keeps the collector of garbage from what TensorFlow holds on to for good.

    After hundreds of traced functions it took 10 seconds to look through them once.
    """
    yield
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _no_figures_left():
    """Each test starts without open figures, whatever the one before has drawn."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")
