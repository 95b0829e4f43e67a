"""Few labels: a class more without the old data, and which labels to ask for next."""

from tlkeras.few_labels.learning import learn_class
from tlkeras.few_labels.suggesting import LabelSuggestions, suggest_labels

__all__ = ["LabelSuggestions", "learn_class", "suggest_labels"]
