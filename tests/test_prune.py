"""Pruned models: zeros that stay, channels that can go, and what is reported."""

import functools

import keras
import numpy as np
import pytest
from helpers import (
    assert_equal_weights,
    solid_colours,
    tiny_backbone,
    weights_of,
    with_head,
)
from text_models import SENTENCES, tiny_bert

import tlkeras as tl
from tlkeras.compress.activity import importance, measure_activity
from tlkeras.compress.channels import find_groups
from tlkeras.compress.masks import Masks, prunable_kernels, rounds
from tlkeras.compress.measuring import working_copy
from tlkeras.compress.norms import match_norms, norm_moments
from tlkeras.compress.shrinking import without_channels

L = keras.layers
X, Y = solid_colours(48, 2)
QUIET = {"cache": False, "verbose": 0}


def colours(**arguments):
    """Returns a classifier of solid colours, and trains its head."""
    backbone = tiny_backbone(width=12, blocks=2)
    model = tl.image_classifier(backbone, ["ant", "bee"], hidden=(16,), **arguments)
    tl.fit_head(model, (X, Y), epochs=12, learning_rate=1e-2, **QUIET)
    return model


def kernels_of(model):
    return [kernel for _, kernel in prunable_kernels(model)]


def zeros_of(kernels):
    return sum(int(np.sum(np.array(kernel) == 0)) for kernel in kernels)


def wanted_zeros(kernels, share):
    return [round(share * int(np.prod(kernel.shape))) for kernel in kernels]


# Weights set to zero.


@pytest.mark.slow
def test_the_sparsity_is_exact_and_stays_so_in_the_file(tmp_path):
    model = colours()
    before = weights_of(model)
    report = tl.prune(model, (X, Y), sparsity=0.8, epochs=3, test=(X, Y), **QUIET)
    assert_equal_weights(before, weights_of(model))
    small = tl.freeze(report.model, 0.999)
    kernels = kernels_of(tl.freeze(small, 1.0))
    total = sum(np.prod(kernel.shape) for kernel in kernels)
    # 3 convolutions and the hidden layer; not the outputs.
    assert len(kernels) == len(report.layers) == 4
    assert [zeros_of([k]) for k in kernels] == wanted_zeros(kernels, 0.8)
    assert report.sparsity == zeros_of(kernels) / total
    # A hidden unit that says nothing leaves its zeros, which the output begins with.
    outputs = small.get_layer("predictions").kernel
    assert zeros_of([outputs]) < 0.5 * int(np.prod(outputs.shape))
    assert report.after.parameters == report.before.parameters == small.count_params()
    assert report.after.zeros >= zeros_of(kernels)
    assert not any(np.signbit(np.array(k)[np.array(k) == 0]).any() for k in kernels)
    assert report.after.compressed < 0.6 * report.before.compressed
    # But for the record of the training, which is the larger the smaller a model is.
    assert report.after.size == pytest.approx(report.before.size, rel=0.15)
    assert report.after.scores["accuracy"] > 0.9
    small.save(tmp_path / "small.keras")
    loaded = tl.load(tmp_path / "small.keras")
    assert_equal_weights(weights_of(small), weights_of(loaded))
    assert loaded.classify(X[0])[0].label in ("ant", "bee")


@pytest.mark.slow
def test_no_step_brings_a_weight_back_and_the_ramp_is_cubic():
    class Zeros(keras.callbacks.Callback):
        found = []

        def on_train_begin(self, logs=None):
            self.kernels = kernels_of(self.model)

        def on_train_batch_end(self, batch, logs=None):
            self.found.append(zeros_of(self.kernels))

    zeros = Zeros()
    report = tl.prune(
        colours(),
        (X, Y),
        sparsity=0.7,
        epochs=5,
        callbacks=[zeros],
        recipe=tl.Recipe(
            optimizer=keras.optimizers.Adam(use_ema=True, ema_overwrite_frequency=None)
        ),
        **QUIET,
    )
    # 2 steps in each of 5 epochs.
    shares = [0.7 * (1 - (1 - i / 4) ** 3) for i in (1, 2, 3, 4, 4)]
    totals = [sum(wanted_zeros(zeros.kernels, share)) for share in shares]
    assert zeros.found == [total for total in totals for _ in range(2)]
    assert report.sparsity == pytest.approx(0.7, abs=1e-3)
    assert all(kernel.constraint is None for kernel in zeros.kernels)
    phases = report.history.phases
    assert [phase.epochs for phase in phases] == [1, 1, 1, 2]
    assert [phase.first_epoch for phase in phases] == [0, 1, 2, 3]
    assert len(report.history.history["loss"]) == 5


@pytest.mark.slow
def test_averages_of_sparser_and_denser_weights_are_as_sparse():
    averaging = tl.WeightAveraging(start=0.0)
    report = tl.prune(
        colours(), (X, Y), sparsity=0.6, epochs=4, callbacks=[averaging], **QUIET
    )
    assert averaging.count == 1
    assert report.sparsity == pytest.approx(0.6, abs=1e-3)


@pytest.mark.parametrize("epochs", [1, 2, 7, 50])
def test_rounds_rise_to_the_target_and_share_all_epochs(epochs):
    shares, lengths = zip(*rounds(0.9, epochs), strict=True)
    assert shares[-1] == 0.9 and list(shares) == sorted(set(shares))
    assert sum(lengths) == epochs and len(shares) <= 4 and max(lengths) == lengths[-1]


def deep(blocks=6):
    """Returns a network in which a signal dies away unless norms keep it up."""
    inputs = keras.Input((16, 16, 3))
    x = L.Rescaling(1 / 127.5, offset=-1)(inputs)
    for number in range(blocks):
        x = L.Conv2D(8, 3, padding="same", name=f"conv{number}")(x)
        x = L.BatchNormalization(name=f"bn{number}")(x)
        x = L.ReLU()(x)
    return keras.Model(inputs, x, name="deep")


def fitted(model):
    """Gives norms the statistics of the data, some of them scaled by a fold."""
    norm_names = [n.name for n in model.backbone.layers if n.name.startswith("bn")]
    for name in norm_names:
        mean, spread = norm_moments(model, X)[name]
        norm = model.backbone.get_layer(name)
        norm.moving_mean.assign(mean)
        norm.moving_variance.assign(spread**2 + 1e-3)
    return model


def test_norms_keep_a_pruned_networks_signal_up():
    model = fitted(tl.image_classifier(deep(), 2))
    moments = norm_moments(model, X)
    pruned = working_copy(model)
    match_norms(pruned, model, moments, X)
    assert_equal_weights(weights_of(model), weights_of(pruned))
    tl.freeze(pruned, 1.0)
    with Masks(kernels_of(pruned)) as masks:
        masks.update(0.85)
    wanted = model.backbone(X.astype("float32")).numpy().std()
    dead = pruned.backbone(X.astype("float32")).numpy().std()
    match_norms(pruned, model, moments, X)
    alive = pruned.backbone(X.astype("float32")).numpy().std()
    assert dead < 0.7 * wanted and alive == pytest.approx(wanted, rel=0.25)
    for name, (mean, _) in norm_moments(pruned, X).items():
        old, new = (m.backbone.get_layer(name) for m in (model, pruned))
        before, after = (
            (m - np.array(norm.moving_mean)) / np.sqrt(norm.moving_variance + 1e-3)
            for m, norm in ((moments[name][0], old), (mean, new))
        )
        np.testing.assert_allclose(after, before, atol=2e-2)


def test_each_kernel_loses_its_smallest_weights():
    rng = np.random.default_rng(0)
    values = [scale * rng.normal(size=(40, 50)) for scale in (0.01, 1)]
    kernels = [keras.Variable(value) for value in values]
    with Masks(kernels) as masks:
        masks.update(0.5)
    for value, kernel in zip(values, kernels, strict=True):
        kept = np.abs(value) > np.median(np.abs(value))
        np.testing.assert_array_equal(np.array(kernel) != 0, kept)
        np.testing.assert_allclose(np.array(kernel)[kept], value[kept], rtol=1e-6)


@pytest.mark.slow
def test_a_constraint_of_the_kernels_own_still_holds():
    inputs = keras.Input((16, 16, 3))
    rule = keras.constraints.MaxNorm(0.5)
    x = L.Conv2D(8, 3, kernel_constraint=rule, name="conv")(inputs)
    model = with_head(keras.Model(inputs, x, name="own"))
    model.fit(X, Y, epochs=1, verbose=0)
    report = tl.prune(model, (X, Y), epochs=2, learning_rate=0.1, **QUIET)
    kernel = report.model.get_layer("own").get_layer("conv").kernel
    assert zeros_of([kernel]) == kernel.shape[0] * 3 * 3 * 8 // 2
    assert isinstance(kernel.constraint, keras.constraints.MaxNorm)
    assert np.linalg.norm(np.array(kernel), axis=0).max() < 0.51


@pytest.mark.slow
def test_what_is_frozen_stays_as_it_is():
    model = colours()
    report = tl.prune(
        model, (X, Y), sparsity=0.75, epochs=2, unfreeze_from="block2", **QUIET
    )
    assert [name for name, _ in report.layers] == ["block2_conv", "dense"]
    assert report.sparsity == pytest.approx(0.75, abs=1e-3)
    for name in ("stem_conv", "block1_conv", "block1_bn"):
        old, new = (m.backbone.get_layer(name) for m in (model, report.model))
        for before, after in zip(old.weights, new.weights, strict=True):
            np.testing.assert_array_equal(before, after)


def test_depthwise_kernels_and_embeddings_stay_whole():
    inputs = keras.Input((8, 8, 3))
    x = L.SeparableConv2D(6, 3, name="separable")(inputs)
    x = L.DepthwiseConv2D(3, name="depthwise")(x)
    model = with_head(keras.Model(inputs, x))
    assert [name for name, _ in prunable_kernels(model)] == ["separable"]
    assert (
        kernels_of(model)[0] is model.layers[1].get_layer("separable").pointwise_kernel
    )


@pytest.mark.parametrize(
    "policy",
    ["mixed_float16", pytest.param("mixed_bfloat16", marks=pytest.mark.slow)],
)
@pytest.mark.slow
def test_mixed_precision(policy):
    keras.config.set_dtype_policy(policy)
    model = colours()
    keras.config.set_dtype_policy("float32")
    report = tl.prune(model, (X, Y), sparsity=0.8, epochs=2, **QUIET)
    assert report.model.backbone.get_layer("block1_conv").compute_dtype == policy[6:]
    assert report.sparsity == pytest.approx(0.8, abs=1e-3)


@pytest.mark.slow
def test_texts_and_adapters(tmp_path):
    backbone, tokenizer = tiny_bert()
    model = tl.text_classifier(
        backbone, 2, tokenizer=tokenizer, sequence_length=16, lora_rank=2
    )
    texts, labels = np.array(SENTENCES, dtype=object), np.array([0, 1, 0, 1, 1])
    report = tl.prune(model, (texts, labels), epochs=2, test=(texts, labels), **QUIET)
    # 6 kernels in each of 2 transformer layers, no embedding.
    assert len(report.layers) == 12
    assert report.sparsity == pytest.approx(0.5, abs=1e-3)
    assert "adapters" in str(report)
    report.model.save(tmp_path / "small.keras")
    loaded = tl.load(tmp_path / "small.keras")
    assert_equal_weights(weights_of(report.model), weights_of(loaded))
    assert loaded.classify("a good film")[0].label in ("0", "1")


@pytest.mark.slow
def test_several_heads():
    heads = {"species": tl.Classes(["ant", "bee"]), "length": tl.Numbers()}
    model = tl.image_classifier(tiny_backbone(blocks=1), heads)
    labels = {"species": Y, "length": Y * 2.0}
    report = tl.prune(model, (X, labels), epochs=1, test=(X, labels), **QUIET)
    assert report.sparsity == pytest.approx(0.5, abs=5e-3)
    assert set(report.after.scores) == {"species accuracy", "length mae"}


# Channels removed.


def vgg_like():
    inputs = keras.Input((16, 16, 3))
    x = inputs
    for block, width in enumerate((6, 8), 1):
        for number in (1, 2):
            name = f"block{block}_conv{number}"
            x = L.Conv2D(width, 3, padding="same", activation="relu", name=name)(x)
        x = L.MaxPooling2D(name=f"block{block}_pool")(x)
    return keras.Model(inputs, x, name="vgg_like")


def bottleneck():
    inputs = keras.Input((16, 16, 3))
    x = short = L.Conv2D(8, 3, name="stem")(inputs)
    for number, (width, size) in enumerate(((4, 1), (4, 3), (8, 1)), 1):
        x = L.Conv2D(width, size, padding="same", name=f"conv{number}")(x)
        x = L.BatchNormalization(name=f"bn{number}")(x)
        x = L.Activation("relu", name=f"relu{number}")(x) if number < 3 else x
    x = L.Add(name="add")([x, short])
    return keras.Model(inputs, x, name="bottleneck")


def all_kinds():
    """Holds what may not be cut beside what may."""
    inputs = keras.Input((16, 16, 3))
    x = L.Conv2D(6, 3, name="two_readers")(inputs)
    a = L.SeparableConv2D(6, 3, name="separable")(L.LeakyReLU()(x))
    b = L.Conv2D(6, 3, name="squeezed")(L.Dropout(0.1)(x))
    gate = L.GlobalAveragePooling2D(keepdims=True)(b)
    gate = L.Dense(4, activation="gelu", name="gate1")(gate)
    gate = L.Dense(6, activation="sigmoid", name="gate2")(gate)
    b = L.Multiply()([b, gate])
    a = L.Conv2D(4, 1, activation="softmax", name="across")(a)
    a = L.Conv2D(4, 1, name="joined")(a)
    shared = L.Conv2D(4, 1, name="shared")
    x = L.Concatenate()([shared(shared(a)), b])
    x = L.Conv2D(8, 1, groups=2, name="grouped")(x)
    x = L.Conv2D(4, 1, name="last")(x * 2.0)
    return keras.Model(inputs, x, name="all_kinds")


def mobile(alpha=0.35, size=32):
    return keras.applications.MobileNetV2(
        weights=None, include_top=False, input_shape=(size, size, 3), alpha=alpha
    )


def half_mobile():
    """Returns the first seven blocks: blocks with a shortcut and without, 63 layers."""
    whole = mobile()
    return keras.Model(whole.input, whole.get_layer("block_6_project_BN").output)


def residual(size=32):
    return keras.applications.ResNet50(
        weights=None, include_top=False, input_shape=(size, size, 3)
    )


def hub():
    import keras_hub

    return keras_hub.models.ResNetBackbone(
        input_conv_filters=[8],
        input_conv_kernel_sizes=[7],
        stackwise_num_filters=[64, 64],
        stackwise_num_blocks=[1, 1],
        stackwise_num_strides=[1, 2],
        block_type="bottleneck_block",
        image_shape=(32, 32, 3),
    )


def shuffled(model):
    """Gives all weights values that matter, variances and scales included."""
    rng = np.random.default_rng(1)
    for weight in model.weights:
        value = np.array(weight)
        if weight.path.endswith(("variance", "gamma")):
            # Small variances, so that a deep network's signal does not die away.
            small = 0.02 if weight.path.endswith("variance") else 1.0
            weight.assign(small * rng.uniform(0.5, 1.5, value.shape))
        elif value.ndim == 1:
            weight.assign(rng.normal(0, 0.1, value.shape))
    return model


@pytest.mark.parametrize(
    ("build", "names"),
    [
        (vgg_like, ["block1_conv1", "block1_conv2", "block2_conv1"]),
        (bottleneck, ["conv1", "conv2"]),
        (all_kinds, ["two_readers", "gate1", "separable"]),
    ],
)
def test_channels_that_nothing_else_sees_are_found(build, names):
    model = tl.image_classifier(build(), 2, hidden=(8, 6), preprocessing=None)
    groups = find_groups(model, model.backbone)
    found = {group.producer.name for group in groups}
    assert found == {*names, "dense", "dense_1"}


@pytest.mark.parametrize(
    "build",
    [
        vgg_like,
        bottleneck,
        all_kinds,
        half_mobile,
        pytest.param(residual, marks=pytest.mark.slow),
        pytest.param(hub, marks=pytest.mark.slow),
    ],
)
def test_a_smaller_model_computes_what_the_large_one_does_without_the_channels(build):
    model = shuffled(
        tl.image_classifier(
            build(), 2, hidden=(32, 24), dropout=0.1, preprocessing=None
        )
    )
    groups = find_groups(model, model.backbone)
    rng = np.random.default_rng(2)
    kept = [
        (group, np.sort(rng.permutation(group.width)[: max(1, group.width // 3)]))
        for group in groups
    ]
    small = without_channels(model, kept)
    for group, rows in kept:
        gone = np.setdiff1d(np.arange(group.width), rows)
        for layer in group.consumers:
            kernel = getattr(layer, "depthwise_kernel", None)
            kernel = layer.kernel if kernel is None else kernel
            value = np.array(kernel)
            value[..., gone, :] = 0
            kernel.assign(value)
    x = 100 * rng.normal(size=(4, *model.input_shape[1:])).astype("float32")
    features = rng.normal(size=(4, *model.backbone.output_shape[1:]))
    for part, inputs in (("backbone", x), ("head", features.astype("float32"))):
        wanted, got = (getattr(m, part)(inputs).numpy() for m in (model, small))
        scale = np.abs(wanted).max()
        assert np.ptp(wanted, axis=0).max() > 1e-3 * scale
        # 63 layers of float32: some processors differ by 3e-5 where channels are fewer.
        np.testing.assert_allclose(got, wanted, atol=1e-4 * scale)
    assert small.count_params() < model.count_params()
    old, new = (weights_of(m).keys() for m in (model, small))
    assert [n.split("/")[-2:] for n in old] == [n.split("/")[-2:] for n in new]


def test_channels_that_say_nothing_go_and_nothing_is_lost():
    model = shuffled(tl.image_classifier(bottleneck(), 2, preprocessing=None))
    norm = model.backbone.get_layer("bn2")
    # Two channels that are always the same, one of them large.
    for weight, values in ((norm.gamma, (0, 0)), (norm.beta, (3, 0.2))):
        value = np.array(weight)
        value[[0, 2]] = values
        weight.assign(value)
    groups = find_groups(model, model.backbone)
    seen = dict(
        zip(
            (group.producer.name for group in groups),
            measure_activity(model, model.backbone, groups, X),
            strict=True,
        )
    )
    assert sorted(np.argsort(importance(groups[1], seen["conv2"]))[:2]) == [0, 2]
    np.testing.assert_allclose(seen["conv2"].means[0][[0, 2]], [3, 0.2], rtol=1e-5)
    kept = [(groups[1], np.array([1, 3]))]
    small = without_channels(model, kept, [seen["conv2"]])
    x = X[:4].astype("float32")
    wanted, got = (m.backbone.predict(x, verbose=0) for m in (model, small))
    np.testing.assert_allclose(got, wanted, rtol=1e-3, atol=1e-3)
    assert small.backbone.get_layer("conv3").kernel.shape == (1, 1, 2, 8)


def test_the_activity_is_that_of_the_data():
    model = shuffled(tl.image_classifier(tiny_backbone(blocks=1), 2, hidden=(8,)))
    (group,) = find_groups(model, model.backbone)
    (seen,) = measure_activity(model, model.backbone, [group], (X, Y))
    dense = next(layer for layer in model.layers if layer.name == "dense")
    values = keras.Model(model.input, dense.output).predict(X, verbose=0)
    np.testing.assert_allclose(seen.means[0], values.mean(axis=0), rtol=1e-4)
    np.testing.assert_allclose(
        seen.deviations[0], values.std(axis=0), rtol=1e-3, atol=1e-4
    )


@pytest.mark.slow
@pytest.mark.parametrize("build", [vgg_like, half_mobile])
def test_a_model_with_fewer_channels_is_a_whole_one(build, tmp_path):
    backbone = build()
    x, y = solid_colours(24, 2, size=backbone.input_shape[1])
    model = tl.image_classifier(
        backbone, ["ant", "bee"], hidden=(8,), preprocessing=None
    )
    before = weights_of(model)
    report = tl.prune(
        model,
        (x, y),
        sparsity=0.5,
        method="channels",
        epochs=1,
        test=(x, y),
        **QUIET,
    )
    assert_equal_weights(before, weights_of(model))
    small = report.model
    assert report.after.parameters == small.count_params() < model.count_params()
    assert report.after.size < report.before.size
    assert report.sparsity == pytest.approx(0.5, abs=0.02)
    assert small.class_names == ("ant", "bee") and small.compiled
    assert small.record.backbone["parameters"] == small.backbone.count_params()
    path = tmp_path / "small.keras"
    small.save(path)
    loaded = tl.load(path)
    wanted, got = (m.predict(x[:4], verbose=0) for m in (small, loaded))
    np.testing.assert_allclose(got, wanted, atol=1e-6)
    assert loaded.classify(x[0])[0].label in ("ant", "bee")
    tl.fine_tune(loaded, (x, y), head_epochs=1, epochs=1, **QUIET)
    exported = tl.export(small, tmp_path / "small.tflite")
    assert exported.difference < 1e-4


def test_channels_below_the_freeze_point_stay():
    model = tl.image_classifier(vgg_like(), 2, hidden=(8,), preprocessing=None)
    report = tl.prune(
        model,
        (X, Y),
        method="channels",
        epochs=1,
        unfreeze_from="block2",
        **QUIET,
    )
    assert [name for name, _ in report.layers] == ["block2_conv1", "dense"]
    left = report.model.backbone.count_params()
    assert report.model.record.backbone["parameters"] == left
    assert left < model.record.backbone["parameters"]
    for number in (1, 2):
        name = f"block1_conv{number}"
        old, new = (m.backbone.get_layer(name) for m in (model, report.model))
        for before, after in zip(old.weights, new.weights, strict=True):
            np.testing.assert_array_equal(before, after)


# What does not do, and what is said.


@pytest.mark.slow
def test_models_that_are_not_ours_can_be_pruned():
    model = with_head(tiny_backbone(blocks=1))
    for method in ("magnitude", "channels"):
        if method == "channels":
            model = with_head(vgg_like())
        report = tl.prune(model, (X, Y), method=method, epochs=1, **QUIET)
        assert type(report.model) is type(model) and report.model.compiled


@functools.cache
def unchanged():
    return tl.image_classifier(tiny_backbone(), 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "random"}, "must be one of 'magnitude', 'channels'"),
        ({"sparsity": 1.0}, "above 0 and below 1"),
        ({"sparsity": 0}, "above 0 and below 1"),
        ({"epochs": 0}, "at least 1"),
        ({"checkpoint_dir": "run"}, "in several rounds"),
        ({"head_epochs": 2}, "No such argument: 'head_epochs'"),
        ({"recip": None}, "Did you mean 'recipe'"),
        ({"recipe": "auto"}, "`recipe` must be a `tl.Recipe`"),
        ({"recipe": tl.Recipe(epochs=3)}, "epochs=10 in the call and epochs=3 in"),
        ({"unfreeze_from": None}, "Nothing to prune"),
        ({"unfreeze_from": None, "method": "channels"}, "Nothing to prune"),
        ({"unfreeze_from": "block9"}, "No such freeze point"),
        ({"unfreeze_from": ["block2", "block1"]}, "must be None, an int"),
    ],
)
def test_arguments_that_do_not_do(arguments, message):
    with pytest.raises(ValueError, match=message):
        tl.prune(unchanged(), (X, Y), **QUIET, **arguments)


@pytest.mark.parametrize("method", ["magnitude", "channels"])
def test_data_that_do_not_do(method):
    model = unchanged()
    with pytest.raises(ValueError, match="`train` must hold inputs and labels as arr"):
        tl.prune(model, (X.tolist(), Y.tolist()), method=method, **QUIET)
    with pytest.raises(ValueError, match="`validation_data` does not fit"):
        tl.prune(model, (X, Y), (X[..., :1], Y), method=method, **QUIET)


@pytest.mark.slow
def test_the_report_is_a_table_and_honest():
    report = tl.prune(colours(), (X, Y), epochs=1, test=(X, Y), **QUIET)
    text, page = str(report), report._repr_html_()
    for part in ("parameters", "not zero", "gzip", "latency", "accuracy", "50.0%"):
        assert part in text and part in page
    assert "nothing is faster" in " ".join(text.split())
    assert page.count("<tr>") == 7
    assert report.speedup == report.before.milliseconds / report.after.milliseconds
    unscored = tl.prune(colours(), (X, Y), epochs=1, **QUIET)
    assert unscored.after.scores == {} and "accuracy" not in str(unscored)
