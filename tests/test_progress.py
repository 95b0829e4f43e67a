"""What progress looks like: honest guesses, and no more lines than help."""

import re

import keras
import pytest
from helpers import solid_colours, tiny_backbone

import tlkeras as tl
from tlkeras import _keras

X, Y = solid_colours(24, 2)


def lines(capsys):
    """Returns what is left to see, without colours and what was drawn over."""
    printed = re.sub(r"\x1b\[\d*m", "", capsys.readouterr().out)
    shown = [re.split(r"[\r\b]", line)[-1].strip() for line in printed.split("\n")]
    return [line for line in shown if line]


def test_the_first_step_is_no_guess_of_the_others(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr("time.time", lambda: now[0])
    bars = {kind: kind(101) for kind in (keras.utils.Progbar, _keras.ProgressBar)}
    said = {}
    for kind, bar in bars.items():
        # Tracing takes 10 seconds, a step a tenth of one.
        for now[0], done in ((10.0, 1), (10.2, 3), (20.0, 101)):
            bar.update(done)
            said[kind, done] = capsys.readouterr().out
        now[0] = 0.0
    assert "16:40" in said[keras.utils.Progbar, 1]
    assert said[_keras.ProgressBar, 1] == ""
    assert "9s" in said[_keras.ProgressBar, 3]
    assert (
        "20s" in said[_keras.ProgressBar, 101]
        and "100ms" in said[_keras.ProgressBar, 101]
    )


def test_a_bar_of_one_step_is_drawn(capsys):
    _keras.ProgressBar(1).update(1)
    assert "1/1" in capsys.readouterr().out


@pytest.mark.parametrize(("epochs", "patience"), [(21, None), (21, 0), (3, None)])
def test_a_phase_of_many_epochs_takes_one_line(epochs, patience, capsys):
    stopping = keras.callbacks.EarlyStopping("loss", mode="max", patience=patience or 0)
    tl.fit_head(
        tl.image_classifier(tiny_backbone(blocks=1), 2),
        (X, Y),
        (X, Y),
        epochs=epochs,
        cache="memory",
        callbacks=[] if patience is None else [stopping],
        verbose=1,
    )
    shown = lines(capsys)
    bars = [line for line in shown if "val_accuracy: 1.0000" in line]
    assert all("val_loss: " in line for line in bars)
    if epochs == 21:
        assert len(shown) < 6 and len(bars) == 1
        assert bars[0].startswith("21/21" if patience is None else "2/21")
    else:
        assert [line[:3] for line in shown].count("1/1") == 3 and "Epoch 2/3" in shown
