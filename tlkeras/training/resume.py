"""Going on where a run stopped: what is kept of a phase, and how it is put back."""

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import keras
import numpy as np

from tlkeras.distribution import Workers
from tlkeras.freezing import freeze
from tlkeras.inputs.examples import Reading
from tlkeras.training.checkpoints import Checkpoints, State, from_bytes, to_bytes
from tlkeras.training.history import FineTuneHistory, Phase
from tlkeras.training.verification import digest, frozen_weights

# How long a run goes without a checkpoint, and which share of its time they may take.
SECONDS_BETWEEN, _SHARE = 30.0, 0.05

# Of a callback these are set anew in each run.
_TRANSIENT = {"params", "_model", "model"}


class Resumer:
    """Keeps the state of a run in checkpoints, and puts it back.

    Args:
        model: The model.
        checkpoints: Where states are kept.
        changing: Variables that the run may change, seeds of random layers included.
        workers: The processes that train together. The chief alone reads and writes.
    """

    def __init__(
        self,
        model: keras.Model,
        checkpoints: Checkpoints,
        changing: Sequence[keras.Variable],
        workers: Workers,
    ):
        self.model, self.checkpoints = model, checkpoints
        self.changing, self.workers = list(changing), workers
        self.state = self._read(checkpoints.latest)

    @property
    def stage(self) -> int:
        """The stage to go on in."""
        return 0 if self.state is None else self.state.position[0]

    @property
    def complete(self) -> bool:
        """Whether the run came to its end before."""
        return self.state is not None and self.state.facts["complete"]

    def history(self) -> FineTuneHistory:
        """Returns the history of the phases that are complete."""
        history = FineTuneHistory()
        if self.state is not None:
            kept = self.state.facts["history"]
            history.history, history.epoch = kept["history"], kept["epoch"]
            history.phases = [Phase(**phase) for phase in kept["phases"]]
            history.notes = list(kept["notes"])
            history.best = kept["best"]
        return history

    def at_start(self) -> dict[int, np.ndarray]:
        """Returns what the run began with, by the `id` of the variable."""
        start = self._read(lambda: self.checkpoints.start_of(0))
        values = start.arrays["model"] if start else _values(self.changing)
        return {id(v): x for v, x in zip(self.changing, values, strict=True)}

    def enter_stage(self, stage: int, history: FineTuneHistory) -> None:
        """Sets the weights that a stage begins with; keeps them in a new one."""
        if self.state is not None and self.stage == stage:
            start = self._read(lambda: self.checkpoints.start_of(stage)) or self.state
            _assign(self.changing, start.arrays["model"])
            return
        self.state = None
        state = self._state((stage, len(history.epoch), 0), history)
        if self.workers.is_chief:
            self.checkpoints.begin_stage(state)

    def finish(self, stages: int, history: FineTuneHistory) -> None:
        """Keeps the final state: that of the model, with its optimizer."""
        position = (stages, len(history.epoch), 0)
        state = self._state(position, history, self.model.optimizer.variables)
        if self.workers.is_chief:
            self.checkpoints.finish(state)

    def restore_final(self) -> None:
        """Sets the model and its optimizer to the final state of a complete run."""
        _assign(self.changing, self.state.arrays["model"])
        _assign(self.model.optimizer.variables, self.state.arrays["optimizer"])

    def _read(self, read: Callable[[], State | None]) -> State | None:
        """Returns what the chief reads."""
        if self.workers.count == 1:
            return read()
        return from_bytes(self.workers.from_chief(lambda: to_bytes(read())))

    def _state(
        self,
        position: tuple[int, int, int],
        history: FineTuneHistory,
        optimizer: Sequence[Any] = (),
    ) -> State:
        facts = {
            "complete": bool(optimizer),
            "history": {
                "history": history.history,
                "epoch": history.epoch,
                "phases": [asdict(phase) for phase in history.phases],
                "notes": list(history.notes),
                "best": history.best,
            },
        }
        arrays = {"model": _values(self.changing), "optimizer": _values(optimizer)}
        return State(position, self.checkpoints.call, facts, arrays)


class Keeper(keras.callbacks.Callback):
    """Keeps the state of a phase while it runs; puts back that of an interrupted one.

    It comes last among the callbacks: what it keeps is the state after all others.

    Args:
        resumer: Keeps the run.
        stage: Number of the stage.
        phase_model: What the phase fits.
        callbacks: The callbacks whose plain attributes belong to the state.
        history: Of the phases before.
        steps: Steps of an epoch; `None` where data cannot be read from a step on.

    Attributes:
        goes_on: Whether the phase goes on after this call of `fit`.
        spent: Seconds that the phase took before it was interrupted.
    """

    def __init__(
        self,
        resumer: Resumer,
        stage: int,
        phase_model: keras.Model,
        callbacks: Sequence[keras.callbacks.Callback],
        history: FineTuneHistory,
        steps: int | None,
    ):
        super().__init__()
        self.resumer, self.stage, self.phase_model = resumer, stage, phase_model
        self.callbacks, self.history = list(callbacks), history
        self.steps = steps
        self.epoch, self.spent = len(history.epoch), 0.0
        self.begun = self.last = self.asked_at = time.perf_counter()
        self.pause = SECONDS_BETWEEN
        self.goes_on, self.unfinished = False, []
        self.asked, self.every = 0, 1
        kept = resumer.state
        inside = kept is not None and "callbacks" in kept.facts
        self.pending = kept if inside and kept.position[0] == stage else None

    @property
    def position(self) -> tuple[int, int]:
        """Epoch and step to begin with."""
        if self.pending is None:
            return self.epoch, 0
        return self.pending.position[1:]

    def on_train_begin(self, logs=None):
        if self.pending is not None:
            # Now already, for callbacks that open files when training begins.
            self._restore_callbacks(self.pending)

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch
        state, self.pending = self.pending, None
        if state is None:
            return
        _assign(self.resumer.changing, state.arrays["model"])
        _assign(self.model.optimizer.variables, state.arrays["optimizer"])
        if state.position[2]:
            # Of several replicas each takes its part of the sums.
            _assign(self.phase_model.metrics_variables, state.arrays["metrics"])
        self._restore_callbacks(state)
        self.spent = state.facts["seconds"]
        self.resumer.state = None

    def on_train_batch_end(self, batch, logs=None):
        if self.steps is not None and batch + 1 < self.steps and self._is_due():
            self._keep(self.epoch, batch + 1)

    def on_epoch_end(self, epoch, logs=None):
        # After a phase's last epoch the phase is not over: weights may be restored.
        last = self.model.stop_training or epoch + 1 == self.params["epochs"]
        if not last and self._is_due():
            self._keep(epoch + 1, 0)
        if self.goes_on:
            self.unfinished = _values(self.resumer.changing)

    def undo_finalizing(self) -> None:
        """Takes back what Keras did to weights at the end of `fit`, which goes on."""
        _assign(self.resumer.changing, self.unfinished)
        self.unfinished = []

    def _is_due(self) -> bool:
        """Whether it is time for a checkpoint, of several workers by the chief's clock.

        Asking the chief takes time, too: it is done about once a second.
        """
        passed = time.perf_counter() - self.last
        if self.resumer.workers.count == 1:
            return passed >= self.pause
        self.asked += 1
        if self.asked % self.every:
            return False
        now = time.perf_counter()
        answer = [passed >= self.pause, now - self.asked_at]
        due, since = self.resumer.workers.gather(answer)[0]
        self.every = max(1, min(1000, int(self.every / max(since, 1e-3))))
        self.asked, self.asked_at = 0, now
        return due

    def _keep(self, epoch: int, step: int) -> None:
        began = time.perf_counter()
        state = self.resumer._state((self.stage, epoch, step), self.history)
        arrays = {
            **state.arrays,
            "optimizer": _values(self.model.optimizer.variables),
            "metrics": _values(self.phase_model.metrics_variables) if step else [],
            "callbacks": [],
        }
        facts = {
            **state.facts,
            "seconds": self.spent + time.perf_counter() - self.begun,
            "callbacks": [
                _described(_attributes(callback), arrays["callbacks"])
                for callback in self.callbacks
            ],
        }
        if self.resumer.workers.is_chief:
            state = State(state.position, state.call, facts, arrays)
            self.resumer.checkpoints.keep(state)
        self.last = time.perf_counter()
        self.pause = max(SECONDS_BETWEEN, (self.last - began) / _SHARE)

    def _restore_callbacks(self, state: State) -> None:
        arrays = state.arrays.get("callbacks", [])
        for callback, kept in zip(
            self.callbacks, state.facts["callbacks"], strict=True
        ):
            # Keras turns its sign around when it finds out what is better.
            undecided = getattr(callback, "monitor_op", callback) is None
            for name, value in kept.items():
                if not (undecided and name == "min_delta"):
                    setattr(callback, name, _revived(value, arrays))


def changing_variables(
    model: keras.Model, lowest: Any, backbone: Any, train_batch_norm: bool
) -> tuple[list[keras.Variable], str]:
    """Returns what a run may change, and a fingerprint of everything else.

    Args:
        model: The model; it is left frozen at `lowest`.
        lowest: The lowest freeze point of the run.
        backbone: As in `freeze`.
        train_batch_norm: As in `freeze`.
    """
    freeze(model, lowest, train_batch_norm=train_batch_norm, backbone=backbone)
    frozen = frozen_weights(model)
    known = {id(v) for v in frozen}
    changing = [v for v in model.variables if id(v) not in known]
    whole = hashlib.blake2b(digest_size=16)
    for variable in frozen:
        whole.update(digest(variable))
    for variable in changing:
        whole.update(f"{variable.shape}{variable.dtype}".encode())
    return changing, whole.hexdigest()


def describe(value: Any) -> Any:
    """Returns what JSON can hold of an argument: equal where two calls are alike."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, dict):
        return {str(key): describe(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [describe(part) for part in value]
    if isinstance(value, np.generic):
        return value.item()
    if hasattr(value, "get_config"):
        try:
            return [type(value).__name__, _plain_config(value.get_config())]
        except NotImplementedError:
            return type(value).__name__
    if hasattr(value, "describe"):
        return str(value.describe())
    return getattr(value, "__name__", type(value).__name__)


def describe_data(data: Any, reading: Reading | None) -> Any:
    """Returns a fingerprint of data, or what can be told of data that are not known."""
    if data is None:
        return None
    if reading is None:
        return str(getattr(data, "element_spec", type(data).__name__))
    return [
        reading.fingerprint(),
        reading.batch_size,
        reading.shuffled,
        reading.seed,
    ]


def _plain_config(config: Any) -> Any:
    """Drops names, which Keras numbers anew, and what JSON cannot hold."""
    if isinstance(config, dict):
        return {
            key: _plain_config(part) for key, part in config.items() if key != "name"
        }
    return json.loads(json.dumps(config, default=describe))


def _attributes(callback: keras.callbacks.Callback) -> dict[str, Any]:
    return {k: v for k, v in vars(callback).items() if k not in _TRANSIENT}


def _described(attributes: dict[str, Any], arrays: list[np.ndarray]) -> dict[str, Any]:
    """Returns those attributes that are plain data; adds their arrays to `arrays`."""
    kept = {}
    for name, value in attributes.items():
        if _is_plain(value):
            kept[name] = _without_arrays(value, arrays)
    return kept


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(k, str) and _is_plain(v) for k, v in value.items())
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    if isinstance(value, np.ndarray):
        return value.dtype.kind in "biuf"
    return isinstance(value, (bool, int, float, str, np.generic, type(None)))


def _without_arrays(value: Any, arrays: list[np.ndarray]) -> Any:
    if isinstance(value, dict):
        return {key: _without_arrays(part, arrays) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_arrays(part, arrays) for part in value]
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        arrays.append(value)
        return {"<array>": len(arrays) - 1}
    return value


def _revived(value: Any, arrays: Sequence[np.ndarray]) -> Any:
    if isinstance(value, dict):
        if value.keys() == {"<array>"}:
            return arrays[value["<array>"]]
        return {key: _revived(part, arrays) for key, part in value.items()}
    if isinstance(value, list):
        return [_revived(part, arrays) for part in value]
    return value


def _values(variables: Sequence[Any]) -> list[np.ndarray]:
    return [keras.ops.convert_to_numpy(v) for v in variables]


def _assign(variables: Sequence[Any], values: Sequence[np.ndarray]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
