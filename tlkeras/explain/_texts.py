"""Texts: integrated gradients of the tokens' embeddings, summed over words."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tlkeras.explain._integrated import integrate
from tlkeras.explain._probe import Probe
from tlkeras.explain._words import Tokens, baseline_id
from tlkeras.explain.results import TextExplanation


def embeddings(probe: Probe) -> int:
    """Returns the slot of the tokens' embeddings.

    Raises:
        ValueError: If no single layer with weights reads the tokens.
    """
    names = [probe.graph.tensors[slot].name for slot in probe.graph.inputs]
    if "token_ids" in names:
        tokens = probe.graph.inputs[names.index("token_ids")]
        found = [
            call.outputs[0]
            for call in probe.graph.between(probe.graph.inputs, probe.output)
            if tokens in call.inputs and getattr(call.operation, "weights", ())
        ]
        if len(found) == 1:
            return found[0]
    raise ValueError(
        "Texts are explained by the layer that embeds their tokens: the model must "
        "have an input 'token_ids' that a single layer with weights reads. "
        f"{probe.model.name!r} has the inputs {names}."
    )


def explain_texts(
    probe: Probe,
    texts: Sequence[Any],
    tokens: Sequence[Tokens],
    targets: np.ndarray,
    facts: list[dict[str, Any]],
    settings: Any,
) -> list[TextExplanation]:
    """Explains texts; the arguments are those of `explain_pictures`, with tokens."""
    tokenizer = probe.model.preprocessor.tokenizer
    nothing = baseline_id(tokenizer, settings.baseline)
    slot = embeddings(probe)
    function = probe.gradient_function(slot)
    found = []
    for text, read, target, about in zip(texts, tokens, targets, facts, strict=True):
        inputs = in_order(probe, read.inputs)
        blank = read.inputs["token_ids"].copy()
        blank[0, read.places] = nothing
        ends = [
            np.asarray(probe.at(slot, in_order(probe, each)))[0]
            for each in ({**read.inputs, "token_ids": blank}, read.inputs)
        ]
        choice = np.eye(probe.units, dtype="float32")[target]
        integral = integrate(
            _at_embeddings(function, choice, inputs),
            *ends,
            settings.steps,
            settings.tolerance,
            settings.batch_size,
        )
        token_scores = integral.attributions.sum(axis=-1)[read.places]
        found.append(
            TextExplanation(
                **about,
                method="integrated_gradients",
                text=text,
                words=tuple(read.words),
                scores=np.bincount(read.word_of, token_scores, len(read.words)),
                parts=tuple(read.part_of),
                tokens=tuple(_token_names(tokenizer, read)),
                token_scores=token_scores,
                truncated=read.truncated,
                baseline=integral.start,
                gap=integral.gap,
                steps=integral.steps,
            )
        )
    return found


def in_order(probe: Probe, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Returns inputs by name in the order of the model's graph."""
    names = [probe.graph.tensors[slot].name for slot in probe.graph.inputs]
    return [inputs[name] for name in names]


def _at_embeddings(function: Any, choice: np.ndarray, inputs: list[np.ndarray]) -> Any:
    def at(points):
        rows = np.broadcast_to(choice, (len(points), len(choice)))
        same = [np.repeat(each, len(points), axis=0) for each in inputs]
        values, gradients = function([points, rows, *same])
        return np.asarray(values), np.asarray(gradients)

    return at


def _token_names(tokenizer: Any, read: Tokens) -> list[str]:
    ids = read.inputs["token_ids"][0, read.places]
    # What a byte-pair vocabulary has no letter for has the id -1.
    return [str(tokenizer.id_to_token(int(i))) if i >= 0 else "?" for i in ids]
