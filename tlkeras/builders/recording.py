"""Builders keep a record: their arguments, and one number for all that is random."""

import contextlib
import functools
import hashlib
import inspect
import random
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from tlkeras.builders.random_states import random_states
from tlkeras.records import TrainingRecord
from tlkeras.records.encoding import encode, missing, random_state_kept
from tlkeras.records.surroundings import surroundings


@dataclass
class _Building:
    """A builder at work.

    Attributes:
        backbone: What has become known of the backbone.
    """

    backbone: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Wanted:
    seed: int | None = None
    precision: str | None = None


_at_work: ContextVar[_Building | None] = ContextVar("at_work", default=None)
_wanted: ContextVar[_Wanted | None] = ContextVar("wanted", default=None)


def recorded(builder: Callable) -> Callable:
    """Has a builder's models keep how they were built.

    Keras takes default seeds, of initializers and of dropout, from Python's `random`.
    The builder draws one number from there, builds everything under it, and leaves
    `random` as that one draw did: after `keras.utils.set_random_seed` models are
    reproducible as ever, and the number alone repeats this one.
    """
    signature = inspect.signature(builder)

    @functools.wraps(builder)
    def build(*args: Any, **kwargs: Any) -> Any:
        if _at_work.get() is not None:
            # Another builder uses this one, under its seed.
            return builder(*args, **kwargs)
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        seed = (_wanted.get() or _Wanted()).seed
        seed = random.randrange(2**31) if seed is None else seed
        known = _Building()
        token = _at_work.set(known)
        try:
            with random_state_kept():
                random.seed(seed)
                model = builder(*args, **kwargs)
        finally:
            _at_work.reset(token)
        arguments = {name: encode(value) for name, value in bound.arguments.items()}
        model.keep_record(_record_of(builder.__name__, arguments, seed, model, known))
        return model

    return build


def _record_of(
    builder: str, arguments: dict, seed: int, model: Any, known: _Building
) -> TrainingRecord:
    own = any(missing(arguments["backbone"]))
    backbone = {**known.backbone, "parameters": model.backbone.count_params()}
    return TrainingRecord(
        builder=builder,
        arguments=arguments,
        seed=seed,
        precision=model.dtype_policy.name,
        backbone=backbone,
        weights=fingerprint(model),
        surroundings=surroundings(),
        random_states=random_states(model) if own else (),
    )


def note_backbone(name: str, licence: str | None) -> None:
    """Adds to the record what is known of the backbone that was loaded."""
    at_work = _at_work.get()
    if at_work is not None:
        at_work.backbone.update(name=name, licence=licence)


@contextlib.contextmanager
def building_with(seed: int | None, precision: str | None) -> Iterator[None]:
    """Has builders take this seed and this dtype policy instead of their own."""
    token = _wanted.set(_Wanted(seed, precision))
    try:
        yield
    finally:
        _wanted.reset(token)


def wanted_precision() -> str | None:
    """Returns the dtype policy that `building_with` asks for."""
    return (_wanted.get() or _Wanted()).precision


def fingerprint(model: keras.Model) -> str:
    """Returns a string that changes with any weight, and with dropout's state."""
    digest = hashlib.blake2b(digest_size=16)
    for variable in model.variables:
        value = np.asarray(keras.ops.convert_to_numpy(variable))
        digest.update(f"{value.dtype}{value.shape}".encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()
