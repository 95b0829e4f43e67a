"""`auto`: what it decides, says, keeps within and leaves."""

import pytest
from test_choosing_ranking import blind, colours, missing, seeing

import tlkeras as tl
from tlkeras.choosing import deciding
from tlkeras.choosing.costs import Costs
from tlkeras.choosing.ranking import Ranked, Ranking, Scores

pytest.importorskip("optuna")


@pytest.mark.slow
def test_it_ranks_plans_tunes_tests_and_leaves_a_report(tmp_path, capsys):
    folder = tmp_path / "run"
    candidates = {"blind": blind, "missing": missing, "seeing": seeing()}
    found = tl.auto(
        colours(), backbones=candidates, trials=2, folder=folder, cache="memory"
    )
    assert found.backbone == found.ranking.best == "seeing"
    assert found.plan is not None and len(found.tuning.table) == 2
    said = capsys.readouterr().out
    for decision in found.decisions:
        assert decision in said
    text = str(found)
    assert text.startswith("Backbone: seeing, the best of 2 (accuracy ")
    for word in ("missing; the ranking says why", "Plan: small data", "val_loss"):
        assert word in text
    names = {file.name for file in folder.iterdir() if not file.name.startswith(".")}
    assert names == {
        "decisions.txt",
        "model.keras",
        "ranking.csv",
        "report.html",
        "trials.csv",
        "tuning.log",
    }
    again = tl.load(folder / "model.keras")
    report = tl.evaluate(again, colours().test, verbose=0)
    assert report.accuracy == found.report.accuracy
    with pytest.raises(ValueError, match="`folder` must be new or empty"):
        tl.auto(colours(), backbones=candidates, folder=folder)


def ranking(*jobs):
    """Returns a ranking of backbones with jobs of some seconds, the best first."""
    ranked = [
        Ranked(
            f"{seconds} s",
            Scores(0.9 - 0.1 * place, 0.1, 0.0, 0.0),
            Costs(1, 4, 1.0, None, 4, seconds),
        )
        for place, seconds in enumerate(jobs)
    ]
    return Ranking(tuple(ranked), {}, "probe", "accuracy", 20, 40, 1.0)


@pytest.mark.parametrize(
    "jobs, chosen, why",
    [
        ((20, 5), "20 s", "the best of 2"),
        ((500, 30, 5), "30 s", "the best of which 3 jobs fit into the time; 500 s has"),
        ((500, 400), "400 s", "the one with the shortest job"),
    ],
)
def test_the_best_backbone_that_there_is_time_for_is_chosen(jobs, chosen, why):
    decides = deciding._Deciding(deciding.time.perf_counter(), 100, verbose=0)
    assert decides.choose(ranking(*jobs)).name == chosen
    assert why in decides.said[0]


def test_bad_input_is_said_first():
    data = tl.from_arrays(*colours_without_validation(), validation_split=0)
    with pytest.raises(ValueError, match="training and validation examples"):
        tl.auto(data)
    with pytest.raises(ValueError, match="`seconds` must be a number above 0"):
        tl.auto(colours(), seconds=0)


def colours_without_validation():
    from helpers import solid_colours

    return solid_colours(12, 2, size=8)
