"""What an issue needs to say of where tlkeras runs, without anything private."""

import os
import platform
from importlib import metadata

from tlkeras import cache
from tlkeras._memory import free_memory
from tlkeras.runtime import current_runtime, device_names

_PACKAGES = (
    *("tlkeras", "tensorflow", "keras", "keras-hub", "tensorflow-text"),
    *("numpy", "scipy", "pandas", "scikit-learn", "matplotlib", "pillow", "h5py"),
    *("protobuf", "ml-dtypes", "psutil", "filelock"),
    *("keras-cv", "tensorflow-datasets", "onnx", "tf2onnx", "ai-edge-litert"),
)
# Variables that change how things run. Their values may be paths or addresses.
_PREFIXES = ("TLKERAS_", "TF_", "XLA_", "KERAS_", "CUDA_VISIBLE_", "OMP_NUM_")


def report_environment() -> dict[str, str]:
    """Prints what an issue about tlkeras needs to say of where it happened.

    Names of folders, hosts and users are not in it, nor values of environment
    variables: paste it as it is.

    Returns:
        The same, from what it is about to text: `"system"`, `"packages"`, `"devices"`,
        `"configuration"`, `"cache"` and `"environment variables"`.

    Example:

    >>> found = tl.report_environment()
    system: ...
    >>> found["packages"].startswith("tlkeras ")
    True
    """
    found = {
        "system": _system(),
        "packages": ", ".join(filter(None, map(_version, _PACKAGES))),
        "devices": ", ".join(device_names()) or "no GPU or TPU",
        "configuration": _configuration(),
        "cache": _cache(),
        "environment variables": ", ".join(
            sorted(name for name in os.environ if name.startswith(_PREFIXES))
        )
        or "none of those that matter",
    }
    print("\n".join(f"{about}: {text}" for about, text in found.items()))
    return found


def _system() -> str:
    return (
        f"Python {platform.python_version()}, {platform.system()} "
        f"{platform.machine()}, {os.cpu_count()} CPU cores, "
        f"{cache.readable(free_memory())} of memory free"
    )


def _version(package: str) -> str | None:
    try:
        return f"{package} {metadata.version(package)}"
    except metadata.PackageNotFoundError:
        return None


def _configuration() -> str:
    """Returns the runtime's choices on one line."""
    lines = str(current_runtime()).splitlines()[1:]
    return "; ".join(line.strip() for line in lines)


def _cache() -> str:
    found = cache.cache_info()
    return (
        f"{len(found.entries)} entries, {cache.readable(found.size)} of "
        f"{cache.readable(found.budget)}"
    )
