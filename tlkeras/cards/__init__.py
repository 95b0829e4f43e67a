"""Model cards: what a model is, for whom, and how good, for those who will use it."""

from tlkeras.cards.card import ModelCard, model_card

__all__ = ["ModelCard", "model_card"]
