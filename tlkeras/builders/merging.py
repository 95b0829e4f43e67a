"""The verb `merge_lora`: a model without adapters that computes the same."""

import keras

from tlkeras.lora import merged_copy
from tlkeras.problem import own_problem


def merge_lora(model: keras.Model) -> keras.Model:
    """Returns a copy of `model` whose adapters are folded into the kernels.

    The copy computes the same with plain layers: as fast as without adapters, and
    its file needs nothing of them. `tl.merge_lora(model).save("m.keras")` is saving
    merged. Its freeze point is that of `model`; the next `tl.fine_tune` trains kernels.

    Args:
        model: A functional `keras.Model` with adapters, such as `tl.text_classifier`
            builds with `lora_rank=`. It stays as it is.

    Returns:
        A new model of the same class, compiled alike, with a fresh optimizer.

    Raises:
        ValueError: If `model` has no adapters.

    Example:

    >>> import keras_hub
    >>> words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "film"]
    >>> tokenizer = keras_hub.models.BertTokenizer(words)
    >>> bert = keras_hub.models.BertBackbone(
    ...     vocabulary_size=8, num_layers=1, num_heads=1, hidden_dim=4,
    ...     intermediate_dim=4,
    ... )
    >>> model = tl.text_classifier(bert, 2, tokenizer=tokenizer, lora_rank=2)
    >>> model.count_params() - tl.merge_lora(model).count_params()
    32

    Reference:
        Hu et al., LoRA: Low-Rank Adaptation of Large Language Models (2021).
    """
    merged, problem = merged_copy(model), own_problem(model)
    if problem is not None:
        # A config holds a tokenizer without its vocabulary.
        merged.problem = problem
    return merged
