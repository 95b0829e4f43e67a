"""`batch_size="auto"`: where the search ends, and that it leaves no trace."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import solid_colours, tiny_backbone, with_head
from test_finder import assert_same_state, state_of, trained_model
from text_models import SENTENCES, tiny_bert

import tlkeras as tl
from tlkeras.freezing import freeze_index
from tlkeras.training import batch_size
from tlkeras.training.batch_size import BatchSize, search
from tlkeras.training.job import Fitting, open_job

GB = 10**9


def largest_batch(model, data, unfreeze_from=None, verbose=0):
    job = open_job(model, data, fitting=Fitting(verbose=verbose))
    frozen = freeze_index(job.backbone, unfreeze_from)
    return batch_size.largest_batch(job, frozen)


class Memory:
    """Stands in for a training step on a machine with so much memory."""

    def __init__(self, limit, error=None, bytes_each=0):
        self.limit, self.error, self.bytes_each = limit, error, bytes_each
        self.tried = []

    def __call__(self, size):
        self.tried.append(size)
        if size > self.limit:
            raise self.error
        return size * self.bytes_each


def exhausted():
    return tf.errors.ResourceExhaustedError(None, None, "OOM when allocating")


def wrapped():
    return tf.errors.InternalError(None, None, "RESOURCE_EXHAUSTED: out of memory")


def wrapped_by_a_layer():
    return RuntimeError("Exception encountered when calling Dense: OOM when allocating")


@pytest.mark.parametrize("error", [exhausted, wrapped, wrapped_by_a_layer, MemoryError])
def test_it_ends_where_the_memory_is_exhausted(error):
    step = Memory(100, error())
    assert search(step, 512, "most", None) == BatchSize(
        64, "with 128 the memory was exhausted"
    )
    assert step.tried == [8, 16, 32, 64, 128]


def test_it_goes_down_where_the_first_size_is_too_large():
    step = Memory(3, exhausted())
    found = search(step, 512, "most", None)
    assert step.tried == [8, 4, 2]
    assert found == BatchSize(2, "with 4 the memory was exhausted")


def test_not_even_one_example_is_an_error():
    with pytest.raises(ValueError, match="Not even a batch of one example"):
        search(Memory(0, exhausted()), 512, "most", None)


class TooLarge(keras.layers.Layer):
    """Stands in for what a device has too little memory for, while it trains."""

    def call(self, x, training=False):
        def fail(values):
            raise MemoryError("OOM when allocating tensor with shape[8,4]")

        if not training:
            return x
        return tf.ensure_shape(tf.py_function(fail, [x], x.dtype), x.shape)

    def compute_output_shape(self, shape):
        return shape


def test_a_batch_that_is_too_large_is_named():
    inputs = keras.Input((8, 8, 3))
    x = TooLarge()(tiny_backbone(8, width=2, blocks=1)(inputs))
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, keras.layers.Dense(2)(x))
    model.compile("sgd", "sparse_categorical_crossentropy", jit_compile=False)
    with pytest.raises(MemoryError, match=r"batch_size=8\. Take .*TensorFlow says: "):
        tl.fit_head(
            model,
            solid_colours(16, 2, size=8),
            recipe=tl.Recipe(batch_size=8, head="gradient"),
            cache=False,
            verbose=0,
        )


def test_other_errors_pass():
    with pytest.raises(ZeroDivisionError):
        search(Memory(0, ZeroDivisionError()), 512, "most", None)


def test_it_ends_before_half_of_the_free_memory_is_taken():
    step = Memory(512, bytes_each=GB // 100)
    found = search(step, 512, "most", 2 * GB)
    # 64 examples take 0.64 GB, 128 would take 1.28, which is more than 1.
    assert found.size == 64 and step.tried[-1] == 64
    assert "640 MB more" in found.reason and "50% of the 2" in found.reason


@pytest.mark.parametrize(
    ("count", "size", "reason"),
    [
        (50_000, 512, "as large as"),
        (2_000, 64, "20 steps in an epoch of 2,000"),
        (320, 16, "20 steps"),
        (100, 8, "only 100 examples"),
        (5, 5, "only 5 examples"),
    ],
)
def test_it_ends_where_an_epoch_would_have_few_steps(count, size, reason):
    most, why = batch_size._upper_bound(count)
    found = search(Memory(512), most, why, None)
    assert found.size == size
    assert reason in str(found)


@pytest.mark.slow
@pytest.mark.parametrize("point", [None, "block2"])
def test_a_model_is_tried_and_stays_as_it_was(point, capsys):
    model = trained_model()
    before = state_of(model)
    found = largest_batch(model, solid_colours(700, 2), unfreeze_from=point, verbose=2)
    assert found.size == 32
    assert "Batch size 32: the largest that leaves 20 steps" in capsys.readouterr().out
    assert_same_state(before, state_of(model))


@pytest.mark.slow
def test_the_steps_are_real_and_of_the_sizes_said(monkeypatch):
    taken = []

    class Note(batch_size._Step):
        def __call__(self, size):
            before = int(np.asarray(self.model.optimizer.iterations))
            grown = super().__call__(size)
            taken.append((size, int(np.asarray(self.model.optimizer.iterations))))
            assert taken[-1][1] > before
            return grown

    monkeypatch.setattr(batch_size, "_Step", Note)
    largest_batch(trained_model(), solid_colours(700, 2), verbose=0)
    assert taken == [(8, 2), (16, 4), (32, 6)]


@pytest.mark.slow
def test_a_failing_step_leaves_no_trace(monkeypatch):
    class Fail(batch_size._Step):
        def __call__(self, size):
            super().__call__(size)
            if size > 8:
                raise exhausted()
            return 0

    monkeypatch.setattr(batch_size, "_Step", Fail)
    model = trained_model()
    before = state_of(model)
    data = solid_colours(700, 2)
    assert largest_batch(model, data, unfreeze_from="stem", verbose=0).size == 8
    assert_same_state(before, state_of(model))


def test_memory_is_watched_while_a_step_runs():
    with batch_size._watched_memory() as seen:
        block = np.ones(10**8, "uint8")
        for _ in range(20):
            block += 1
        del block
    assert max(seen) - seen[0] > 0.9 * 10**8
    assert 0 < batch_size.free_memory() < 10**15


@pytest.mark.slow
def test_texts_are_tried_at_their_greatest_length():
    backbone, tokenizer = tiny_bert()
    model = tl.text_classifier(backbone, 2, tokenizer=tokenizer, sequence_length=30)
    long = "the film was good " * 9
    texts = np.array([*filter(None, SENTENCES * 20), long])
    labels = np.arange(len(texts)) % 2
    data = tl.from_arrays(texts, labels, validation_split=0, test_split=0)
    job = open_job(model, data.train, fitting=Fitting(verbose=0))
    frozen = freeze_index(job.backbone, "transformer_layer_1")
    with batch_size.trial(job, frozen) as ready:
        step = batch_size._Step(ready)
        lengths = {part.shape[1] for part in _flat(step.batch[0])}
        step(16)
    assert lengths == {30}


def test_rows_are_repeated_in_their_order():
    array = np.arange(6).reshape(3, 2)
    longer = batch_size.repeated(array, 5, axis=0)
    np.testing.assert_array_equal(longer[:, 0], [0, 2, 4, 0, 2])
    np.testing.assert_array_equal(batch_size.repeated(array, 1, axis=1), array[:, :1])


def test_data_of_unknown_length_are_refused():
    model = with_head(tiny_backbone())
    data = tf.data.Dataset.from_tensor_slices(solid_colours(48, 2)).batch(8)
    with pytest.raises(ValueError, match="batch_size='auto' needs to know"):
        largest_batch(model, data, verbose=0)


def _flat(structure):
    return keras.tree.flatten(structure)
