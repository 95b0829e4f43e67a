"""`rank_backbones`: its order, its costs, its budget, and what cannot be ranked."""

import keras
import numpy as np
import pytest
from helpers import solid_colours
from hums import make_hums, small_backbone
from text_models import SENTENCES, tiny_bert

import tlkeras as tl
from tlkeras.choosing import costs, ranking
from tlkeras.choosing.costs import Costs
from tlkeras.choosing.progress import Clock


def colours(n=60, classes=3):
    return tl.from_arrays(*solid_colours(n, classes, size=8), seed=0, batch_size=8)


def seeing(name="seeing", seed=0):
    """Returns a backbone that sees colours."""
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Rescaling(1 / 255)(inputs)
    start = keras.initializers.GlorotUniform(seed)
    x = keras.layers.Conv2D(8, 1, kernel_initializer=start, name="block1")(x)
    x = keras.layers.Conv2D(8, 3, kernel_initializer=start, name="block2")(x)
    return keras.Model(inputs, x, name=name)


def blind():
    """Returns a backbone that sees nothing: its features are zero."""
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Rescaling(1 / 255)(inputs)
    x = keras.layers.Conv2D(1, 5, kernel_initializer="zeros")(x)
    return keras.Model(inputs, x, name="blind")


def missing():
    raise FileNotFoundError("put the file into\n a folder")


@pytest.fixture(scope="module")
def ranked():
    candidates = {"blind": blind, "missing": missing, "seeing": seeing()}
    candidates["small"] = keras.Model(*two_tensors())
    return tl.rank_backbones(colours(), candidates, cache=False, verbose=0)


def two_tensors():
    """Returns what makes a backbone for pictures of another size."""
    inputs = keras.Input((4, 4, 3))
    return inputs, keras.layers.Conv2D(2, 3)(keras.layers.Rescaling(1 / 255)(inputs))


def test_the_most_suitable_comes_first_and_what_fails_last_with_its_reason(ranked):
    table = ranked.table
    assert list(table.index[:2]) == ["seeing", "blind"] and ranked.best == "seeing"
    assert table.probe["seeing"] > table.probe["blind"]
    assert table.log_me["seeing"] > table.log_me["blind"]
    assert table.h_score["seeing"] > table.h_score["blind"]
    assert table.reason["missing"] == "FileNotFoundError: put the file into a folder"
    assert "(8, 8" in table.reason["small"]
    assert table.probe[["missing", "small"]].isna().all()
    assert "missing: FileNotFoundError" in str(ranked)
    assert ranked.measure == "accuracy" and "accuracy" in str(ranked)
    assert ranked.candidates["blind"] is blind


def test_its_costs_are_told(ranked):
    row = ranked.table.loc["seeing"]
    parameters = ranked.candidates["seeing"].count_params()
    assert row.parameters == parameters
    assert row.weights_mb == pytest.approx(4 * parameters / 1e6)
    assert row.input == "8 x 8 x 3" and row.licence is None
    assert row.ms_per_example > 0 and row.job_seconds > 0
    assert row.training_mb > row.weights_mb
    assert len(ranked.pareto("parameters")) == 2
    assert ranked.plot("parameters").get_ylabel() == "accuracy"
    with pytest.raises(ValueError, match="`cost` must be one of 'ms_per_example'"):
        ranked.plot("price")


def test_training_costs_what_is_above_the_freeze_point():
    data, model = colours(), seeing()
    whole = tl.image_classifier(model, data.class_names)
    examples = ranking.examples_of(data.train)
    none, upper, both = (
        costs.measure_costs(whole, examples, (100, 20), 8, point)
        for point in (None, "block2", "block1")
    )
    assert none.training_bytes == 4 * model.count_params()
    assert upper.unfreeze_from == "block2"
    kernels = 3 * 8 * 64, 3 * 3 * 8 * 8 * 36
    share = kernels[1] / sum(kernels)
    given, trained = 4 * 6 * 6 * 8, 3 * 3 * 8 * 8 + 8
    expected = none.training_bytes + 12 * trained + 2 * 8 * given
    assert upper.training_bytes == expected < both.training_bytes
    passes = 120 * (2 - share) + 10 * share * (3 * 100 + 20)
    assert upper.job_seconds == pytest.approx(passes * upper.milliseconds / 1e3)


@pytest.mark.slow
def test_within_seconds_all_see_the_same_fewer_examples(monkeypatch):
    monkeypatch.setattr(ranking, "_FEWEST", 12)
    took = {"seeing": 1.0, "slow": 1e6}

    def known(model, *arguments):
        name = model.backbone.name
        return Costs(1, 4, took[name], None, 4, 1.0)

    monkeypatch.setattr(ranking, "measure_costs", known)
    # Two thirds of the time are gone, for other things than building.
    monkeypatch.setattr(
        ranking, "Clock", lambda began, *others: Clock(began - 400, *others)
    )
    monkeypatch.setattr(ranking, "_FOR_PASSES", 0.001 * 15 / 200)
    found = tl.rank_backbones(
        colours(), [seeing(), seeing("slow")], seconds=600, cache=False, verbose=0
    )
    assert found.table.reason["slow"].startswith("no time for it: 1e+06 ms")
    assert found.best == "seeing" and 12 < found.examples <= 16 < found.of
    # However little time there is, one is looked at.
    monkeypatch.undo()
    found = tl.rank_backbones(
        colours(), [seeing(), seeing("2")], seconds=1e-3, cache=False, verbose=0
    )
    assert found.best == "seeing" and found.table.probe["seeing"] > 0.9


@pytest.mark.slow
def test_ties_are_broken_by_the_loss_and_any_score_may_decide(capsys):
    again = tl.rank_backbones(
        colours(), [seeing(), seeing(seed=3), blind()], examples=30, by="loss"
    )
    assert list(again.table.index)[-1] == "blind"
    assert sorted(again.table.index) == ["blind", "seeing", "seeing (2)"]
    assert again.table.loss.is_monotonic_increasing and again.examples == 30
    assert again.plot().get_ylabel() == "-loss"
    said = capsys.readouterr().out
    assert "[1/3] seeing: " in said and "left)" in said


@pytest.mark.slow
def test_texts_numbers_heads_and_new_inputs_are_ranked_alike():
    backbone, tokenizer = tiny_bert()
    texts = tl.from_arrays(np.array(SENTENCES[:3] * 10), np.arange(30) % 3, seed=0)

    def bert():
        return tl.text_classifier(backbone, 3, tokenizer=tokenizer, sequence_length=8)

    found = tl.rank_backbones(texts, [bert], cache=False, verbose=0)
    assert found.best == "bert" and found.table.input["bert"] == "8 tokens"
    hums, pitches = make_hums(40, (200, 400))
    labels = {"pitch": pitches, "height": pitches * 2.5}
    both = tl.from_arrays(hums, labels, seed=0)
    assert both.task == "multi_task"
    found = tl.rank_backbones(both, [small_backbone()], cache=False, verbose=0)
    assert found.measure == "probe" and 0.2 < found.table.probe["small"] <= 1
    assert np.isfinite(found.table.h_score["small"])


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"backbones": ["mobilenet_v9"]}, "No such backbone: 'mobilenet_v9'. Did you"),
        ({"backbones": ["minilm"]}, "'minilm' is for texts; the data are pictures"),
        ({"backbones": "glyphnet"}, "must be a list of candidates"),
        ({"backbones": []}, "no backbone to rank. Pass .* some for pictures"),
        ({"backbones": [3]}, "A candidate must be the name"),
        ({"by": "luck"}, "`by` must be one of 'probe'"),
        ({"examples": 5}, "`examples` must be a whole number of at least 20"),
        ({"seconds": 0}, "`seconds` must be a number above 0"),
        ({"backbones": [missing]}, "None of the backbones could be scored.*missing"),
    ],
)
def test_what_cannot_be_ranked_is_said_first(arguments, message):
    arguments = {"backbones": ["glyphnet"], "verbose": 0, **arguments}
    with pytest.raises(ValueError, match=f"(?s){message}"):
        tl.rank_backbones(colours(), **arguments)


def test_only_splits_are_ranked_on_and_only_classes_have_an_h_score():
    with pytest.raises(ValueError, match="`data` must be `Splits`"):
        tl.rank_backbones(solid_colours(10, 2))
    x, y = solid_colours(30, 2, size=8)
    numbers = tl.from_arrays(x, y * 1.5, seed=0)
    with pytest.raises(ValueError, match="H-score is of exclusive classes"):
        tl.rank_backbones(numbers, [seeing()], by="h_score")
