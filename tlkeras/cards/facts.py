"""What a card is made of: one model, its reports, and what its author said."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

import numpy as np

from tlkeras.builders.recording import fingerprint
from tlkeras.evaluation import Report
from tlkeras.problem import Problem
from tlkeras.records import TrainingRecord


@dataclass(frozen=True)
class Facts:
    """Everything that sections are written from.

    Attributes:
        name: The model's name, for people.
        slug: Its name, for files and addresses.
        model: The model.
        record: Its `record`, or `None`.
        reports: From each head's name, as in `Problem.outputs`, to its `Report`.
        said: What the author said, by argument of `model_card`.
    """

    name: str
    slug: str
    model: Any
    record: TrainingRecord | None
    reports: Mapping[str, Report]
    said: Mapping[str, Any] = field(default_factory=dict)

    @property
    def problem(self) -> Problem:
        """What the model is for."""
        return self.model.problem

    def head(self, name: str, words: str) -> str:
        """Returns words about a head, where the user named it; otherwise `""`.

        Args:
            name: The head's.
            words: Such as `"Head {}: "`, with a place for the name.
        """
        return words.format(name) if self.problem.named else ""

    @property
    def file(self) -> str:
        """The name of the model's file in examples."""
        return f"{self.slug}.keras"

    @property
    def backbone(self) -> dict[str, Any]:
        """What is known of the backbone."""
        if self.record is None:
            known = {"name": self.model.backbone.name}
        else:
            known = self.record.backbone
        # Channels may have gone since the record was made.
        return {**known, "parameters": self.model.backbone.count_params()}

    @property
    def weights(self) -> str | None:
        """What the backbone's weights were: a word, a file's name, or `None`."""
        if self.record is None:
            return None
        weights = self.record.arguments.get("weights")
        return weights if weights is None else PurePath(str(weights)).name

    @property
    def is_own_backbone(self) -> bool:
        """Whether the author made the backbone, or loaded it in a way of their own."""
        return self.record is not None and "backbone" in self.record.not_kept

    @property
    def is_pretrained(self) -> bool:
        """Whether the backbone came with published weights, as far as is known."""
        return self.record is None or self.weights is not None or self.is_own_backbone

    @property
    def published(self) -> str | None:
        """What published weights were asked for by; `None` with any others."""
        if self.record is None or self.is_own_backbone:
            return None
        arguments = self.record.arguments
        word = arguments.get("weights") in ("pretrained", "imagenet")
        return arguments["backbone"] if word else None

    @property
    def is_as_recorded(self) -> bool:
        """Whether the weights are those at the end of the record."""
        return self.record.last_weights == fingerprint(self.model)

    @property
    def training_data(self) -> list[dict[str, Any]]:
        """Facts of the training data of each run, those of equal data once."""
        runs = () if self.record is None else self.record.runs
        found = {run.train.get("fingerprint") or id(run): run.train for run in runs}
        return list(found.values())


def square_confusion(report: Report) -> np.ndarray | None:
    """Returns counts `(classes, classes)`, rows true; `None` where there are none."""
    counts = report.confusion
    return counts if counts is not None and counts.ndim == 2 else None
