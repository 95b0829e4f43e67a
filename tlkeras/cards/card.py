"""`ModelCard`, and the verb that writes one."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tlkeras._files import write_whole
from tlkeras.builders import TransferModel
from tlkeras.cards.backbone_facts import hub_name
from tlkeras.cards.facts import Facts
from tlkeras.cards.licences import check_license
from tlkeras.cards.markdown import escaped, yaml
from tlkeras.cards.sections import sections
from tlkeras.evaluation import Report
from tlkeras.evaluation.rendering.pictures import Picture, pictures
from tlkeras.inputs import Input
from tlkeras.outputs import Output

# Names of a report's figures, and the hub's names for them.
_HUB_METRICS = {
    "accuracy": ("accuracy", "Accuracy"),
    "macro_f1": ("f1", "Macro F1"),
    "roc_auc": ("roc_auc", "ROC AUC"),
    "mae": ("mae", "Mean absolute error"),
    "rmse": ("rmse", "Root mean squared error"),
    "r2": ("r_squared", "R2"),
}
# The examples themselves are the data set's, not the card's.
_NOT_SHOWN = {"top_losses"}


@dataclass(frozen=True)
class ModelCard:
    """A model card: Markdown below a header that model hubs read.

    `tl.model_card` makes it. `str` gives the text, a notebook shows it.

    Attributes:
        facts: What it is written from.
        header: What the header holds, as a dictionary.
    """

    facts: Facts
    header: Mapping[str, Any]

    def save(self, path: str | os.PathLike, *, pictures: bool = False) -> None:
        """Writes the card as a Markdown file.

        Args:
            path: File ending in `.md`; or a folder, new or not, in which it becomes
                `README.md`, the name that hubs look for.
            pictures: Whether to draw the report's figures into files beside it and
                show them. Examples of the data are not among them.

        Raises:
            ValueError: If `path` is neither, or cannot be written to.

        Example:

        >>> model = tl.image_classifier("glyphnet", ["a", "b"])
        >>> tl.model_card(model).save("card.md")
        """
        path = Path(path)
        target = path if path.suffix == ".md" else path / "README.md"
        if path.suffix not in ("", ".md") and not path.is_dir():
            raise ValueError(
                "`path` must end in '.md' or name a folder. Received: "
                f"path={str(path)!r}."
            )
        drawn = self._drawn() if pictures else {}
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            for picture in (p for several in drawn.values() for p in several):
                write_whole(target.parent / picture.file, picture.data)
            write_whole(target, self._text(drawn))
        except OSError as error:
            raise ValueError(
                f"The card cannot be written to {str(target)!r}: {error}."
            ) from error

    def _drawn(self) -> dict[str, list[Picture]]:
        """Returns the pictures of each report, with names that differ."""
        return {
            head: [
                picture._replace(
                    name=f"{self.facts.head(_slug(head), '{}_')}{picture.name}"
                )
                for picture in pictures(report)
                if picture.name not in _NOT_SHOWN
            ]
            for head, report in self.facts.reports.items()
        }

    def _text(self, drawn: Mapping[str, list[Picture]]) -> str:
        parts = [
            f"---\n{yaml(self.header)}\n---",
            f"# {escaped(self.facts.name)}",
            *(f"## {name}\n\n{text}" for name, text in sections(self.facts, drawn)),
        ]
        return "\n\n".join(parts) + "\n"

    def __str__(self) -> str:
        return self._text({})

    def __repr__(self) -> str:
        return f"<ModelCard of {self.facts.name!r}>"

    def _repr_markdown_(self) -> str:
        # A notebook would show the header as text.
        return self._text({}).split("\n---\n", 1)[1]


def model_card(
    model: TransferModel,
    report: Report | Mapping[str, Report] | None = None,
    *,
    name: str | None = None,
    description: str | None = None,
    intended_use: str | None = None,
    out_of_scope: str | None = None,
    dataset: str | None = None,
    license: str | None = None,
    citation: str | None = None,
    header: Mapping[str, Any] | None = None,
) -> ModelCard:
    """Writes a model card: what a model is, how good, made how, and its limits.

    Everything that tlkeras knows it takes from `model.record` and from the report. It
    makes up nothing: what it does not know it leaves to you, and says that it is not
    said. Texts that you give are Markdown.

    Args:
        model: A trained `TransferModel`.
        report: What `tl.evaluate` gave on test data, with `slices` where there are
            some that matter; of a model with several heads its dictionary.
        name: The model's name. Defaults to the Keras name.
        description: What it is for and how it came to be, in a paragraph.
        intended_use: Who may use it for what.
        out_of_scope: What it must not be used for.
        dataset: Where the data come from, whose they are and under what terms.
        license: The model's licence, as hubs write it: `"apache-2.0"`, `"cc-by-4.0"`;
            `"other"` for one that they do not know.
        citation: BibTeX.
        header: Entries of the header to add or to replace: `{"language": "en",
            "datasets": ["imdb"], "base_model": ["google/vit-base-patch16-224"]}`.

    Returns:
        A `ModelCard`: `str(card)`, `card.save("README.md")`.

    Raises:
        ValueError: If `model` is none of tlkeras' or `report` is of another task.

    Example:

    >>> model = tl.image_classifier("glyphnet", ["a", "b"])
    >>> report = tl.Report([0, 1], [[0.9, 0.1], [0.2, 0.8]], class_names=["a", "b"])
    >>> card = tl.model_card(model, report, name="Letters", license="apache-2.0")
    >>> str(card).splitlines()[:3]
    ['---', 'license: apache-2.0', 'library_name: keras']

    Reference:
        Mitchell et al., Model Cards for Model Reporting (2019); the format of the
        header: https://huggingface.co/docs/hub/model-cards.
    """
    if not isinstance(model, TransferModel):
        raise ValueError(
            "`model` must be a `TransferModel`, such as tl.image_classifier builds. "
            f"Received: {type(model).__name__}."
        )
    check_license(license)
    name = model.name if name is None else str(name)
    facts = Facts(
        name=name,
        slug=_slug(name) or "model",
        model=model,
        record=model.record,
        reports=_reports(model, report),
        said={
            "description": description,
            "intended_use": intended_use,
            "out_of_scope": out_of_scope,
            "dataset": dataset,
            "license": license,
            "citation": citation,
        },
    )
    return ModelCard(facts, {**_header(facts), **(header or {})})


def _reports(model: TransferModel, report: Any) -> dict[str, Report]:
    """Returns reports by head, or raises `ValueError`."""
    problem = model.problem
    if report is None:
        return {}
    of_heads = problem.named and isinstance(report, Mapping)
    reports = problem.by_head(report) if of_heads or not problem.named else {"": report}
    for name, part in reports.items():
        output = problem.outputs.get(name)
        came = part.task if isinstance(part, Report) else type(part).__name__
        if output is None or came != output.task:
            wanted = problem.face({n: one.task for n, one in problem.outputs.items()})
            raise ValueError(
                "`report` must be what `tl.evaluate` gives for this model: a `Report`, "
                f"or one for each head. Expected: {wanted!r}. Received: "
                f"{came!r}{f' of {name!r}' if of_heads else ''}."
            )
    return reports


def _header(facts: Facts) -> dict[str, Any]:
    problem = facts.problem
    tag = None if problem.named else _hub_task(problem.input, problem.output)
    found = {
        "license": facts.said.get("license"),
        "library_name": "keras",
        "pipeline_tag": tag,
        "tags": ["tlkeras", "transfer-learning", "fine-tuning"],
        "base_model": hub_name(facts.published),
        "metrics": _metrics(facts),
        "model-index": _index(facts),
    }
    return {name: value for name, value in found.items() if value}


def _hub_task(input: Input, output: Output) -> str | None:
    """Returns the hub's word for what a head does; `None` where it has none."""
    return output.hub_task and output.hub_task.format(input=input.prefix)


def _metrics(facts: Facts) -> list[str]:
    found = [m for r in facts.reports.values() for m in _HUB_METRICS if m in r.metrics]
    return [_HUB_METRICS[name][0] for name in dict.fromkeys(found)]


def _index(facts: Facts) -> list[dict[str, Any]]:
    """Returns the results as hubs list them."""
    results, its_input = [], facts.problem.input
    for head, report in facts.reports.items():
        output = facts.problem.outputs[head]
        task = _hub_task(its_input, output) or f"{its_input.prefix}-{output.task}"
        described = f"{len(report.y_true)} test examples"
        metrics = [
            {"type": kind, "value": round(report.metrics[name], 4), "name": shown}
            for name, (kind, shown) in _HUB_METRICS.items()
            if report.metrics.get(name, float("nan")) == report.metrics.get(name)
        ]
        dataset = f"{described}{facts.head(head, ', head {}')}"
        results.append(
            {
                "task": {"type": task},
                "dataset": {"name": dataset, "type": "custom"},
                "metrics": metrics,
            }
        )
    return [{"name": facts.name, "results": results}] if results else []


def _slug(name: str | None) -> str:
    """Returns a name as a file may have it."""
    return re.sub(r"[^a-z0-9]+", "_", str(name or "").lower()).strip("_")
