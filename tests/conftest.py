"""Settings for the whole suite: quiet TensorFlow, no downloads, fixed seeds."""

import gc
import os
import sys
from unittest import mock

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("MPLBACKEND", "Agg")
# The suite runs in a process per core: more threads would only wait for each other.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")

import pytest

# Files that take longest, which begin first: with `--dist loadfile
# --no-loadscope-reorder` no core then waits for the other at the end.
LONGEST = (
    "test_notebooks",
    "test_distribution",
    "test_workers",
    "test_real",
    "test_quickstart",
    "test_prune",
    "test_explain",
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Puts the files that take longest first; the others stay as they are."""
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    """Each test has a cache folder of its own, never the user's."""
    monkeypatch.setenv("TLKERAS_CACHE", str(tmp_path / "tlkeras-cache"))


@pytest.fixture(autouse=True)
def _fresh_keras_state():
    """Each test starts with seed 0, the float32 policy and Keras' names from 0."""
    # Not above: the process that deals tests out to others does without.
    import keras
    from tensorflow.python.eager import context

    # Both would have TensorFlow forget its kernels, and prepare those of functions that
    # are traced once for many tests (decoders, tokenizers) anew for each of them. There
    # is no public way round it.
    with mock.patch.object(context.context(), "_context_handle", None):
        keras.utils.clear_session(free_memory=False)
        keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy("float32")
    yield
    keras.config.set_dtype_policy("float32")


@pytest.fixture(autouse=True, scope="module")
def _small_heap():
    """Keeps the collector of garbage from what TensorFlow holds on to for good.

    After hundreds of traced functions it took 10 seconds to look through them once;
    while a function is traced it looks a hundred times at what is all in use.
    """
    gc.set_threshold(100_000, 50, 1000)
    yield
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _no_figures_left():
    """Each test starts without open figures, whatever the one before has drawn."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")
