"""What a model is not good at or was not examined for, from what is known of it."""

from collections.abc import Iterator, Mapping
from typing import Any

from tlkeras.cards.facts import Facts, square_confusion
from tlkeras.cards.markdown import escaped
from tlkeras.evaluation import Report

# Below these a card says that there is little.
FEW_TRAINED, FEW_TESTED, FEW_OF_CLASS = 1_000, 500, 30
# The largest class is that many times the smallest.
_UNEQUAL = 3
# An expected calibration error above it is worth a word.
_BADLY_CALIBRATED = 0.05
_MOST_NAMES = 5


def limitations(facts: Facts) -> Iterator[str]:
    """Yields sentences on the model's limits, each from a fact."""
    yield from _of_training(facts)
    if not facts.reports:
        yield "How good it is was not measured: no report was given to this card."
    for name, report in facts.reports.items():
        head = facts.head(escaped(name), "Head {}: ")
        for sentence in _of_report(report):
            yield f"{head}{sentence}"
    yield from _of_fairness(facts)
    yield from _of_use(facts)


def _of_training(facts: Facts) -> Iterator[str]:
    for data in facts.training_data:
        count = data.get("examples")
        if count is not None and count < FEW_TRAINED:
            yield f"It was trained on {count:,} examples, which is few."
        yield from _of_balance(data.get("counts") or {})
    if facts.record is not None:
        yield from dict.fromkeys(n for run in facts.record.runs for n in run.notes)


def _of_balance(counts: Mapping[str, Any]) -> Iterator[str]:
    if any(isinstance(value, Mapping) for value in counts.values()):
        for name, inside in counts.items():
            for sentence in _of_balance(inside):
                yield f"Head {escaped(name)}: {sentence}"
        return
    if len(counts) < 2:
        return
    least, most = min(counts, key=counts.get), max(counts, key=counts.get)
    if not counts[least]:
        yield f"It saw no example of {escaped(least)}."
    elif counts[most] > _UNEQUAL * counts[least]:
        yield (
            f"The classes are of unequal size in training: {counts[most]:,} of "
            f"{escaped(most)}, {counts[least]:,} of {escaped(least)}."
        )


def _of_report(report: Report) -> Iterator[str]:
    count = len(report.y_true)
    low, high = report.interval()
    figure = report.main_values.name.replace("mae", "the mean error")
    if count < FEW_TESTED:
        yield (
            f"It was tested on {count:,} examples, which is few: the 95% interval of "
            f"{figure} reaches from {low:.3g} to {high:.3g}."
        )
    rare = [
        escaped(row["class"])
        for row in report.per_class or []
        if row["support"] < FEW_OF_CLASS
    ]
    if rare:
        more = f" and {len(rare) - _MOST_NAMES} more" * (len(rare) > _MOST_NAMES)
        yield (
            f"Fewer than {FEW_OF_CLASS} test examples each of {_few(rare)}{more}: the "
            "figures of these classes say little."
        )
    if square_confusion(report) is not None:
        yield from (_of_confusion(pair) for pair in report.most_confused(1))
    ece = report.metrics.get("ece")
    if ece is not None and ece > _BADLY_CALIBRATED:
        yield (
            f"Its probabilities are off: expected calibration error {ece:.3f}. "
            "`tl.calibrate` can mend that."
        )
    shift = report.domain_gap
    if shift is not None and shift.differs:
        yield (
            "The test examples differ from those that they were compared with: they "
            f"are told apart with an accuracy of {shift.accuracy:.2f}, where 0.5 is "
            f"chance (p = {shift.p:.3f})."
        )
    for name, slices in report.slices.items():
        gap = slices.gap
        if gap is not None and gap.interval.low > 0:
            yield (
                f"By {escaped(name)}, '{escaped(gap.worst)}' lags behind "
                f"'{escaped(gap.best)}' in {slices.figure} by {gap.difference:.3f} "
                f"(95% interval {gap.interval.low:.3f} to {gap.interval.high:.3f})."
            )


def _of_confusion(pair: Mapping[str, Any]) -> str:
    return (
        f"Its most frequent error in the test: {escaped(pair['true'])} taken for "
        f"{escaped(pair['predicted'])}, {pair['count']} time(s), "
        f"{pair['share']:.1%} of the examples of that class."
    )


def _of_fairness(facts: Facts) -> Iterator[str]:
    sliced = {name for report in facts.reports.values() for name in report.slices}
    if sliced:
        names = ", ".join(map(escaped, sorted(sliced)))
        yield (
            f"Whether it does as well on all parts of the data was examined by {names} "
            "alone. Nothing more is known of its fairness."
        )
    else:
        yield (
            "Whether it does as well for all groups of people, places or devices was "
            "not examined: no fairness analysis was made."
        )


def _of_use(facts: Facts) -> Iterator[str]:
    problem = facts.problem
    for name, output in problem.outputs.items():
        head = facts.head(escaped(name), "Head {}: ")
        for sentence in output.limits(problem.input.noun):
            yield f"{head}{sentence}"
    if facts.reports:
        yield (
            "The figures hold for data like those of the test. On data from elsewhere "
            "expect less."
        )
    yield from problem.input.limits()
    if facts.is_pretrained:
        yield "What was lopsided in the backbone's pretraining data can show here, too."


def _few(names: list[str]) -> str:
    return ", ".join(names[:_MOST_NAMES])
