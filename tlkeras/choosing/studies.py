"""Optuna's studies: opened, resumed from a file, one process at a time."""

import contextlib
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tlkeras._validation import check_path, optional_import

# The attribute of a study that says what it is of.
_ABOUT = "about"
_NAME = "tlkeras"


def import_optuna() -> Any:
    """Imports Optuna, or raises an `ImportError` that says how to install it."""
    return optional_import("optuna", "tl.tune", '"tlkeras[tune]"')


def study_file(path: Any) -> Path:
    """Returns where a study is to be kept, or raises `ValueError`."""
    path = Path(check_path("study", path))
    if path.is_dir() or path.suffix in ("", ".keras"):
        raise ValueError(
            "`study` must name a file to keep the trials in, such as 'tuning.log'; the "
            f"best model goes beside it, as '.keras'. Received: study={str(path)!r}."
        )
    return path


@contextlib.contextmanager
def opened_study(
    path: Path | None,
    about: Mapping[str, Any],
    *,
    direction: str,
    seed: int,
    startup: int,
) -> Iterator[Any]:
    """Opens a study, or goes on with one, and keeps other processes out of it.

    Trials that an earlier process left unfinished count as failed; what they tried is
    queued again.

    Args:
        path: Its file; `None` for memory alone.
        about: What it is of, as JSON knows it. A study of something else is refused.
        direction: `"minimize"` or `"maximize"`.
        seed: Seed of what is drawn.
        startup: Trials that are drawn at random.

    Yields:
        An `optuna.Study`.

    Raises:
        ValueError: If the file is of another study, or another process has it.
    """
    optuna = import_optuna()
    with contextlib.ExitStack() as held:
        storage = None
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            held.enter_context(_held(path))
            _check_room(path)
            storage = _storage(optuna, path)
        held.enter_context(_quiet(optuna))
        study = optuna.create_study(
            storage=storage,
            study_name=_NAME,
            direction=direction,
            load_if_exists=True,
            pruner=optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=1),
        )
        # A study that goes on does not draw once more what it has drawn.
        study.sampler = optuna.samplers.TPESampler(
            seed=(seed + len(study.trials)) % 2**32, n_startup_trials=startup
        )
        _check_about(study, about, path)
        _end_unfinished(optuna, study)
        yield study


@contextlib.contextmanager
def _quiet(optuna: Any) -> Iterator[None]:
    """Keeps Optuna from logging what `tl.tune` prints itself."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


@contextlib.contextmanager
def _held(path: Path) -> Iterator[None]:
    from filelock import FileLock, Timeout

    lock = FileLock(path.with_name(f".{path.name}.held"), timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise ValueError(
            f"Another process has the study {str(path)!r}. One process at a time runs "
            "trials of a study: wait for it, or use another file."
        ) from error
    try:
        yield
    finally:
        lock.release()


def model_file(path: Path) -> Path:
    """Returns where the best model of a study is kept, by the study's file."""
    return path.with_suffix(".keras")


def _check_room(path: Path) -> None:
    """Raises `ValueError` where the best model would replace another file."""
    model = model_file(path)
    if model.exists() and not path.exists():
        raise ValueError(
            f"The best model of the study {str(path)!r} would replace {str(model)!r}, "
            "which is of something else. Name another file for the study, or move that "
            "one."
        )


def _storage(optuna: Any, path: Path) -> Any:
    with warnings.catch_warnings():
        # Optuna calls the journal experimental.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        backend = optuna.storages.journal.JournalFileBackend(str(path))
        try:
            return optuna.storages.JournalStorage(backend)
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{str(path)!r} is no study of tl.tune, or damaged: {error} Use "
                "another file."
            ) from error


def _check_about(study: Any, about: Mapping[str, Any], path: Path | None) -> None:
    known = study.user_attrs.get(_ABOUT)
    if known is None:
        study.set_user_attr(_ABOUT, dict(about))
        return
    names = [name for name in {**known, **about} if known.get(name) != about.get(name)]
    if names:
        raise ValueError(
            f"The study in {str(path)!r} is of something else: {', '.join(names)} "
            "differ(s). Trials that are compared have all in common but what is "
            "searched: pass the same, or use another file."
        )


def _end_unfinished(optuna: Any, study: Any) -> None:
    states = optuna.trial.TrialState
    for trial in study.get_trials(deepcopy=False, states=(states.RUNNING,)):
        study.tell(trial.number, state=states.FAIL)
        if trial.params:
            study.enqueue_trial(trial.params)
