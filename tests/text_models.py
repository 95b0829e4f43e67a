"""Tiny random text backbones with real tokenizers, and models that hold them."""

import inspect

import keras
import keras_hub

from tlkeras.inputs.texts.preprocessor import TextPreprocessor
from tlkeras.inputs.texts.presets import text_families

WORDS = (
    "the a film story play was is very not good bad great awful dull bright funny sad "
    "i you we loved hated it and but of to in"
).split()

PIECES = ["##s", "##ed", "##ly", "##ing", ".", ",", "!", "?", "cafe"]

# Every merge makes one token more; a space is written as "Ġ".
MERGES = (
    "o o,g oo,goo d,b a,ba d,f i,l m,fi lm,t h,th e,w a,wa s,"
    "Ġ good,Ġ bad,Ġ film,Ġ the,Ġ was,Ġ a"
).split(",")

SENTENCES = [
    "the film was good",
    "a very bad story, and dull!",
    "we loved it",
    "",
    "hated the awful funny play but not the bright story of a sad film",
]


def word_piece_vocabulary():
    """Returns the vocabulary of the WordPiece tokenizers here, special tokens first."""
    return ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *PIECES]


def byte_pair_vocabulary(special):
    """Returns a byte-pair vocabulary: special tokens, printable bytes, merges."""
    letters = [chr(code) for code in range(ord("!"), ord("~") + 1)] + ["Ġ", "Ċ"]
    merged = [merge.replace(" ", "") for merge in MERGES]
    return {token: i for i, token in enumerate([*special, *letters, *merged])}


def tiny_bert(**arguments):
    """Returns a BERT of two layers and its tokenizer."""
    tokenizer = keras_hub.models.BertTokenizer(word_piece_vocabulary(), lowercase=True)
    return keras_hub.models.BertBackbone(**_sizes(tokenizer, arguments)), tokenizer


def tiny_distil_bert(**arguments):
    """Returns a DistilBERT of two layers and its tokenizer."""
    tokenizer = keras_hub.models.DistilBertTokenizer(
        word_piece_vocabulary(), lowercase=True
    )
    backbone = keras_hub.models.DistilBertBackbone(**_sizes(tokenizer, arguments))
    return backbone, tokenizer


def tiny_electra(**arguments):
    """Returns an ELECTRA of two layers and its tokenizer."""
    tokenizer = keras_hub.models.ElectraTokenizer(
        word_piece_vocabulary(), lowercase=True
    )
    sizes = _sizes(tokenizer, arguments)
    sizes["vocab_size"] = sizes.pop("vocabulary_size")
    return keras_hub.models.ElectraBackbone(embedding_dim=8, **sizes), tokenizer


def tiny_f_net(**arguments):
    """Returns an FNet of two layers, which takes no padding mask, and a tokenizer."""
    tokenizer = keras_hub.models.BertTokenizer(word_piece_vocabulary(), lowercase=True)
    sizes = _sizes(tokenizer, arguments)
    del sizes["num_heads"]
    return keras_hub.models.FNetBackbone(**sizes), tokenizer


def tiny_roberta(**arguments):
    """Returns a RoBERTa of two layers and its tokenizer."""
    special = ["<s>", "<pad>", "</s>", "<mask>"]
    tokenizer = keras_hub.models.RobertaTokenizer(byte_pair_vocabulary(special), MERGES)
    return keras_hub.models.RobertaBackbone(**_sizes(tokenizer, arguments)), tokenizer


def tiny_gpt2(**arguments):
    """Returns a GPT-2 of two layers and its tokenizer, whose token 0 is a real one."""
    # Its padding has the id of a token, "!", as in the published vocabulary.
    vocabulary = byte_pair_vocabulary([])
    vocabulary["<|endoftext|>"] = len(vocabulary)
    tokenizer = keras_hub.models.GPT2Tokenizer(vocabulary, MERGES)
    return keras_hub.models.GPT2Backbone(**_sizes(tokenizer, arguments)), tokenizer


def write_preset(folder, backbone, tokenizer):
    """Writes a preset as KerasHub does and returns its folder."""
    backbone.save_to_preset(str(folder))
    tokenizer.save_to_preset(str(folder))
    return folder


@keras.saving.register_keras_serializable("tlkeras_tests")
class Holder(keras.Model):
    """A model with a text preprocessor as its attribute."""

    def __init__(self, preprocessor, **kwargs):
        inputs = keras.Input((2,))
        super().__init__(inputs, keras.layers.Dense(1)(inputs), **kwargs)
        self.preprocessor = preprocessor

    def get_config(self):
        return {"preprocessor": keras.saving.serialize_keras_object(self.preprocessor)}

    @classmethod
    def from_config(cls, config):
        return cls(TextPreprocessor.from_config(config["preprocessor"]["config"]))


def _sizes(tokenizer, arguments):
    return {
        "vocabulary_size": tokenizer.vocabulary_size(),
        "num_layers": 2,
        "num_heads": 2,
        "hidden_dim": 8,
        "intermediate_dim": 16,
        "max_sequence_length": 32,
        **arguments,
    }


_HEADS = {"num_query_heads": 2, "num_key_value_heads": 1}
_EXPERTS = {"num_experts": 2, "top_k": 1}

# What the tiny backbone of each of KerasHub's text families takes, besides the sizes of
# all; a size is left out by `None`.
FAMILIES = {
    "Albert": {"embedding_dim": 8},
    "Bert": {},
    "Bloom": {"max_sequence_length": None},
    "DebertaV3": {"bucket_size": 8},
    "DistilBert": {},
    "Electra": {"embedding_dim": 8, "vocabulary_size": None},
    "FNet": {"num_heads": None},
    "Falcon": {
        "num_heads": None,
        "num_attention_heads": 2,
        "max_sequence_length": None,
    },
    "GPT2": {},
    "GPTNeoX": {"rotary_percentage": 1.0},
    "Gemma": {**_HEADS, "head_dim": 4},
    "GptOss": {**_HEADS, "num_experts": 3, "top_k": 2, "head_dim": 4},
    "Llama": _HEADS,
    "Llama3": _HEADS,
    "Mistral": _HEADS,
    "Mixtral": {**_HEADS, "num_experts": 3, "top_k": 2},
    "OPT": {},
    "Phi3": _HEADS,
    "Qwen": _HEADS,
    "Qwen3": {**_HEADS, "head_dim": 4},
    "Qwen3Moe": {
        **_HEADS,
        **_EXPERTS,
        "head_dim": 4,
        "moe_intermediate_dim": 8,
        "norm_top_k_prob": True,
        "decoder_sparse_step": 1,
        "layer_norm_epsilon": 1e-6,
        "router_aux_loss_coefficient": 0.01,
    },
    "QwenMoe": {
        **_HEADS,
        **_EXPERTS,
        "moe_intermediate_dim": 8,
        "shared_expert_intermediate_dim": 8,
    },
    "Roberta": {},
    "RoformerV2": {"head_size": 4, "max_wavelength": 100},
    "SmolLM3": {
        "num_heads": None,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "attention_bias": False,
        "attention_dropout": 0.0,
        "rope_layer_enabled_list": [True, True],
        "layer_types": ["full_attention"] * 2,
        "mlp_bias": False,
        "layer_norm_epsilon": 1e-6,
        "max_position_embeddings": 32,
        "rope_theta": 100.0,
        "partial_rotary_factor": 1.0,
    },
    "XLMRoberta": {},
}


def tiny_of(family, **arguments):
    """Returns a backbone of two layers of a text family, and a tokenizer that fits."""
    backbone = getattr(keras_hub.models, f"{family}Backbone")
    is_decoder = text_families()[backbone].kind == "decoder"
    _, tokenizer = tiny_gpt2() if is_decoder else tiny_bert()
    sizes = _sizes(tokenizer, {**FAMILIES[family], **arguments})
    if "num_query_heads" in sizes:
        sizes["num_heads"] = None
        sizes["max_sequence_length"] = None
    if family == "Electra":
        sizes["vocab_size"] = tokenizer.vocabulary_size()
    sizes = {name: size for name, size in sizes.items() if size is not None}
    taken = inspect.signature(backbone.__init__).parameters
    return backbone(**{n: v for n, v in sizes.items() if n in taken}), tokenizer
