"""Model files: written whole or not at all, looked at before they are read."""

import json
import os
import re
import warnings
import zipfile
import zlib
from collections.abc import Callable, Container, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras

from tlkeras._files import written_whole
from tlkeras.runtime import current_runtime

# Where Keras finds what a file names.
_PACKAGES = ("builtins", "keras", "keras_cv", "keras_hub", "tensorflow", "tlkeras")


def load(
    path: str | Path,
    *,
    custom_objects: Mapping[str, Any] | None = None,
    compile: bool = True,
    safe_mode: bool = True,
) -> keras.Model:
    """Loads a model from the one file that `model.save` wrote.

    Args:
        path: A `.keras` file, or the folder that `model.save(zipped=False)` wrote.
        custom_objects: From names to layers, losses and other classes and functions of
            your own, which the file has by their names alone.
        compile: Whether the model is compiled as it was, with its optimizer.
        safe_mode: `False` lets the file bring code of its own, that of a `Lambda`
            layer: only where you trust whoever made it.

    Returns:
        The model as it was saved: weights, head, preprocessing, class names, freeze
        point and optimizer; under the strategy that `tl.configure` chose.

    Raises:
        ValueError: If there is no such file, it is damaged or no Keras model, or code
            that it needs is not given.

    Example:

    >>> tl.image_classifier("glyphnet", ["a", "b"]).save("glyphs.keras")
    >>> tl.load("glyphs.keras").class_names
    ('a', 'b')
    """
    path = Path(path)
    if not (path / "config.json").is_file():
        _check_file(path)
    try:
        with current_runtime().scope():
            return keras.models.load_model(
                path,
                custom_objects=None if custom_objects is None else {**custom_objects},
                compile=compile,
                safe_mode=safe_mode,
            )
    except (OSError, zipfile.BadZipFile, json.JSONDecodeError) as error:
        raise _damaged(path, str(error)) from error
    except (TypeError, ValueError) as error:
        reason = _missing_code(path, str(error), custom_objects or ())
        if reason is None:
            raise
        # Keras' own message repeats the whole configuration.
        raise ValueError(reason) from None


def save_whole(write: Callable[[Path], Any], path: str | os.PathLike) -> None:
    """Writes a model file that appears under its name only when it is complete.

    Args:
        write: Writes the model to the path that it is given.
        path: The final name, which ends in `.keras`. Where writing fails, an earlier
            file of that name stays as it was.

    Raises:
        ValueError: If `path` is a folder or cannot be written to.
    """
    final = Path(os.path.realpath(path))
    try:
        if final.is_dir():
            raise IsADirectoryError("there is a folder of that name")
        with written_whole(final) as unfinished:
            write(unfinished)
    except OSError as error:
        reason = f"there is no folder {str(final.parent)!r}"
        raise ValueError(
            f"The model cannot be saved to {os.fspath(path)!r}: "
            f"{error if final.parent.is_dir() else reason}. The path must name a file "
            "in a folder that exists and can be written to."
        ) from error


def warn_of_foreign_code(path: str | os.PathLike) -> None:
    """Warns where a model's file needs code that is not in it to be loaded.

    Args:
        path: The file, or the folder, that was written.
    """
    names, lambdas = _foreign_code(_config_of(Path(path)))
    if not names and not lambdas:
        return
    parts = []
    if names:
        parts.append(
            f"{', '.join(map(repr, names))}, code that is not in the file: hand it to "
            f"tl.load with `custom_objects={_example(names)}`, or decorate it with "
            "`@keras.saving.register_keras_serializable()` and import it before loading"
        )
    if lambdas:
        parts.append(
            f"the Lambda layer {', '.join(map(repr, lambdas))}, which comes back with "
            "`tl.load(..., safe_mode=False)` alone, and only with the same version of "
            "Python: a layer of your own with a name does better"
        )
    warnings.warn(
        f"The model saved to {os.fspath(path)!r} needs {'; and '.join(parts)}.",
        UserWarning,
        stacklevel=3,
    )


def _missing_code(path: Path, message: str, given: Container[str]) -> str | None:
    """Returns what a file needs that could not be found; `None`: something else.

    Args:
        path: The file or folder.
        message: Keras' message.
        given: Names that the user knows of.
    """
    names, lambdas = _foreign_code(_config_of(path))
    if lambdas and "Lambda" in message and "safe_mode" in message:
        return (
            f"{str(path)!r} holds the code of {', '.join(map(repr, lambdas))}, a "
            "Lambda layer, which would run here. Where you trust the file, pass "
            "`safe_mode=False`."
        )
    found = re.findall(r"Could not locate (?:class|function) '([^']+)'", message)
    wanted = [name for name in names if name not in given] or found
    if not found and not any(f"'{name}'" in message for name in wanted):
        return None
    return (
        f"{str(path)!r} needs {', '.join(map(repr, wanted))}, which is not in the "
        f"file. Pass `custom_objects={_example(wanted)}`, or register it with "
        "`@keras.saving.register_keras_serializable()` before the model is saved, and "
        "import it before it is loaded. `compile=False` does without losses and "
        "metrics."
    )


def _example(names: Sequence[str]) -> str:
    return f"{{{', '.join(f'{name!r}: {name}' for name in names)}}}"


def _config_of(path: Path) -> Any:
    """Returns the configuration in a model's file or folder; `None` where none is."""
    try:
        if path.is_dir():
            return json.loads((path / "config.json").read_text())
        with zipfile.ZipFile(path) as archive:
            return json.loads(archive.read("config.json"))
    except (OSError, KeyError, ValueError, zipfile.BadZipFile):
        return None


def _foreign_code(config: Any) -> tuple[list[str], list[str]]:
    """Returns the names of functions and classes of the user's own, and of lambdas."""
    names: dict[str, None] = {}
    lambdas: dict[str, None] = {}
    waiting = [config]
    while waiting:
        part = waiting.pop(0)
        if isinstance(part, list):
            waiting.extend(part)
        if not isinstance(part, dict):
            continue
        waiting.extend(part.values())
        name, inner = part.get("class_name"), part.get("config")
        if name == "function" and isinstance(inner, str) and not _is_known(inner):
            names[inner] = None
        elif name == "Lambda" and "__lambda__" in json.dumps(inner):
            lambdas[inner.get("name", "lambda")] = None
        elif isinstance(name, str) and "module" in part and name != "__lambda__":
            # Keras names no module of what is registered under a package of its own.
            root = (part["module"] or "").split(".")[0]
            registered = ">" in (part.get("registered_name") or "")
            if name != "function" and root not in _PACKAGES and not registered:
                names[name] = None
    return list(names), list(lambdas)


def _is_known(function: str) -> bool:
    """Whether a function is registered, or one of Keras' own."""
    places = keras.losses, keras.metrics, keras.activations, keras.initializers
    return ">" in function or any(hasattr(place, function) for place in places)


def _check_file(path: Path) -> None:
    """Raises `ValueError` where a file can be seen not to hold a Keras model."""
    if not path.is_file():
        raise ValueError(
            f"There is no file {str(path)!r}. tl.load takes a file that "
            "`model.save('name.keras')` wrote."
        )
    if path.suffix in (".h5", ".hdf5"):
        return
    if not zipfile.is_zipfile(path):
        raise _damaged(path, f"its {path.stat().st_size:,} bytes are no whole archive")
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        # Keras seeks in the weights, and so does not always meet a wrong checksum.
        try:
            broken = archive.testzip()
        except (OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise _damaged(path, str(error)) from error
    if broken is not None:
        raise _damaged(path, f"{broken!r} in it does not have its checksum")
    if "config.json" not in names or not any("weights" in name for name in names):
        raise _damaged(path, f"it holds {names[:5]}, not configuration and weights")
    if path.suffix != ".keras":
        raise ValueError(
            f"The name of a model file must end in '.keras'. Rename {str(path)!r}."
        )


def _damaged(path: Path, reason: str) -> ValueError:
    return ValueError(
        f"{str(path)!r} is damaged or no Keras model: {reason}. tl.load takes a file "
        "that `model.save('name.keras')` wrote; copy or save it again."
    )
