"""Optimizers of a phase: rates by depth, decays, schedules, saving, distribution."""

import math
import subprocess
import sys

import keras
import numpy as np
import pytest
from helpers import solid_colours, tiny_backbone, with_head

from tlkeras.freezing import freeze
from tlkeras.optimizers import (
    Constant,
    Cosine,
    OneCycle,
    check_rate_callbacks,
    named_optimizer,
    phase_optimizer,
    resolve_schedule,
)
from tlkeras.optimizers.per_variable import PerVariable, _class_on

SGD = keras.optimizers.SGD
AdamW = keras.optimizers.AdamW
X, Y = solid_colours(16, 2)


def unfrozen():
    """Returns a tiny classifier that trains from the stem on, batch norms apart."""
    return freeze(with_head(tiny_backbone()), 0)


def values(model):
    return [np.array(v) for v in model.trainable_variables]


def apply(optimizer, model, size=1.0):
    """Takes one step with gradients of `size`; returns how far each variable went."""
    before = values(model)
    gradients = [size * keras.ops.ones(v.shape) for v in model.trainable_variables]
    optimizer.apply(gradients, model.trainable_variables)
    return [new - old for new, old in zip(values(model), before, strict=True)]


def compiled(optimizer, model):
    model.compile(optimizer, "sparse_categorical_crossentropy", jit_compile=False)
    model.optimizer.build(model.trainable_variables)
    return model


def fit(model, epochs=1, **arguments):
    return model.fit(X, Y, batch_size=8, epochs=epochs, verbose=0, **arguments)


# --- rates -----------------------------------------------------------------------


def test_each_block_has_its_rate():
    model = unfrozen()
    optimizer = phase_optimizer(
        model, optimizer=SGD(), learning_rate=0.1, layer_decay=0.5
    )
    moved = apply(optimizer, model, size=2.0)
    # Kernel and bias of the stem, of three blocks and of the head.
    factors = np.repeat([1 / 16, 1 / 8, 1 / 4, 1 / 2, 1], 2)
    for factor, delta in zip(factors, moved, strict=True):
        np.testing.assert_allclose(delta, -0.1 * factor * 2.0, rtol=1e-4, atol=1e-7)


def test_groups_by_name():
    model = unfrozen()
    groups = {"block": 0.5, "block2": 0.1, "out": 2.0}
    optimizer = phase_optimizer(
        model, optimizer=SGD(), learning_rate=1, layer_decay=groups
    )
    moved = [delta.mean() for delta in apply(optimizer, model)][::2]
    np.testing.assert_allclose(moved, [-1, -0.5, -0.1, -0.5, -2], rtol=1e-4)


def test_same_paths_in_two_models_are_told_apart():
    backbone = tiny_backbone()
    model = with_head(backbone)
    model.layers[-1].name = "stem_conv"
    freeze(model, 0)
    optimizer = phase_optimizer(
        model, optimizer=SGD(), learning_rate=1.0, layer_decay=0.5
    )
    assert optimizer.get_config()["rules"][-1][0] == 1
    assert optimizer.get_config()["rules"][0][0] == 1 / 16


def test_a_step_of_adam_scales_with_the_factor():
    model = unfrozen()
    optimizer = phase_optimizer(model, learning_rate=0.1, layer_decay=0.5)
    assert isinstance(optimizer, keras.optimizers.Adam)
    moved = [delta.mean() for delta in apply(optimizer, model)][::2]
    expected = -0.1 / np.array([16, 8, 4, 2, 1])
    np.testing.assert_allclose(moved, expected, rtol=1e-3)


def test_plain_class_where_nothing_is_asked():
    model = unfrozen()
    for arguments in [{}, {"layer_decay": 1.0}, {"optimizer": AdamW(weight_decay=0.0)}]:
        made = phase_optimizer(model, **arguments)
        assert not isinstance(made, PerVariable)
        assert not made.built


@pytest.mark.slow
def test_settings_are_kept_and_state_is_fresh():
    model = unfrozen()
    given = SGD(0.5, momentum=0.8, nesterov=True, clipvalue=0.3, use_ema=True)
    compiled(given, model)
    fit(model)
    made = phase_optimizer(model, layer_decay=0.5)
    assert (made.momentum, made.nesterov, made.clipvalue) == (0.8, True, 0.3)
    assert made.use_ema and int(made.iterations) == 0
    assert float(made.learning_rate) == pytest.approx(0.5)
    # The next phase starts from the kind, not from this phase's rules.
    compiled(made, model)
    assert type(phase_optimizer(model)) is SGD


# --- decay -----------------------------------------------------------------------


def test_weight_decay_equals_keras_with_exclusions():
    ours, theirs = unfrozen(), unfrozen()
    theirs.set_weights(ours.get_weights())
    plain = AdamW(0.01, weight_decay=0.3)
    plain.exclude_from_weight_decay(var_names=["bias"])
    made = phase_optimizer(ours, optimizer=AdamW(weight_decay=0.3), learning_rate=0.01)
    compiled(made, ours)
    compiled(plain, theirs)
    assert isinstance(made, PerVariable)
    for size in (1.0, -2.0, 0.5):
        moved = apply(made, ours, size), apply(plain, theirs, size)
        for a, b in zip(*moved, strict=True):
            np.testing.assert_array_equal(a, b)
            assert np.abs(a).max() > 0


def test_decay_follows_the_rate_and_spares_what_the_user_named():
    model = unfrozen()
    given = SGD(1.0, weight_decay=0.1)
    given.exclude_from_weight_decay(var_list=[model.trainable_variables[2]])
    optimizer = phase_optimizer(model, optimizer=given, layer_decay=0.5)
    for variable in model.trainable_variables:
        variable.assign(keras.ops.ones_like(variable))
    moved = [delta.mean() for delta in apply(optimizer, model, size=0.0)]
    expected = [-1 / 160, 0, -1 / 40, -1 / 20, -1 / 10]
    np.testing.assert_allclose(moved[::2], expected, rtol=1e-4)
    np.testing.assert_array_equal(moved[1::2], 0)
    # The exclusion outlives the phase.
    model.compile(optimizer)
    again = phase_optimizer(model)
    assert [rule[1] for rule in again.get_config()["rules"]][:4:2] == [True, False]


def test_l2_sp_pulls_the_backbone_to_its_start_and_the_head_to_zero():
    model = unfrozen()
    optimizer = phase_optimizer(
        model, optimizer=SGD(0.5, weight_decay=0.1), l2_sp=0.2, layer_decay=0.5
    )
    optimizer.build(model.trainable_variables)
    for variable in model.trainable_variables:
        variable.assign_add(keras.ops.ones_like(variable))
    head = np.array(model.trainable_variables[-2])
    moved = apply(optimizer, model, size=0.0)
    factors = np.repeat([1 / 16, 1 / 8, 1 / 4, 1 / 2], 2)
    for factor, delta in zip(factors, moved[:-2], strict=True):
        np.testing.assert_allclose(delta, -0.5 * factor * 0.2, rtol=1e-4)
    np.testing.assert_allclose(moved[-2], -0.5 * 0.1 * head, rtol=1e-4, atol=1e-7)
    np.testing.assert_array_equal(moved[-1], 0)


@pytest.mark.slow
def test_anchors_are_the_start_also_where_fit_builds_the_optimizer():
    model = unfrozen()
    optimizer = phase_optimizer(model, learning_rate=0.1, l2_sp=0.2)
    start = np.array(model.trainable_variables[0])
    model.compile(optimizer, "sparse_categorical_crossentropy", jit_compile=False)
    fit(model)
    np.testing.assert_array_equal(optimizer.anchors[0], start)
    assert not np.array_equal(model.trainable_variables[0], start)


# --- with the rest of Keras ------------------------------------------------------


def test_global_norm_sees_all_gradients():
    model = unfrozen()
    given = SGD(1.0, global_clipnorm=1.0)
    moved = apply(phase_optimizer(model, optimizer=given, layer_decay=0.5), model)
    count = sum(delta.size for delta in moved)
    np.testing.assert_allclose(moved[-1], -1 / math.sqrt(count), rtol=1e-4)
    np.testing.assert_allclose(moved[-3], -1 / math.sqrt(count) / 2, rtol=1e-4)


def test_gradient_accumulation_decays_once():
    model = unfrozen()
    given = SGD(1.0, weight_decay=0.1, gradient_accumulation_steps=2)
    optimizer = phase_optimizer(model, optimizer=given, layer_decay=0.5)
    kernel = model.trainable_variables[-4]
    kernel.assign(keras.ops.ones_like(kernel))
    assert all((delta == 0).all() for delta in apply(optimizer, model, size=1.0))
    moved = apply(optimizer, model, size=3.0)
    np.testing.assert_allclose(moved[-4], -0.5 * (2.0 + 0.1), rtol=1e-5)


@pytest.mark.slow
def test_moving_average_is_written_back():
    model = unfrozen()
    given = SGD(0.1, use_ema=True, ema_momentum=0.5)
    optimizer = phase_optimizer(model, optimizer=given, layer_decay=0.5)
    first = [v + d for v, d in zip(values(model), apply(optimizer, model), strict=True)]
    apply(optimizer, model)
    expected = [(a + b) / 2 for a, b in zip(first, values(model), strict=True)]
    optimizer.finalize_variable_values(model.trainable_variables)
    for value, average in zip(values(model), expected, strict=True):
        np.testing.assert_allclose(value, average, atol=1e-6)


def test_callbacks_set_the_rate_of_all_groups():
    model = unfrozen()
    optimizer = phase_optimizer(
        model, optimizer=SGD(), learning_rate=1.0, layer_decay=0.5
    )
    compiled(optimizer, model)
    scheduler = keras.callbacks.LearningRateScheduler(lambda epoch, rate: 0.01)
    plateau = keras.callbacks.ReduceLROnPlateau(
        monitor="loss", patience=0, min_delta=1e9
    )
    history = fit(model, epochs=1, callbacks=[scheduler])
    assert history.history["learning_rate"] == [pytest.approx(0.01)]
    fit(model, epochs=2, callbacks=[plateau])
    assert float(model.optimizer.learning_rate) == pytest.approx(0.001)
    moved = apply(model.optimizer, model)
    np.testing.assert_allclose(moved[-1], -0.001, rtol=1e-3)
    np.testing.assert_allclose(moved[-3], -0.0005, rtol=1e-3)


def test_schedule_drives_all_groups():
    model = unfrozen()
    rate = Cosine(warmup=0).over(1.0, steps=4)
    optimizer = phase_optimizer(
        model, optimizer=SGD(), learning_rate=rate, layer_decay=0.5
    )
    for step in range(4):
        moved = apply(optimizer, model)
        expected = 0.5 * (1 + math.cos(math.pi * step / 4))
        np.testing.assert_allclose(moved[-1], -expected, rtol=1e-4)
        np.testing.assert_allclose(moved[-3], -expected / 2, rtol=1e-4)


def test_loss_is_scaled_in_float16():
    keras.config.set_dtype_policy("mixed_float16")
    model = unfrozen()
    optimizer = phase_optimizer(
        model, optimizer=SGD(), learning_rate=0.1, layer_decay=0.5, l2_sp=0.1
    )
    assert isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    assert isinstance(optimizer.inner_optimizer, SGD)
    optimizer.build(model.trainable_variables)
    moved = apply(optimizer, model, size=2.0**15)
    np.testing.assert_allclose(moved[-1], -0.1, rtol=1e-3)
    np.testing.assert_allclose(moved[-3], -0.05, rtol=1e-3)
    assert type(phase_optimizer(model, optimizer=optimizer).inner_optimizer) is SGD


@pytest.mark.contract
@pytest.mark.slow
def test_a_run_goes_on_from_a_file(tmp_path):
    model = unfrozen()
    optimizer = phase_optimizer(
        model,
        optimizer=AdamW(weight_decay=0.1, use_ema=True),
        learning_rate=OneCycle().over(1e-2, steps=8),
        layer_decay=0.5,
        l2_sp=0.1,
    )
    compiled(optimizer, model)
    fit(model, epochs=2, shuffle=False)
    model.save(tmp_path / "model.keras")
    # As after `import tlkeras` in a new process: only the mixin has the name.
    _class_on.cache_clear()
    keras.saving.register_keras_serializable("tlkeras")(PerVariable)
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(loaded.optimizer, AdamW)
    assert loaded.optimizer.get_config() == optimizer.get_config()
    for a, b in zip(optimizer.variables, loaded.optimizer.variables, strict=True):
        np.testing.assert_array_equal(a, b)
    ours, theirs = apply(optimizer, model), apply(loaded.optimizer, loaded)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b)


def test_config_round_trip():
    model = unfrozen()
    optimizer = phase_optimizer(
        model, optimizer="sgd", learning_rate=0.1, layer_decay=0.5, l2_sp=0.1
    )
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert again.get_config() == optimizer.get_config()
    assert (again.momentum, again.l2_sp) == (0.9, 0.1)
    copied = type(optimizer).from_config(optimizer.get_config())
    assert type(copied) is type(optimizer)


def test_other_variables_than_planned_for_are_refused():
    model = unfrozen()
    optimizer = phase_optimizer(model, layer_decay=0.5)
    with pytest.raises(ValueError, match="for 10 variables. Received: 8"):
        optimizer.build(model.trainable_variables[2:])


MIRRORED = """
import sys
import numpy as np
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration()] * 2
)
import keras
sys.path.insert(0, sys.argv[1])
from helpers import solid_colours, tiny_backbone, with_head
from tlkeras.freezing import freeze
from tlkeras.optimizers import phase_optimizer

def trained(strategy):
    keras.utils.set_random_seed(0)
    with strategy.scope():
        backbone = tiny_backbone(size=8, blocks=2)
        for number in (1, 2):
            backbone.get_layer(f"block{number}_dropout").rate = 0
        model = freeze(with_head(backbone), "block2")
        optimizer = phase_optimizer(
            model, optimizer=keras.optimizers.SGD(momentum=0.9, weight_decay=0.1),
            learning_rate=0.1, layer_decay=0.5, l2_sp=0.5,
        )
        model.compile(optimizer, "sparse_categorical_crossentropy", jit_compile=False)
        optimizer.build(model.trainable_variables)
    x, y = solid_colours(16, 2, size=8)
    start = np.array(model.trainable_variables[0])
    model.fit(x, y, batch_size=8, shuffle=False, verbose=0)
    np.testing.assert_array_equal(optimizer.anchors[0], start)
    return [start, *[np.array(v) for v in model.trainable_variables]]

two = trained(tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]))
one = trained(tf.distribute.get_strategy())
for a, b in zip(two, one, strict=True):
    np.testing.assert_allclose(a, b, atol=1e-5)
assert np.abs(two[0] - two[1]).max() > 1e-3
print("equal")
"""


@pytest.mark.slow
def test_mirrored_training_equals_training_on_one_device(request):
    done = subprocess.run(
        [sys.executable, "-c", MIRRORED, request.path.parent],
        capture_output=True,
        text=True,
    )
    assert done.stdout == "equal\n", done.stderr[-3000:]


# --- why not Keras' MultiOptimizer -----------------------------------------------

needs_multi_optimizer = pytest.mark.skipif(
    not hasattr(keras.optimizers, "MultiOptimizer"),
    reason="needs keras.optimizers.MultiOptimizer, of Keras 3.15",
)


@needs_multi_optimizer
@pytest.mark.slow
def test_multi_optimizer_still_has_no_learning_rate():
    multi = keras.optimizers.MultiOptimizer(keras.optimizers.OptimizerMap(SGD(1.0)))
    with pytest.raises(AttributeError):
        _ = multi.learning_rate
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.LossScaleOptimizer(multi), "mse", jit_compile=False)
    scheduler = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate)
    with pytest.raises((AttributeError, ValueError)):
        model.fit(np.ones((2, 2)), np.ones(2), verbose=0, callbacks=[scheduler])


@needs_multi_optimizer
def test_multi_optimizer_still_clips_each_group_by_its_own_norm():
    variables = [keras.Variable([0.0], name=name) for name in ("low", "high")]
    groups = {"low": SGD(1.0, global_clipnorm=1.0)}
    multi = keras.optimizers.MultiOptimizer(
        keras.optimizers.OptimizerMap(SGD(1.0, global_clipnorm=1.0), groups)
    )
    multi.apply([keras.ops.array([3.0]), keras.ops.array([4.0])], variables)
    assert [float(v[0]) for v in variables] == [-1.0, -1.0]


# --- names and errors ------------------------------------------------------------


@pytest.mark.contract
def test_named_optimizers():
    assert named_optimizer("adamw").weight_decay == 0.01
    assert named_optimizer("SGD").momentum == 0.9 and named_optimizer("sgd").nesterov
    assert type(named_optimizer("adam")) is keras.optimizers.Adam
    assert type(named_optimizer("lion")) is keras.optimizers.Lion
    with pytest.raises(ValueError, match="Did you mean 'adamw'"):
        named_optimizer("adamww")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lion", "muon", "adafactor", "rmsprop", "ftrl"])
def test_other_optimizers_take_rules(name):
    model = unfrozen()
    optimizer = named_optimizer(name)
    optimizer.weight_decay = 0.1
    made = phase_optimizer(
        model, optimizer=optimizer, learning_rate=1e-3, layer_decay=0.5, l2_sp=0.1
    )
    assert all(np.abs(delta).max() > 0 for delta in apply(made, model))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layer_decay": 0.0}, "layer_decay"),
        ({"layer_decay": 1.5}, "layer_decay"),
        ({"layer_decay": {"blok2": 0.5}}, "Did you mean 'block2'"),
        ({"layer_decay": {"block2": -1}}, "block2"),
        ({"l2_sp": -1}, "l2_sp"),
        ({"learning_rate": "fast"}, "learning_rate"),
        ({"optimizer": 3}, "optimizer=3"),
        ({"backbone": "other"}, "other"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        phase_optimizer(with_head(tiny_backbone()), **arguments)


@needs_multi_optimizer
def test_a_multi_optimizer_is_refused():
    multi = keras.optimizers.MultiOptimizer(keras.optimizers.OptimizerMap(SGD(1.0)))
    with pytest.raises(ValueError, match="MultiOptimizer"):
        phase_optimizer(with_head(tiny_backbone()), optimizer=multi)


# --- schedules -------------------------------------------------------------------


def rates(schedule, peak, steps):
    rate = schedule.over(peak, steps)
    return [float(rate(step)) for step in range(steps)]


def test_constant():
    assert Constant().over(1e-3, 10) == 1e-3
    warmed = rates(Constant(warmup=0.3), 1.0, 10)
    np.testing.assert_allclose(warmed, [0.25, 0.5, 0.75] + [1] * 7, rtol=1e-6)
    given = keras.optimizers.schedules.ExponentialDecay(1e-2, 10, 0.5)
    assert Constant().over(given, 10) is given


def test_cosine():
    got = rates(Cosine(warmup=0.2, final=0.1), 2.0, 10)
    down = [0.2 + 0.9 * (1 + math.cos(math.pi * i / 8)) for i in range(8)]
    np.testing.assert_allclose(got, [2 / 3, 4 / 3, *down], rtol=1e-5)
    assert rates(Cosine(), 1.0, 1) == [1.0]


def test_one_cycle_is_that_of_pytorch():
    # torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=10)
    expected = [0.004, 0.052, 0.1, 0.09504846, 0.08117453, 0.06112616, 0.03887424]
    expected += [0.01882587, 0.00495194, 4e-7]
    np.testing.assert_allclose(rates(OneCycle(), 0.1, 10), expected, rtol=1e-5)


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
@pytest.mark.parametrize("schedule", ["constant", "cosine", "one_cycle"])
def test_short_phases_have_finite_positive_rates(schedule, steps):
    made = resolve_schedule(schedule)
    rate = made.over(1.0, steps)
    got = [rate] if isinstance(rate, float) else rates(made, 1.0, steps)
    assert all(0 < value <= 1 for value in got)


def test_schedules_survive_serialization():
    for made in (Constant(warmup=0.1), Cosine(), OneCycle(warmup=0.2)):
        rate = made.over(1e-2, 50)
        config = keras.optimizers.schedules.serialize(rate)
        again = keras.saving.deserialize_keras_object(config)
        assert [float(again(i)) for i in range(50)] == rates(made, 1e-2, 50)


def test_bad_schedules():
    with pytest.raises(ValueError, match="Did you mean 'cosine'"):
        resolve_schedule("cosin")
    given = keras.optimizers.schedules.ExponentialDecay(1e-2, 10, 0.5)
    with pytest.raises(ValueError, match="as the learning rate"):
        resolve_schedule(given)
    with pytest.raises(ValueError, match='schedule="constant"'):
        Cosine().over(given, 10)
    with pytest.raises(ValueError, match="warmup"):
        Cosine(warmup=1.0)
    with pytest.raises(ValueError, match="final"):
        OneCycle(final=2)
    with pytest.raises(ValueError, match="steps"):
        Cosine().over(1e-3, 0)


def test_callbacks_that_set_the_rate_need_a_constant():
    plateau = keras.callbacks.ReduceLROnPlateau()
    scheduler = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate)
    given = keras.optimizers.schedules.ExponentialDecay(1e-2, 10, 0.5)
    check_rate_callbacks([plateau, scheduler], "constant", 1e-3)
    check_rate_callbacks([keras.callbacks.EarlyStopping()], "cosine", 1e-3)
    with pytest.raises(ValueError, match="ReduceLROnPlateau .*'cosine'"):
        check_rate_callbacks([plateau], "cosine", 1e-3)
    with pytest.raises(ValueError, match="LearningRateScheduler"):
        check_rate_callbacks([scheduler], "constant", given)
    with pytest.raises(ValueError, match="Constant"):
        check_rate_callbacks([scheduler], Constant(warmup=0.1), 1e-3)
