"""`tl.list_backbones` and `tl.load_backbone`: whose a name, a folder or a model is."""

import keras
import keras_hub
import pytest
from test_backbones_hub import tiny_resnet
from text_models import tiny_bert, tiny_gpt2, write_preset

import tlkeras as tl
from tlkeras.backbones.glyphnet import build_glyphnet
from tlkeras.inputs.pictures import backbones as pictures
from tlkeras.inputs.texts import backbones as texts


def test_list_backbones_filters_by_part_and_by_pattern():
    names = tl.list_backbones()
    assert names[0] == "glyphnet"
    assert len(names) == len(set(names))
    assert {"vgg16", "resnet_50_imagenet", "vit_base_patch16_224_imagenet"} <= set(
        names
    )
    assert tl.list_backbones("ConvNeXt-T") == ["convnext_tiny"]
    assert tl.list_backbones("VGG1?") == ["vgg16", "vgg19"]
    assert tl.list_backbones("no such thing") == []


def test_every_listed_name_is_of_one_kind_of_input():
    assert not set(texts.backbone_names()) & set(pictures.backbone_names())
    assert all(map(texts.claims_backbone, texts.backbone_names()))
    assert all(map(pictures.claims_backbone, pictures.backbone_names()))
    assert not any(map(texts.claims_backbone, pictures.backbone_names()))


def test_models_and_folders_are_claimed_by_what_they_read(tmp_path):
    bert, tokenizer = tiny_bert()
    assert texts.claims_backbone(bert) and texts.claims_backbone(tiny_gpt2()[0])
    assert texts.claims_backbone(write_preset(tmp_path / "bert", bert, tokenizer))
    resnet = tiny_resnet((16, 16, 3))
    resnet.save_to_preset(str(tmp_path / "resnet"))
    for of_pictures in (resnet, build_glyphnet(), tmp_path / "resnet", "hf://a/b"):
        assert not texts.claims_backbone(of_pictures)
        assert pictures.claims_backbone(of_pictures)


@pytest.mark.parametrize("nothing", [None, 224, "no such thing", keras.layers.Dense(1)])
def test_what_is_no_backbone_is_nobodys(nothing):
    assert not texts.claims_backbone(nothing)
    assert not pictures.claims_backbone(nothing)
    with pytest.raises(ValueError, match="No such backbone"):
        tl.load_backbone(nothing)


@pytest.mark.parametrize(
    "name, near", [("resnet51", "resnet50"), ("minilmm", "minilm")]
)
def test_unknown_names_suggest_those_of_every_input(name, near):
    with pytest.raises(ValueError, match=f"No such backbone: '{name}'.*'{near}'"):
        tl.load_backbone(name)


def test_text_backbones_have_no_shape_in_pixels(tmp_path):
    folder = write_preset(tmp_path / "bert", *tiny_bert())
    with pytest.raises(ValueError, match="takes no images.*input_shape=32"):
        tl.load_backbone(folder, input_shape=32)


def test_whole_models_are_refused():
    task = keras_hub.models.BertTextClassifier(tiny_bert()[0], num_classes=2)
    with pytest.raises(ValueError, match="Pass its `.backbone`"):
        tl.load_backbone(task)


def test_a_text_backbone_reads_what_it_can_unless_told():
    def length(longest):
        bert, tokenizer = tiny_bert(max_sequence_length=longest)
        loaded = texts.load_backbone(bert, tokenizer=tokenizer)
        return loaded.preprocessor.sequence_length

    assert (length(32), length(512)) == (32, 128)
    bert, tokenizer = tiny_bert(max_sequence_length=24)
    model = tl.text_classifier(bert, 2, tokenizer=tokenizer)
    assert model.problem.input.preprocessor.sequence_length == 24
