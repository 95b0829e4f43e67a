"""Which precision runs a backbone faster on this CPU: measured once, remembered."""

import contextlib
import functools
import hashlib
import json
import platform
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tlkeras import cache as disk
from tlkeras._files import write_whole
from tlkeras.features.extraction import inference_function
from tlkeras.features.fingerprints import versions

CANDIDATES = ("float32", "mixed_bfloat16")
_BATCH = 8
# A candidate runs at least twice, and until this much time has gone.
_SECONDS = 0.5


@contextlib.contextmanager
def dtype_policy(name: str) -> Iterator[None]:
    """Builds what is inside under a dtype policy, and puts the global one back."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def faster_precision(name: str, build: Callable[[], keras.Model]) -> str:
    """Returns the precision that a backbone runs fastest in on this CPU.

    bfloat16 is several times faster where the processor multiplies it in hardware and
    the backbone is made of large convolutions or matrix products; where it is not, or
    the backbone is made of depthwise convolutions, it is slower. So both are timed on
    one batch. The answer is kept in the cache folder.

    Args:
        name: What distinguishes the backbone from others: name and input shape.
        build: Builds the backbone under the global dtype policy; random weights do.

    Returns:
        `"float32"` or `"mixed_bfloat16"`.
    """
    path = _remembered_in(name)
    known = _read(path)
    if known is not None:
        return known["precision"]
    rates = {}
    for policy in CANDIDATES:
        with dtype_policy(policy):
            rates[policy] = examples_per_second(build())
    slower, best = sorted(rates, key=rates.get)
    _remember(path, {"precision": best, "backbone": name, "examples_per_second": rates})
    print(
        f"Precision: {best} for {name}, {rates[best] / rates[slower]:.1f} times as "
        f"fast as {slower} on this CPU ({rates[best]:.3g} against "
        f"{rates[slower]:.3g} examples/s; measured once)."
    )
    return best


def examples_per_second(model: keras.Model) -> float:
    """Times a model's forward pass on batches of zeros."""
    run = inference_function(model)
    batch = keras.tree.map_structure(
        lambda x: np.zeros((_BATCH, *(dim or 128 for dim in x.shape[1:])), x.dtype),
        model.input,
    )
    _wait_for(run(batch))
    began, best, runs = time.perf_counter(), float("inf"), 0
    while runs < 2 or time.perf_counter() - began < _SECONDS:
        start = time.perf_counter()
        _wait_for(run(batch))
        best, runs = min(best, time.perf_counter() - start), runs + 1
    return _BATCH / best


def _wait_for(outputs: Any) -> None:
    for output in keras.tree.flatten(outputs):
        keras.ops.convert_to_numpy(output)


def _remembered_in(name: str) -> Path:
    about = json.dumps([name, versions(), _processor()])
    key = hashlib.sha256(about.encode()).hexdigest()[:32]
    return disk.cache_folder() / "precision" / f"{key}.json"


def _read(path: Path) -> dict | None:
    try:
        known = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return known if known.get("precision") in CANDIDATES else None


def _remember(path: Path, answer: dict) -> None:
    # Without a cache folder the next run measures again.
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps(answer))


@functools.cache
def _processor() -> list[str]:
    """Returns the processor's name and what it can do."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return [platform.processor()]
    return sorted({x for x in lines if x.startswith(("model name", "flags"))})
