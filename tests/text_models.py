"""Tiny random text backbones with real tokenizers, and models that hold them."""

import keras
import keras_hub

from tlkeras.inputs.texts.preprocessor import TextPreprocessor

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
