"""The cache: computed once, never half trusted, within its budget."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from types import SimpleNamespace

import hypothesis
import keras
import numpy as np
import pytest
from helpers import solid_colours, tiny_backbone, with_head, with_recipe

import tlkeras as tl
from tlkeras import cache
from tlkeras.features import extraction
from tlkeras.features.fingerprints import fingerprint_model

X, Y = solid_colours(40, 2)


def data(**arguments):
    settings = {"validation_split": 0.25, "test_split": 0.0, "batch_size": 8}
    return tl.from_arrays(X, Y, **{**settings, **arguments})


class Calls(list):
    traced = 0


@pytest.fixture
def calls(monkeypatch):
    """Counts the batches that a prefix is run on, and in `.traced` its compilations."""
    seen = Calls()
    compile_ = extraction.inference_function

    def counted(model):
        seen.traced += 1
        run = compile_(model)
        return lambda batch: seen.append(model.name) or run(batch)

    monkeypatch.setattr(extraction, "inference_function", counted)
    return seen


def tune(model, splits, **arguments):
    settings = {
        "head_epochs": 2,
        "epochs": 2,
        "unfreeze_from": "block2",
        "learning_rate": 0.05,
        "fine_tune_learning_rate": 0.01,
        "verbose": 0,
    }
    return tl.fine_tune(
        model, splits.train, splits.val, **with_recipe(**{**settings, **arguments})
    )


def built():
    """Returns a classifier that is not of our own, compiled."""
    return with_head(tiny_backbone(blocks=2))


def plain_backbone():
    """A backbone without dropout above the cut, whose randomness would differ."""
    inputs = keras.Input((16, 16, 3))
    x = inputs
    for number in range(1, 4):
        y = keras.layers.Conv2D(3, 3, padding="same", name=f"block{number}_conv")(x)
        y = keras.layers.BatchNormalization(name=f"block{number}_bn")(y)
        y = keras.layers.Conv2D(3, 3, padding="same", name=f"block{number}_conv2")(y)
        x = keras.layers.Add()([x, keras.layers.ReLU()(y)])
    return keras.Model(inputs, x, name="plain")


@pytest.mark.parametrize(
    ("place", "points"),
    [
        pytest.param("disk", "block3", marks=[pytest.mark.contract, pytest.mark.slow]),
        pytest.param(
            "memory", ["block3_conv2", "block2_conv2"], marks=pytest.mark.slow
        ),
    ],
)
def test_cached_and_uncached_training_give_the_same_history(calls, place, points):
    histories = []
    for cached in (place, False):
        keras.utils.set_random_seed(3)
        model = with_head(plain_backbone())
        history = tune(model, data(), cache=cached, unfreeze_from=points)
        if cached:
            # Once a freeze point: training and validation examples share a trace.
            assert calls.traced == 1 + len(np.atleast_1d(points))
        histories.append((history.history, model.get_weights()))
    (one, weights), (other, other_weights) = histories
    for name, values in one.items():
        np.testing.assert_allclose(values, other[name], rtol=1e-4, err_msg=name)
    for mine, theirs in zip(weights, other_weights, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-3, atol=1e-5)


def test_another_head_on_the_same_backbone_extracts_nothing(calls):
    backbone = tiny_backbone(blocks=2)
    for units in (2, 3):
        model = tl.freeze(with_head(backbone, units))
        tl.extract_features(model, data(seed=0).train, verbose=0)
        assert len(calls) == 4


@pytest.mark.slow
def test_another_process_finds_the_same_key(tmp_path):
    script = textwrap.dedent(
        """
        import sys
        sys.path.insert(0, sys.argv[1])
        import keras
        from helpers import tiny_backbone
        from tlkeras.features.fingerprints import fingerprint_model
        extra = [keras.layers.Dense(1) for _ in range(int(sys.argv[2]))]
        backbone = tiny_backbone()
        for weight in backbone.weights:
            weight.assign(keras.ops.ones_like(weight) * 0.5)
        print(fingerprint_model(backbone))
        """
    )
    folder = os.path.dirname(__file__)
    answers = [
        subprocess.run(
            [sys.executable, "-c", script, folder, number],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for number in ("0", "3")
    ]
    assert answers[0] == answers[1]


def changed_weight(model):
    model.layers[2].bias.assign(model.layers[2].bias + 1)


def changed_scale(model):
    model.layers[1].scale = 0.5


def changed_policy(model):
    model.layers[1].dtype_policy = keras.DTypePolicy("mixed_bfloat16")


@pytest.mark.parametrize("change", [changed_weight, changed_scale, changed_policy])
def test_the_fingerprint_follows_what_is_computed(change):
    model = tiny_backbone()
    before = fingerprint_model(model)
    assert fingerprint_model(model) == before
    model.trainable = False
    assert fingerprint_model(model) == before
    change(model)
    assert fingerprint_model(model) != before


def test_other_examples_labels_or_order_are_other_features(calls):
    model = built()
    for x, y in ((X, Y), (X, 1 - Y), (X[::-1], Y), (np.minimum(X, 99), Y)):
        before = len(calls)
        tl.extract_features(model, (x, y), verbose=0)
        assert len(calls) > before


def test_extract_features_returns_what_the_prefix_computes():
    model = built()
    tl.freeze(model)
    found = tl.extract_features(model, (X, Y), cache="memory", verbose=0)
    prefix = tl.split_model(model).prefix
    (array,) = found.arrays
    np.testing.assert_allclose(array, prefix.predict(X, verbose=0), rtol=1e-5)
    np.testing.assert_array_equal(found.labels, Y)
    assert (len(found), found.nbytes) == (40, array.nbytes)
    whole = tl.extract_features(tiny_backbone(), (X, Y), cache=False, verbose=0)
    assert whole.arrays[0].shape == (40, 16, 16, 4)


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_features_are_stored_in_the_precision_that_they_have(policy, tmp_path):
    keras.config.set_dtype_policy(policy)
    model = tl.image_classifier(tiny_backbone(), 2)
    tl.freeze(model, unfreeze_from="block3")
    found = tl.extract_features(model, (X, Y), cache=tmp_path, verbose=0)
    assert found.arrays[0].dtype == policy.removeprefix("mixed_")
    again = tl.extract_features(model, (X, Y), cache=tmp_path, verbose=0)
    assert again.seconds == 0.0
    np.testing.assert_array_equal(*(np.array(f.arrays[0]) for f in (found, again)))
    history = tune(model, data(), cache=tmp_path)
    assert history.history["loss"][-1] < history.history["loss"][0]


def fill(folder, key="k", rows=10, finished=10, value=1.0):
    specs = [cache.ArraySpec((3,), "float32")]
    writer = cache.EntryWriter(folder, key, specs, rows, "test")
    writer.write(writer.finished, [np.full((finished - writer.finished, 3), value)])
    return writer


def test_an_unfinished_entry_is_never_opened_and_what_was_flushed_is_kept(tmp_path):
    writer = fill(tmp_path, finished=6)
    assert cache.open_entry(tmp_path, "k") is None
    writer._flush(6)
    again = fill(tmp_path, value=2.0)
    assert again.finished == 6
    again.finish()
    (array,) = cache.open_entry(tmp_path, "k")
    np.testing.assert_array_equal(array[:, 0], [1.0] * 6 + [2.0] * 4)


def test_an_unfinished_entry_of_another_plan_starts_anew(tmp_path):
    fill(tmp_path, finished=6)._flush(6)
    assert fill(tmp_path, rows=12, finished=12).finished == 0


def test_a_damaged_entry_is_not_opened(tmp_path):
    fill(tmp_path).finish()
    path = tmp_path / "k" / "0.bin"
    path.write_bytes(path.read_bytes()[:-1])
    assert cache.open_entry(tmp_path, "k") is None
    fill(tmp_path).finish()
    assert cache.open_entry(tmp_path, "k") is not None


KILLED = """
import sys, time
sys.path.insert(0, sys.argv[1])
import keras, numpy as np
import tlkeras as tl
from helpers import solid_colours, tiny_backbone
from tlkeras import cache
from tlkeras.features import extraction
cache.FLUSH_BYTES = 1
backbone = tiny_backbone()
for weight in backbone.weights:
    weight.assign(keras.ops.ones_like(weight) * 0.01)
compile_ = extraction.inference_function
def slow(model):
    run = compile_(model)
    def wait(batch):
        time.sleep(float(sys.argv[2]))
        print("batch", flush=True)
        return run(batch)
    return wait
extraction.inference_function = slow
x, y = solid_colours(320, 2)
found = tl.extract_features(backbone, (x, y), verbose=0)
print("done", float(np.sum(found.arrays[0][:, 0, 0, 0])), flush=True)
"""


def extracting(pause, folder):
    return subprocess.Popen(
        [sys.executable, "-c", KILLED, os.path.dirname(__file__), str(pause)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TLKERAS_CACHE": str(folder)},
    )


@pytest.mark.slow
def test_a_killed_extraction_is_resumed_by_the_next_process(tmp_path):
    process = extracting(0.2, tmp_path)
    for _ in range(4):
        process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert tl.cache_info(tmp_path).entries == ()
    second, reference = extracting(0, tmp_path), extracting(0, tmp_path / "other")
    lines = second.communicate()[0].splitlines()
    expected = reference.communicate()[0].splitlines()
    assert lines[-1] == expected[-1]
    assert len(lines) < len(expected)
    assert len(tl.cache_info(tmp_path).entries) == 1


@pytest.mark.slow
def test_two_processes_at_once_extract_once(tmp_path):
    both = [extracting(0.05, tmp_path) for _ in range(2)]
    outputs = [process.communicate()[0].splitlines() for process in both]
    assert outputs[0][-1] == outputs[1][-1]
    assert sum(len(lines) - 1 for lines in outputs) == 10


def test_info_and_clearing(tmp_path):
    for key in ("abc", "abd", "xyz"):
        fill(tmp_path, key).finish()
    info = tl.cache_info(tmp_path)
    assert info.size == 3 * 120 and len(info.entries) == 3
    assert "3 entries, 360 B" in str(info)
    with pytest.raises(ValueError, match="No cache entry starts with 'q'"):
        tl.clear_cache("q", tmp_path)
    assert tl.clear_cache("ab", tmp_path) == 240
    fill(tmp_path, "part", finished=5)._flush(5)
    assert tl.clear_cache(folder=tmp_path) == 120
    assert tl.cache_info(tmp_path).entries == ()
    assert not list(tmp_path.iterdir())


def test_the_least_recently_used_entries_give_way(tmp_path, monkeypatch):
    monkeypatch.setenv("TLKERAS_CACHE_GB", str(300 / 1e9))
    for age, key in enumerate(("new", "old")):
        fill(tmp_path, key).finish()
        stamp = time.time() - 100 * age
        os.utime(tmp_path / key / "meta.json", (stamp, stamp))
    assert cache.make_room(tmp_path, {"k": 150})
    assert entry_keys(tmp_path) == ["new"]
    assert not cache.make_room(tmp_path, {"k": 301})
    assert entry_keys(tmp_path) == ["new"]


def entry_keys(folder):
    return sorted(entry.key for entry in tl.cache_info(folder).entries)


def fill_two(folder, older, newer):
    for key in (older, newer):
        fill(folder, key).finish()
    old = time.time() - 100
    os.utime(folder / older / "meta.json", (old, old))


def full_disk(monkeypatch, free=0):
    usage = SimpleNamespace(free=free)
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda folder: usage)


def test_complete_entries_need_no_room_and_stay(tmp_path, monkeypatch):
    monkeypatch.setenv("TLKERAS_CACHE_GB", str(300 / 1e9))
    fill_two(tmp_path, "train", "other")
    assert cache.make_room(tmp_path, {"train": 120, "val": 120})
    assert entry_keys(tmp_path) == ["train"]
    full_disk(monkeypatch)
    assert cache.make_room(tmp_path, {"train": 120})
    assert not cache.make_room(tmp_path, {"train": 120, "val": 120})


def test_entries_that_a_run_reads_are_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("TLKERAS_CACHE_GB", str(300 / 1e9))
    fill_two(tmp_path, "lower", "other")
    assert not cache.make_room(tmp_path, {"k": 200}, keep=["lower"])
    assert entry_keys(tmp_path) == ["lower", "other"], "nothing is deleted in vain"
    assert cache.make_room(tmp_path, {"k": 150}, keep=["lower"])
    assert entry_keys(tmp_path) == ["lower"]


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="claims no space")
def test_an_unfinished_entry_has_its_room_on_the_disk(tmp_path, monkeypatch):
    fill(tmp_path, finished=6)._flush(6)
    full_disk(monkeypatch)
    assert cache.make_room(tmp_path, {"k": 120})
    assert not cache.make_room(tmp_path, {"k": 10**6})


def test_features_over_half_the_budget_or_on_a_full_disk_are_found_again(
    tmp_path, monkeypatch, calls, capsys
):
    splits, model = data(), tl.freeze(built())
    for part in (splits.train, splits.val):
        tl.extract_features(model, part, cache=tmp_path, verbose=0)
    count, size = len(calls), tl.cache_info(tmp_path).size
    monkeypatch.setenv("TLKERAS_CACHE_GB", str(1.5 * size / 1e9))
    full_disk(monkeypatch)
    tune(model, splits, epochs=0, cache=tmp_path, verbose=2)
    assert "Not cached" not in capsys.readouterr().out
    assert len(calls) == count


def test_a_later_phase_does_not_push_out_what_it_is_computed_from(
    tmp_path, monkeypatch, calls
):
    splits, model = data(validation_split=0), built()
    kept = []

    def seen(folder, sizes, keep=()):
        kept.append((set(sizes), set(keep)))
        return make_room(folder, sizes, keep)

    make_room = cache.make_room
    monkeypatch.setattr(cache, "make_room", seen)
    tune(model, splits, cache=tmp_path, head_epochs=1, epochs=1)
    (lowest, nothing), (_, keep) = kept
    assert nothing == set() and keep == lowest
    assert len(calls) == 2 * 5


def test_a_hit_compiles_nothing(tmp_path, monkeypatch):
    backbone = tiny_backbone()
    tl.extract_features(backbone, (X, Y), cache=tmp_path, verbose=0)
    monkeypatch.setattr(extraction, "inference_function", None)
    found = tl.extract_features(backbone, (X, Y), cache=tmp_path, verbose=0)
    assert len(found) == len(Y)


def test_over_budget_the_uncached_path_is_taken_and_said(monkeypatch, capsys):
    monkeypatch.setenv("TLKERAS_CACHE_GB", "0.0000005")
    model = built()
    history = tl.fit_head(model, (X, Y), epochs=1, verbose=2)
    assert "Not cached" in capsys.readouterr().out
    assert len(history.epoch) == 1
    with pytest.raises(ValueError, match="do not fit.*budget"):
        tl.extract_features(model, (X, Y))


def test_a_dataset_of_unknown_origin_is_not_cached_and_said(capsys, calls):
    splits = data()
    mapped = splits.train.map(lambda x, y: (x, y))
    tl.fit_head(built(), mapped, epochs=1, verbose=2)
    assert "Not cached" in capsys.readouterr().out
    assert not calls


def test_augmentation_in_the_model_turns_the_cache_off(calls):
    inputs = keras.Input((16, 16, 3))
    x = keras.layers.RandomFlip("horizontal")(inputs)
    x = keras.layers.Flatten()(tiny_backbone(blocks=1)(x))
    model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(x))
    model.compile("adam", "sparse_categorical_crossentropy", jit_compile=False)
    tl.fit_head(model, data().train, epochs=1, verbose=0)
    assert not calls


@pytest.mark.parametrize("bad", ["dsk", 3, None, ""])
def test_a_bad_cache_argument(bad):
    with pytest.raises(ValueError, match="`cache` must be"):
        tune(built(), data(), cache=bad)


def test_a_bad_budget(monkeypatch):
    monkeypatch.setenv("TLKERAS_CACHE_GB", "much")
    with pytest.raises(ValueError, match="TLKERAS_CACHE_GB"):
        tl.cache_info()


def test_half_written_json_counts_for_nothing(tmp_path):
    fill(tmp_path).finish()
    meta = tmp_path / "k" / "meta.json"
    meta.write_text(json.dumps({"rows": 10})[:5])
    assert cache.open_entry(tmp_path, "k") is None
    assert tl.cache_info(tmp_path).entries == ()


class Positions:
    """Examples that are their own positions."""

    def in_order(self, positions, batch_size):
        return positions.batch(batch_size)


def test_every_epoch_has_an_order_of_its_own_that_repeats():
    import tensorflow as tf

    from tlkeras.features.order import Order, endless_epochs

    def epochs(first, count, shuffled=True, seed=1):
        order = Order(10, shuffled, seed)
        batches = endless_epochs(Positions(), 3, order, first)
        flat = [np.array(batch) for batch in batches.take(3 * count)]
        return [np.concatenate(flat[3 * i : 3 * i + 3]).tolist() for i in range(count)]

    several = epochs(0, 3)
    assert all(sorted(order) == list(range(10)) for order in several)
    assert several[0] != several[1] != several[2]
    assert epochs(1, 2) == several[1:]
    assert epochs(0, 1, seed=2) != several[:1]
    assert epochs(0, 1, shuffled=False) == [list(range(10))]
    tf.random.set_seed(99)
    assert epochs(0, 3) == several


@hypothesis.settings(deadline=None, max_examples=25)
@hypothesis.given(
    count=hypothesis.strategies.integers(1, 40),
    batch_size=hypothesis.strategies.integers(1, 12),
    views=hypothesis.strategies.integers(1, 3),
)
@pytest.mark.slow
def test_batches_of_an_epoch_are_of_nearly_equal_size(count, batch_size, views):
    from tlkeras.features.order import Order, endless_epochs

    steps, order = -(-count // batch_size), Order(count, True, 0, views)
    batches = endless_epochs(Positions(), steps, order)
    later = endless_epochs(Positions(), steps, order, 1, steps // 2)
    for one, other in zip(
        batches.skip(steps + steps // 2).take(steps), later.take(steps), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    read = [np.array(batch) for batch in batches.take(steps * views)]
    sizes = [len(batch) for batch in read]
    assert max(sizes) <= batch_size
    assert max(sizes) - min(sizes) <= 1
    assert sorted(np.concatenate(read)) == list(range(count * views))
    first = np.concatenate(read[:steps])
    assert sorted(first) == list(range(count)), "an epoch reads one view"


def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    backbone = tiny_backbone(blocks=1)
    with pytest.raises(ValueError, match="cannot be kept in"):
        tl.extract_features(backbone, (X, Y), cache=tmp_path / "file", verbose=0)
    monkeypatch.setenv("TLKERAS_CACHE", str(tmp_path / "file" / "below"))
    with pytest.raises(ValueError, match="cannot be kept in"):
        tl.extract_features(backbone, (X, Y), cache="disk", verbose=0)
    tl.fit_head(built(), (X, Y), epochs=1)
    assert "kept in memory" in capsys.readouterr().out


def test_a_full_disk_is_an_error_before_anything_is_written(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache.os, "posix_fallocate", full, raising=False)
    with pytest.raises(OSError, match="No space left"):
        fill(tmp_path)
    assert cache.open_entry(tmp_path, "k") is None


# Code of the user's own.


SCALE = 255.0


def layer_of(source, **names):
    """Runs a notebook's cell and returns the layer that it makes."""
    space = {"keras": keras, "np": np, "__name__": "__main__", **names}
    exec(source, space)
    return space["make"]()


CALL = """
class Scale(keras.layers.Layer):
    def call(self, x): return x {}
make = Scale
"""
HELPER = """
def helper(x): return x {}
class Scale(keras.layers.Layer):
    def call(self, x): return helper(x)
make = Scale
"""
GLOBAL = """
FACTOR = 1 {}
class Scale(keras.layers.Layer):
    def call(self, x): return x * FACTOR
make = Scale
"""
ATTRIBUTE = """
class Scale(keras.layers.Layer):
    def __init__(self):
        super().__init__()
        self.factor = np.array(1 {})
    def call(self, x): return x * self.factor
make = Scale
"""
PARENT = """
class Parent(keras.layers.Layer):
    def call(self, x): return self.scaled(x)
    def scaled(self, x): return x {}
class Scale(Parent): pass
make = Scale
"""
FUNCTION = """
def scale(x): return x {}
make = lambda: keras.layers.Lambda(scale)
"""
ACTIVATION = """
def scale(x): return x {}
make = lambda: keras.layers.Activation(scale)
"""
CLOSURE = """
def outer(factor):
    return lambda x: x * factor
make = lambda: keras.layers.Activation(outer(1 {}))
"""
CELLS = [CALL, HELPER, GLOBAL, ATTRIBUTE, PARENT, FUNCTION, ACTIVATION, CLOSURE]


@pytest.mark.parametrize("cell", CELLS)
def test_a_fingerprint_covers_the_code_of_the_users_own(cell):
    def fingerprint(text):
        inputs = keras.Input((2, 2, 3))
        return fingerprint_model(keras.Model(inputs, layer_of(text)(inputs)))

    first, again, changed = map(
        fingerprint, (cell.format("+ 0.0"), cell.format("+ 0.0"), cell.format("* 2.0"))
    )
    assert first == again != changed
    # Where in the notebook a cell stands does not matter.
    if cell not in (FUNCTION, CLOSURE):
        assert fingerprint("\n\n" + cell.format("+ 0.0")) == first


def test_pictures_that_are_rewritten_in_place_are_read_anew(tmp_path):
    for name, counts in (("a", 4), ("b", 4)):
        (tmp_path / "in" / name).mkdir(parents=True)
        for i in range(counts):
            pixels = np.full((20, 40, 3), 20 * i + 5, "uint8")
            keras.utils.save_img(
                tmp_path / "in" / name / f"{i}.png", pixels, scale=False
            )
    data = tl.image_folder(
        tmp_path / "in", image_size=16, validation_split=0, test_split=0
    )
    model = tl.image_classifier(tiny_backbone(blocks=1), data.class_names)

    def features(cache):
        found = tl.extract_features(model, data.train, cache=cache, verbose=0)
        return np.array(found.arrays[0])

    before = features(tmp_path / "cache")
    np.testing.assert_array_equal(features(tmp_path / "cache"), before)
    for path in (tmp_path / "in").rglob("*.png"):
        keras.utils.save_img(path, np.full((64, 16, 3), 250, "uint8"), scale=False)
    after = features(tmp_path / "cache")
    assert not np.allclose(after, before)
    np.testing.assert_array_equal(after, features(False))
