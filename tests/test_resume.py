"""Resuming: a run that dies anywhere goes on to the result of one that did not."""

import errno
import shutil
import subprocess
import sys
from pathlib import Path

import filelock
import keras
import numpy as np
import pytest
from helpers import solid_colours, tiny_backbone, with_recipe
from runs import StopAt, Stopped

import tlkeras as tl
from tlkeras.training import resume

X, Y = solid_colours(40, 2)


def make_model(seed=0, dropout=0.5, width=4):
    """Returns a model whose head and random state depend on the seed."""
    keras.utils.set_random_seed(99)
    backbone = tiny_backbone(width=width)
    keras.utils.set_random_seed(seed)
    return tl.image_classifier(backbone, 2, dropout=dropout)


def head(model, folder, stop_at=None, **arguments):
    """Runs phase one: 3 epochs of 5 steps."""
    settings = {"epochs": 3, "learning_rate": 0.01, "batch_size": 8, "verbose": 0}
    callbacks = [StopAt(stop_at), *arguments.pop("callbacks", ())]
    return tl.fit_head(
        model,
        arguments.pop("train", (X, Y)),
        checkpoint_dir=folder,
        callbacks=callbacks,
        **with_recipe(**{**settings, **arguments}),
    )


@pytest.fixture(scope="module")
def whole_run():
    """The model and history of a run that nothing interrupted."""
    model = make_model()
    return model, head(model, None)


@pytest.fixture(scope="module")
def stopped_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stopped")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resume, "SECONDS_BETWEEN", 0.0)
        patch.setattr(resume, "_SHARE", 1e9)
        with pytest.raises(Stopped):
            head(make_model(), folder, 8)
    return folder


@pytest.fixture
def stopped_run(stopped_folder, tmp_path):
    """A copy of the folder of a run that stopped in its second epoch."""
    return shutil.copytree(stopped_folder, tmp_path / "stopped")


def tune(model, folder, stop_at=None, **arguments):
    settings = {
        "head_epochs": 2,
        "epochs": 2,
        "unfreeze_from": ["block3", "block2"],
        "learning_rate": 0.01,
        "fine_tune_learning_rate": 0.01,
        "batch_size": 8,
        "cache": "memory",
        "verbose": 0,
    }
    callbacks = [StopAt(stop_at), *arguments.pop("callbacks", ())]
    return tl.fine_tune(
        model,
        (X, Y),
        arguments.pop("validation_data", (X[:16], Y[:16])),
        checkpoint_dir=folder,
        callbacks=callbacks,
        **with_recipe(**{**settings, **arguments}),
    )


@pytest.fixture(autouse=True)
def every_step(monkeypatch):
    """Keeps the state after every step."""
    monkeypatch.setattr(resume, "SECONDS_BETWEEN", 0.0)
    monkeypatch.setattr(resume, "_SHARE", 1e9)


def assert_same_result(model, history, expected_model, expected_history):
    mine = [np.array(v) for v in model.variables]
    theirs = [np.array(v) for v in expected_model.variables]
    for one, other in zip(mine, theirs, strict=True):
        np.testing.assert_array_equal(one, other)
    assert history.history == expected_history.history
    assert history.epoch == expected_history.epoch
    assert [p.epochs for p in history.phases] == [
        p.epochs for p in expected_history.phases
    ]
    for one, other in zip(
        model.optimizer.variables, expected_model.optimizer.variables, strict=True
    ):
        np.testing.assert_array_equal(np.array(one), np.array(other))


# 5 steps an epoch, 6 epochs in three phases.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("steps", "arguments"),
    [
        (
            (7, 10, 11),
            {"dropout": 0.5, "schedule": "one_cycle", "layer_decay": 0.5},
        ),
        (
            (14, 13),
            {
                "l2_sp": 0.1,
                "augment": "light",
                "optimizer": keras.optimizers.AdamW(
                    use_ema=True, weight_decay=0.1, gradient_accumulation_steps=3
                ),
                "sampling": "balanced",
                "train_batch_norm": True,
            },
        ),
    ],
)
def test_interrupted_and_whole_runs_end_alike(tmp_path, steps, arguments):
    dropout = arguments.pop("dropout", 0.0)
    expected_model = make_model(dropout=dropout)
    expected = tune(expected_model, tmp_path / "whole", **arguments)
    for seed, step in enumerate(steps):
        with pytest.raises(Stopped):
            tune(make_model(seed, dropout), tmp_path / "cut", step, **arguments)
    # The frozen part is what it was; everything else comes from the checkpoint.
    model = make_model(5, dropout)
    history = tune(model, tmp_path / "cut", **arguments)
    assert_same_result(model, history, expected_model, expected)


@pytest.mark.slow
def test_callbacks_go_on_where_they_were(tmp_path):
    def callbacks():
        stopping = keras.callbacks.EarlyStopping("loss", patience=1, min_delta=0.05)
        return [stopping, keras.callbacks.ReduceLROnPlateau("loss", patience=0)]

    def run(folder, stop_at=None):
        model = make_model()
        both = callbacks()
        history = head(model, folder, stop_at, epochs=8, callbacks=both)
        return model, history, both

    expected_model, expected, (stopping, plateau) = run(tmp_path / "whole")
    assert len(expected.epoch) < 8
    with pytest.raises(Stopped):
        run(tmp_path / "cut", 5 * len(expected.epoch) - 2)
    model, history, (stopped, reduced) = run(tmp_path / "cut")
    assert_same_result(model, history, expected_model, expected)
    assert (stopped.wait, stopped.best) == (stopping.wait, stopping.best)
    assert reduced.best == plateau.best


def test_a_complete_run_gives_its_result_at_once(tmp_path, monkeypatch, capsys):
    given = {"schedule": "cosine", "unfreeze_from": "block3"}
    given |= {"head_epochs": 0, "epochs": 1}
    model, again = make_model(), make_model(seed=3)
    history = tune(model, tmp_path, **given)
    assert sorted(path.name for path in tmp_path.glob("*.npz")) == ["done.npz"]

    def refuse(*_, **__):
        raise AssertionError("features are extracted")

    monkeypatch.setattr("tlkeras.training.feeding.feeder.extract", refuse)
    repeated = tune(again, tmp_path, stop_at=1, **given | {"verbose": 2})
    assert "is complete" in capsys.readouterr().out
    assert_same_result(again, repeated, model, history)
    rates = [m.optimizer.get_config()["learning_rate"] for m in (model, again)]
    assert rates[0] == rates[1]


def test_the_same_model_or_another_goes_on_with_and_without_logs(tmp_path, whole_run):
    model, logs = make_model(), {"log_dir": tmp_path / "logs"}
    for stop_at, given in ((7, logs), (4, {})):
        with pytest.raises(Stopped):
            head(model, tmp_path / "cut", stop_at, **given)
    model = make_model(seed=3)
    history = head(model, tmp_path / "cut", **logs)
    assert_same_result(model, history, *whole_run)


@pytest.mark.slow
def test_notes_of_finished_phases_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "tlkeras.training.phase.overfitting", lambda name, *_, **__: f"{name} overfits"
    )
    given = {"unfreeze_from": "block3", "validation_data": None}
    given |= {"head_epochs": 1, "epochs": 1}
    with pytest.raises(Stopped):
        tune(make_model(), tmp_path, 8, **given)
    wanted = [f"{name} overfits" for name in ("head", "fine-tune")]
    for _ in range(2):
        assert tune(make_model(), tmp_path, **given).notes == wanted


@pytest.mark.slow
def test_data_of_unknown_order_go_on_after_the_last_whole_epoch(tmp_path):
    import tensorflow as tf

    def run(folder, stop_at=None):
        model = make_model()
        batches = tf.data.Dataset.from_tensor_slices((X, Y)).batch(8)
        history = tl.fit_head(
            model,
            batches,
            epochs=3,
            checkpoint_dir=folder,
            callbacks=[StopAt(stop_at)],
            verbose=0,
        )
        return model, history

    expected = run(tmp_path / "whole")
    with pytest.raises(Stopped):
        run(tmp_path / "cut", 8)
    assert_same_result(*run(tmp_path / "cut"), *expected)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learning_rate": 0.1}, "learning_rate was 0.01 and is 0.1"),
        ({"epochs": 9}, "head_epochs was 3 and is 9"),
        ({"optimizer": "sgd"}, "optimizer was None and is 'sgd'"),
        ({"train": (X[:32], Y[:32])}, "train was"),
        ({"train": (X, 1 - Y)}, "train was"),
        ({"width": 6}, "weights that stay, shapes of the others was"),
    ],
)
def test_a_run_of_another_call_is_refused(stopped_run, changes, message):
    before = {path.name: path.read_bytes() for path in stopped_run.glob("*.npz")}
    model = make_model(width=changes.pop("width", 4))
    with pytest.raises(ValueError, match=message):
        head(model, stopped_run, **changes)
    after = {path.name: path.read_bytes() for path in stopped_run.glob("*.npz")}
    assert before == after


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["truncated", "foreign", "of other arrays"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_serves(
    stopped_run, whole_run, damage
):
    path = stopped_run / "step.npz"
    content = path.read_bytes()
    if damage == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "foreign":
        path.write_bytes(b"something else")
    else:
        np.savez(path, weights=np.zeros(3))
    with pytest.raises(tl.CheckpointError, match=r"step.npz' is damaged.*Delete it"):
        head(make_model(), stopped_run)
    path.unlink()
    model = make_model()
    history = head(model, stopped_run)
    assert_same_result(model, history, *whole_run)


def test_a_full_disk_keeps_the_last_good_state(tmp_path, whole_run, monkeypatch):
    full = {"left": 3}
    savez = np.savez

    def fill_up(file, **arrays):
        full["left"] -= 1
        if full["left"] < 0:
            file.write(b"half of it")
            raise OSError(errno.ENOSPC, "No space left on device")
        savez(file, **arrays)

    monkeypatch.setattr(np, "savez", fill_up)
    with pytest.raises(tl.CheckpointError, match="No space left.*Make room"):
        head(make_model(), tmp_path)
    assert not list(tmp_path.glob("*.unfinished.npz"))
    full["left"] = 10**6
    model = make_model()
    history = head(model, tmp_path)
    assert_same_result(model, history, *whole_run)


def test_two_processes_do_not_share_a_folder(tmp_path):
    with filelock.FileLock(tmp_path / "lock"):
        with pytest.raises(tl.CheckpointError, match="Another process"):
            head(make_model(), tmp_path)


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(tl.CheckpointError, match="cannot be kept"):
        head(make_model(), tmp_path / "file" / "run")


@pytest.mark.slow
def test_what_was_left_half_written_is_removed(stopped_run):
    (stopped_run / ".0123.unfinished.npz").write_bytes(b"half of it")
    head(make_model(), stopped_run)
    assert not (stopped_run / ".0123.unfinished.npz").exists()


@pytest.mark.slow
def test_killed_processes_lose_nothing():
    """20 kills of a run on photographs: see `kill_and_resume.py`."""
    script = Path(__file__).parent / "kill_and_resume.py"
    done = subprocess.run(
        [sys.executable, script, "--kills", "2"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    summary = done.stdout.splitlines()[-1]
    assert summary.startswith("2 of 2 kills")
    assert summary.endswith("largest difference 0.0")
