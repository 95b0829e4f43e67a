"""Files that hold the state of a run: written whole or not at all, and checked."""

import contextlib
import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tlkeras._files import UNFINISHED, written_whole

_FORMAT = 1
_STEP, _PREVIOUS, _DONE = "step.npz", "step.previous.npz", "done.npz"

# What reading a damaged file, or one of another kind, raises.
_DAMAGES = (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile)


class CheckpointError(RuntimeError):
    """A checkpoint could not be written or read; the message says what to do."""


@dataclass(frozen=True)
class State:
    """What a run has to know to go on.

    Attributes:
        position: Stage, epoch and step that come next.
        call: What the fit verb was asked to do, from argument to description.
        facts: Whatever else JSON can hold.
        arrays: Lists of arrays by name.
    """

    position: tuple[int, int, int]
    call: dict[str, Any]
    facts: dict[str, Any]
    arrays: dict[str, Sequence[np.ndarray]] = field(default_factory=dict)


class Checkpoints:
    """The states of one run, in one folder.

    There are the state that the current stage began with, the latest within it, the
    one before that, and, at the end, the final one.

    Args:
        folder: The folder; it is made if it is not there.
        call: What the fit verb is asked to do: only a run of the same call goes on.
    """

    def __init__(self, folder: str | Path, call: dict[str, Any]):
        self.folder, self.call = Path(folder).expanduser(), call

    @contextlib.contextmanager
    def held(self):
        """Keeps other processes out of the folder meanwhile."""
        import filelock

        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = filelock.FileLock(self.folder / "lock", timeout=0)
            lock.acquire()
        except filelock.Timeout:
            raise CheckpointError(
                f"Another process trains with checkpoint_dir={str(self.folder)!r}. "
                "Wait for it, or name another folder."
            ) from None
        # The latter where the file system has no locks.
        except (OSError, NotImplementedError) as error:
            raise CheckpointError(
                f"Checkpoints cannot be kept in {str(self.folder)!r}: {error}. Name "
                "another folder with `checkpoint_dir=`."
            ) from error
        try:
            for leftover in self.folder.glob(f"{UNFINISHED}.npz"):
                leftover.unlink()
            yield self
        finally:
            lock.release()

    def latest(self) -> State | None:
        """Returns the state to go on from, `None` for a new run.

        Raises:
            CheckpointError: If a file is damaged or not a checkpoint.
            ValueError: If it is of another call.
        """
        done = self._read(_DONE)
        if done is not None:
            return done
        # A stage's first state is newer than those within the stage before.
        found = [self._read(path.name) for path in self.folder.glob("stage-*.npz")]
        found += [self._read(_STEP) or self._read(_PREVIOUS)]
        return max(filter(None, found), key=lambda s: s.position, default=None)

    def start_of(self, stage: int) -> State | None:
        """Returns the state that a stage began with, if it is kept."""
        return self._read(f"stage-{stage}.npz")

    def begin_stage(self, state: State) -> None:
        """Keeps the state that a stage begins with; forgets those before it."""
        name = f"stage-{state.position[0]}.npz"
        self._write(name, state)
        # The first stage's is what the run began with.
        self._forget(name, "stage-0.npz")

    def keep(self, state: State) -> None:
        """Keeps a state within a stage, and the one before it."""
        self._write(_STEP, state, previous=_PREVIOUS)

    def finish(self, state: State) -> None:
        """Keeps the final state alone."""
        self._write(_DONE, state)
        self._forget(_DONE)

    def _forget(self, *but: str) -> None:
        for path in self.folder.glob("*.npz"):
            known = path.name in (_STEP, _PREVIOUS) or path.name.startswith("stage-")
            if known and path.name not in but:
                path.unlink()

    def _write(self, name: str, state: State, previous: str | None = None) -> None:
        path = self.folder / name
        try:
            with written_whole(path) as unfinished:
                with open(unfinished, "wb") as file:
                    np.savez(file, **_packed(state))
                if previous is not None and path.exists():
                    path.replace(self.folder / previous)
        except OSError as error:
            raise CheckpointError(
                f"The checkpoint {str(path)!r} could not be written: {error}. The last "
                "good one is kept. Make room, then start again with the same call: it "
                "goes on from there."
            ) from error

    def _read(self, name: str) -> State | None:
        path = self.folder / name
        if not path.exists():
            return None
        try:
            # NumPy leaves a damaged file open that it opened itself.
            with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
                state = _unpacked({key: arrays[key] for key in arrays.files})
        except _DAMAGES as error:
            raise CheckpointError(
                f"{str(path)!r} is damaged or is not a checkpoint of tlkeras: {error}. "
                "It was left as it is. Delete it, and the same call goes on from the "
                "checkpoint before it, if there is one; or name another folder."
            ) from error
        self._check_call(state)
        return state

    def _check_call(self, state: State) -> None:
        before, now = state.call, json.loads(json.dumps(self.call))
        changed = [
            f"{key} was {before.get(key)!r} and is {now.get(key)!r}"
            for key in {**before, **now}
            if before.get(key) != now.get(key)
        ]
        if changed:
            raise ValueError(
                f"checkpoint_dir={str(self.folder)!r} holds a run of another call: "
                f"{'; '.join(changed)}. Call as before to go on with it, or name "
                "another folder for a new run. Nothing was changed."
            )


def kept_call(folder: str | Path | None) -> dict[str, Any]:
    """Returns what the run in a folder was asked to do; nothing if there is none."""
    if folder is None:
        return {}
    for path in sorted(Path(folder).expanduser().glob("*.npz")):
        with contextlib.suppress(*_DAMAGES), open(path, "rb") as file:
            arrays = np.load(file, allow_pickle=False)
            return json.loads(arrays["about"].tobytes())["call"]
    return {}


def to_bytes(state: State | None) -> bytes:
    """Returns a state as bytes, none for `None`."""
    if state is None:
        return b""
    content = io.BytesIO()
    np.savez(content, **_packed(state))
    return content.getvalue()


def from_bytes(content: bytes) -> State | None:
    """Returns the state that `to_bytes` made bytes of."""
    if not content:
        return None
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return _unpacked({key: arrays[key] for key in arrays.files})


def _packed(state: State) -> dict[str, np.ndarray]:
    """Returns a state as arrays, the first of them its description."""
    about = {
        "format": _FORMAT,
        "position": state.position,
        "call": state.call,
        "facts": state.facts,
        "counts": {name: len(values) for name, values in state.arrays.items()},
    }
    arrays = {
        f"{name}/{number}": value
        for name, values in state.arrays.items()
        for number, value in enumerate(values)
    }
    return {"about": np.frombuffer(json.dumps(about).encode(), "uint8"), **arrays}


def _unpacked(arrays: dict[str, np.ndarray]) -> State:
    about = json.loads(arrays["about"].tobytes())
    if about["format"] != _FORMAT:
        raise ValueError(f"written in format {about['format']}, not {_FORMAT}")
    lists = {
        name: [arrays[f"{name}/{number}"] for number in range(count)]
        for name, count in about["counts"].items()
    }
    return State(tuple(about["position"]), about["call"], about["facts"], lists)
