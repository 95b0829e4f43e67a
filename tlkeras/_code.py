"""Code of the user's own, as a string that changes where what it computes may."""

import contextlib
import functools
import hashlib
import types
from typing import Any

import keras
import numpy as np

from tlkeras._keras import sublayers

# Their versions are known; what they compute does not change under one.
_LIBRARIES = (
    "builtins",
    "jax",
    "keras",
    "keras_cv",
    "keras_hub",
    "numpy",
    "tensorflow",
    "tlkeras",
)
# What functions are called that draw random numbers.
_OF_CHANCE = ("random", "dropout", "shuffle", "noise")
# What a class holds besides what its author wrote.
_OF_EVERY_CLASS = (
    "__annotations__",
    "__dict__",
    "__doc__",
    "__firstlineno__",
    "__module__",
    "__qualname__",
    "__static_attributes__",
    "__weakref__",
)


def code_of(operation: keras.Operation) -> str:
    """Returns what an operation computes beyond its configuration and its weights.

    That is the code of classes and functions that are no library's, with the values
    that it refers to, and the plain attributes of layers of such classes. It is `""`
    where everything is Keras' own.

    Args:
        operation: A layer, or another operation of a functional model.
    """
    layered = isinstance(operation, keras.layers.Layer)
    code = _Code()
    for part in sublayers(operation) if layered else [operation]:
        own = not _is_of_library(type(part))
        if own:
            code.add(type(part))
        for name, value in sorted(vars(part).items()):
            if _is_own_function(value) or (own and name not in _plain_names()):
                code.add(name)
                code.add(value)
    return code.hexdigest()


def draws_numbers(function: Any) -> bool:
    """Whether a function seems to draw random numbers.

    The names in its code tell, and the generators of random numbers that it refers to,
    whatever they are called.

    Args:
        function: A function of the user's own, or anything that can be called.
    """
    seen: set[int] = set()
    waiting = [function]
    while waiting:
        one = waiting.pop()
        if _is_of_chance(one):
            return True
        owner = getattr(one, "__self__", None)
        if isinstance(one, functools.partial):
            waiting += [*one.args, *one.keywords.values()]
        for wrapper in ("__func__", "func", "python_function"):
            one = getattr(one, wrapper, one)
        if not isinstance(one, types.FunctionType) or id(one) in seen:
            continue
        if _is_of_library(one):
            continue
        seen.add(id(one))
        names = _names(one.__code__)
        if any(word in name.lower() for name in names for word in _OF_CHANCE):
            return True
        held = {**one.__globals__, **getattr(owner, "__dict__", {})}
        waiting += [held[name] for name in names if name in held]
        waiting += _closed_over(one).values()
        waiting += [*(one.__defaults__ or ()), *(one.__kwdefaults__ or {}).values()]
    return False


def _is_of_chance(value: Any) -> bool:
    """Whether a value is a library's generator of random numbers, or of such a kind."""
    owner = getattr(value, "__self__", value)
    is_module = isinstance(value, types.ModuleType)
    modules = (
        value.__name__ if is_module else type(owner).__module__,
        getattr(value, "__module__", None),
    )
    return any(
        isinstance(name, str)
        and name.split(".")[0] in (*_LIBRARIES, "random")
        and "random" in name
        for name in modules
    )


def _closed_over(function: types.FunctionType) -> dict[str, Any]:
    """Returns the variables of surrounding functions that a function uses."""
    found = {}
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    for name, cell in cells:
        # One that is not filled yet raises.
        with contextlib.suppress(ValueError):
            found[name] = cell.cell_contents
    return found


@functools.cache
def _plain_names() -> frozenset[str]:
    """Returns the attributes that Keras itself gives to each layer."""
    return frozenset(vars(keras.layers.Layer()))


def _is_own_function(value: Any) -> bool:
    return isinstance(value, (types.FunctionType, functools.partial)) and (
        not _is_of_library(value)
    )


def _is_of_library(thing: Any) -> bool:
    module = getattr(thing, "__module__", None) or ""
    return module.split(".")[0] in _LIBRARIES


class _Code:
    """A digest of values, each looked into once."""

    def __init__(self) -> None:
        self._digest, self._seen, self._any = hashlib.sha256(), set(), False

    def hexdigest(self) -> str:
        return self._digest.hexdigest() if self._any else ""

    def add(self, value: Any) -> None:
        """Adds a value: of functions and classes their code, of numbers themselves."""
        if isinstance(value, (staticmethod, classmethod, types.MethodType)):
            value = value.__func__
        # As `tf.function` and decorators leave it.
        value = getattr(value, "python_function", value)
        if isinstance(value, (bool, int, float, complex, str, bytes, type(None))):
            self._write(repr(value))
        elif isinstance(value, (np.ndarray, np.generic)):
            self._write(f"{value.dtype}{value.shape}")
            self._write(np.ascontiguousarray(value).tobytes())
        elif isinstance(value, dict):
            self._each(part for pair in value.items() for part in pair)
        elif isinstance(value, (list, tuple)):
            self._each(value)
        elif isinstance(value, (set, frozenset)):
            self._each(sorted(value, key=repr))
        elif isinstance(value, types.CodeType):
            self._write(value.co_code)
            self._each((value.co_names, value.co_varnames, value.co_consts))
        elif id(value) not in self._seen:
            # Kept alive by what refers to it for as long as this takes.
            self._seen.add(id(value))
            self._look_into(value)

    def _look_into(self, value: Any) -> None:
        self._write(f"{type(value).__name__} {getattr(value, '__qualname__', '')}")
        if isinstance(value, functools.partial):
            self._each((value.func, value.args, value.keywords))
        elif isinstance(value, property):
            self._each((value.fget, value.fset))
        elif _is_of_library(value):
            return
        elif isinstance(value, types.FunctionType):
            self._function(value)
        elif isinstance(value, type):
            own = [one for one in value.__mro__ if not _is_of_library(one)]
            for one in own:
                items = vars(one).items()
                self._each(pair for pair in items if pair[0] not in _OF_EVERY_CLASS)

    def _function(self, function: types.FunctionType) -> None:
        self.add(function.__code__)
        self._each((function.__defaults__, function.__kwdefaults__))
        self.add(_closed_over(function))
        # Code of packages that are installed refers to much, and does not change.
        if "site-packages" not in function.__code__.co_filename:
            for name in sorted(_names(function.__code__)):
                if name in function.__globals__:
                    self.add(name)
                    self.add(function.__globals__[name])

    def _each(self, values: Any) -> None:
        for value in values:
            self.add(value)
        self._write("end")

    def _write(self, text: str | bytes) -> None:
        self._any = True
        self._digest.update(text.encode() if isinstance(text, str) else text)
        self._digest.update(b"\0")


def _names(code: types.CodeType) -> set[str]:
    """Returns the names that a function, and those inside of it, look up."""
    inner = (part for part in code.co_consts if isinstance(part, types.CodeType))
    return set(code.co_names).union(*map(_names, inner))
