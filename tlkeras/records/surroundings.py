"""Where and with what a model was built or trained: versions, hardware, date."""

import datetime
import os
import platform
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import keras

from tlkeras._version import __version__
from tlkeras.runtime import current_runtime

_PACKAGES = ("keras", "tensorflow", "keras-hub", "numpy")


@dataclass(frozen=True)
class Surroundings:
    """Versions, hardware and date.

    Attributes:
        date: In UTC, to the second, in ISO 8601.
        versions: From each package, and Python, to its version.
        devices: Such as `"2 CPU cores"` or `"1 GPU"`.
        processor: The processor's name, with GPUs' names where there are some.
        strategy: Class of the `tf.distribute` strategy, `None` without one.
        replicas: Copies of the model that train in step.
    """

    date: str
    versions: dict[str, str]
    devices: str
    processor: str
    strategy: str | None
    replicas: int

    def __str__(self) -> str:
        packages = ", ".join(f"{name} {found}" for name, found in self.versions.items())
        several = f", {self.strategy} with {self.replicas} replica(s)" * bool(
            self.strategy
        )
        processor = f" ({self.processor})" if self.processor else ""
        return f"{self.devices}{processor}{several}; {packages}"


def surroundings() -> Surroundings:
    """Returns what is known of this process."""
    runtime = current_runtime()
    strategy = runtime.strategy
    now = datetime.datetime.now(datetime.UTC)
    return Surroundings(
        date=now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        versions=_versions(),
        devices=runtime.devices,
        processor=", ".join(filter(None, [_processor(), *_gpus()])),
        strategy=None if strategy is None else type(strategy).__name__,
        replicas=runtime.replicas,
    )


def _versions() -> dict[str, str]:
    found = {"tlkeras": __version__}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {**found, "python": platform.python_version()}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [x.partition(":")[2].strip() for x in lines if x.startswith("model name")]
    return names[0] if names else f"{platform.machine()}, {os.cpu_count()} cores"


def _gpus() -> list[Any]:
    if keras.backend.backend() != "tensorflow":
        return []
    import tensorflow as tf

    details = map(
        tf.config.experimental.get_device_details,
        tf.config.list_physical_devices("GPU"),
    )
    return [detail.get("device_name") for detail in details]
