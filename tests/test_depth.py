"""Blocks of backbones, freeze points for gradual unfreezing, depth of variables."""

import keras
import pytest
from helpers import tiny_backbone
from text_models import tiny_bert, tiny_f_net

from tlkeras.backbones.glyphnet import build_glyphnet
from tlkeras.depth import blocks, depth_of, gradual_points
from tlkeras.freezing import freeze_index


def application(name):
    build = getattr(keras.applications, name)
    return build(weights=None, include_top=False, input_shape=(96, 96, 3))


def own_model(layers=5):
    inputs = x = keras.Input((4,))
    for _ in range(layers):
        x = keras.layers.Dense(4)(x)
    return keras.Model(inputs, x)


def assert_sound(backbone):
    """Each variable in one block, each block with weights, each name a freeze point."""
    found = blocks(backbone)
    for block, after in zip(found, [*found[1:], None], strict=True):
        assert freeze_index(backbone, block.name) == block.index
        end = after.index if after else len(backbone.layers)
        assert list(block.layers) == backbone.layers[block.index : end]
        assert any(layer.weights for layer in block.layers)
    assert set(depth_of(backbone)) == {id(v) for v in backbone.weights}
    return [block.name for block in found]


@pytest.mark.parametrize(
    ("name", "count", "lowest", "top", "gradual"),
    [
        ("VGG16", 5, "block1", "block5", ["block5", "block4", "block3"]),
        pytest.param(
            "ResNet50",
            17,
            "conv1_conv",
            "conv5_block3",
            ["conv5_block2", "conv4_block5", "conv4_block2"],
            marks=pytest.mark.slow,
        ),
        ("MobileNetV2", 18, "Conv1", "block_16", ["block_14", "block_11", "block_8"]),
        pytest.param(
            *("MobileNetV3Small", 12, "conv", "expanded_conv_10", None),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            *("EfficientNetB0", 17, "normalization", "block7a", None),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_blocks_by_name(name, count, lowest, top, gradual):
    backbone = application(name)
    names = assert_sound(backbone)
    assert (len(names), names[0], names[-1]) == (count, lowest, top)
    if gradual:
        assert gradual_points(backbone) == gradual


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["DenseNet121", "ConvNeXtTiny", "InceptionResNetV2", "EfficientNetV2B0"]
)
def test_blocks_of_more_backbones(name):
    assert len(assert_sound(application(name))) >= 10


def test_trailing_layers_belong_to_the_top_block():
    backbone = application("MobileNetV2")
    depth = depth_of(backbone)
    assert depth[id(backbone.get_layer("Conv_1").kernel)] == 1
    assert depth[id(backbone.get_layer("block_16_expand").kernel)] == 1
    assert depth[id(backbone.get_layer("Conv1").kernel)] == 18


@pytest.mark.slow
def test_inception_is_cut_where_one_tensor_carries_all():
    backbone = application("InceptionV3")
    assert len(assert_sound(backbone)) == 10
    for block in blocks(backbone)[1:]:
        below, above = backbone.layers[: block.index], backbone.layers[block.index :]
        written = {id(t) for x in below for t in keras.tree.flatten(x.output)}
        read = {id(t) for x in above for t in keras.tree.flatten(x.input)}
        assert len(written & read) == 1


@pytest.mark.slow
def test_nasnet_has_equal_shares():
    backbone = application("NASNetMobile")
    assert len(assert_sound(backbone)) == 12
    sizes = [sum(bool(layer.weights) for layer in b.layers) for b in blocks(backbone)]
    assert max(sizes) < 2 * min(sizes)


def test_blocks_of_small_backbones():
    assert assert_sound(tiny_backbone()) == ["stem_conv", "block1", "block2", "block3"]
    assert assert_sound(build_glyphnet()) == ["block1", "block2", "block3", "block4"]


def test_bert_unfreezes_its_top_layers():
    backbone, _ = tiny_bert(num_layers=6)
    layers = [f"transformer_layer_{n}" for n in range(6)]
    assert assert_sound(backbone) == ["token_embedding", *layers]
    assert gradual_points(backbone) == layers[:2:-1]
    assert depth_of(backbone)[id(backbone.get_layer("pooled_dense").kernel)] == 1
    # Of several inputs and outputs, and one layer, nowhere one tensor carries all.
    assert len(assert_sound(tiny_bert(num_layers=1)[0])) > 1


def test_other_transformers():
    assert assert_sound(tiny_f_net()[0])[1:] == ["f_net_layer_0", "f_net_layer_1"]


def test_own_models_without_telling_names():
    dense = own_model()
    assert assert_sound(dense) == [layer.name for layer in dense.layers[1:]]
    assert len(assert_sound(own_model(40))) == 12
    sequential = keras.Sequential([keras.Input((4,)), *own_model(2).layers[1:]])
    assert len(assert_sound(sequential)) == 2
    inputs = keras.Input((4,))
    added = keras.layers.Dense(4)(inputs) + inputs
    assert len(assert_sound(keras.Model(inputs, added))) == 1


def test_a_backbone_without_weights_is_one_block():
    inputs = keras.Input((4,))
    assert len(blocks(keras.Model(inputs, keras.layers.ReLU()(inputs)))) == 1


def test_gradual_points_are_distinct_and_bounded():
    backbone = own_model(2)
    names = [block.name for block in blocks(backbone)]
    assert gradual_points(backbone, stages=5) == names[::-1]
    assert len(gradual_points(application("VGG16"), stages=1)) == 1
    with pytest.raises(ValueError, match="stages"):
        gradual_points(backbone, stages=0)
