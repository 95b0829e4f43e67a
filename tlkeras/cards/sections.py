"""The sections of a card, each a function from facts to Markdown."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tlkeras.cards.backbone_facts import licence_sentence, pretraining
from tlkeras.cards.facts import Facts, square_confusion
from tlkeras.cards.limitations import limitations
from tlkeras.cards.markdown import bullets, escaped, table
from tlkeras.evaluation import Report
from tlkeras.evaluation.rendering.text import average_rows, interval, title
from tlkeras.metrics.slices import gap_sentences
from tlkeras.metrics.table import number
from tlkeras.records.encoding import readable

_MOST_NAMES, _MOST_ROWS, _MOST_CONFUSION = 20, 50, 12
_FIGURES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "roc_auc": "ROC AUC",
    "mean_average_precision": "mean average precision",
    "mae": "mean absolute error",
    "rmse": "root mean squared error",
    "r2": "R2",
    "loss": "loss",
    "ece": "expected calibration error",
}
# Settings that phases tell, or that are what they are by default.
_TOLD = {"head_epochs", "epochs", "unfreeze_from"}
_TOLD |= {"learning_rate", "fine_tune_learning_rate"}

_UNRECORDED = "`tl.distill`, `tl.prune`, `tl.calibrate` or `fit`"

_NOT_SAID = "_The author of this card has not said._"


def sections(facts: Facts, pictures: Mapping[str, Sequence[Any]]) -> Iterator:
    """Yields pairs of a title and the Markdown below it.

    Args:
        facts: What the card is about.
        pictures: From each head to the `Picture`s that lie beside the card.
    """
    yield "What it is", what_it_is(facts)
    yield "Intended use", _prose(facts.said.get("intended_use"))
    yield "Out of scope", out_of_scope(facts)
    yield "How to use it", how_to_use(facts)
    yield "Training data", training_data(facts)
    yield "Backbone", backbone(facts)
    yield "Training", training(facts)
    yield "Results", results(facts, pictures)
    yield "Calibration", calibration(facts)
    yield "Limitations", bullets(limitations(facts))
    yield "Licence", licence(facts)
    yield "Citation", citation(facts)


def what_it_is(facts: Facts) -> str:
    """Says what the model does, in a sentence or two."""
    said, problem = facts.said.get("description"), facts.problem
    noun = problem.input.noun
    each = {
        name: output.does(noun, _listed(output.class_names or ()))
        for name, output in problem.outputs.items()
    }
    if problem.named:
        does = f"answers several questions on each {noun} at once"
    else:
        does = problem.face(each)
    made = (
        f"It {does}. It was made of the backbone `{facts.backbone.get('name')}` by "
        "transfer learning, with Keras and [tlkeras](https://github.com/tlkeras/"
        "tlkeras)."
    )
    heads = [f"`{name}` {words}" for name, words in each.items() if problem.named]
    return "\n\n".join(filter(None, [said, made, bullets(heads)]))


def out_of_scope(facts: Facts) -> str:
    """Says what the model is not for."""
    said = facts.said.get("out_of_scope")
    general = (
        "Decisions about people or about safety on its answer alone were not examined "
        "and are out of scope."
    )
    return f"{said}\n\n{general}" if said else f"{_NOT_SAID} {general}"


def how_to_use(facts: Facts) -> str:
    """Returns code that runs, where the model's file lies."""
    usage = facts.problem.input.usage()
    lines = [
        "import tlkeras as tl",
        "",
        f'model = tl.load("{facts.file}")',
        f"for answer in model.classify({usage.code}):",
        "    print(answer)",
    ]
    code = "\n".join(["```python", *lines, "```"])
    if usage.command is None:
        return code
    command = f"python -m tlkeras predict {facts.file} {usage.command}"
    shell = f"```bash\npip install tlkeras\n{command}\n```"
    return f"{code}\n\nOr from the command line:\n\n{shell}"


def training_data(facts: Facts) -> str:
    """Describes the data that the model learnt from."""
    blocks = [facts.said["dataset"]] if facts.said.get("dataset") else []
    if not facts.training_data:
        return "\n\n".join([*blocks, "_Not recorded._"])
    if not blocks:
        blocks.append(f"Where the data come from: {_NOT_SAID}")
    for number_of, data in enumerate(facts.training_data, 1):
        run = next(r for r in facts.record.runs if r.train is data)
        several = len(facts.training_data) > 1
        before = f"Data {number_of}: " if several else ""
        blocks.append(before + _data_sentence(data, run.val))
        blocks += _counts_table(data, run.val)
    return "\n\n".join(blocks)


def _data_sentence(train: Mapping[str, Any], val: Mapping[str, Any] | None) -> str:
    if train.get("examples") is None:
        return f"A {escaped(train['kind'])}, which tlkeras knows no more of."
    size = f" at {train['size']}" if train.get("size") else ""
    validated = ""
    if val is not None and val.get("examples") is not None:
        print_of = val["fingerprint"][:16]
        validated = f" and {val['examples']:,} for validation (`{print_of}`)"
    return (
        f"{train['examples']:,} {train['kind']}{size} for training (fingerprint "
        f"`{train['fingerprint'][:16]}`){validated}; seed of the split and of the "
        f"order {train['seed']}."
    )


def _counts_table(
    train: Mapping[str, Any], val: Mapping[str, Any] | None
) -> Iterator[str]:
    counts, others = train.get("counts") or {}, (val or {}).get("counts") or {}
    if not counts:
        return
    if any(isinstance(value, Mapping) for value in counts.values()):
        for name, inside in counts.items():
            yield f"Labels of the head `{name}`:"
            yield _class_counts(inside, others.get(name) or {})
        return
    yield _class_counts(counts, others)


def _class_counts(counts: Mapping[str, int], others: Mapping[str, int]) -> str:
    header = ("class", "training", *(("validation",) if others else ()))
    rows = [
        (escaped(name), f"{n:,}", *((f"{others.get(name, 0):,}",) if others else ()))
        for name, n in counts.items()
    ]
    return _cut(header, rows, "classes")


def backbone(facts: Facts) -> str:
    """Describes the pretrained part and whose it is."""
    known, name = facts.backbone, str(facts.backbone.get("name"))
    sentences = [f"`{name}`, {known['parameters']:,} parameters."]
    if facts.is_own_backbone:
        sentences.append(
            "The author of the model built or loaded it; what it was pretrained on and "
            "under which licence is not known to tlkeras."
        )
    elif facts.record is None:
        sentences.append("Where its weights came from was not recorded.")
    else:
        source = pretraining(facts.published)
        if source:
            sentences.append(f"It was pretrained on {source}.")
        if facts.is_pretrained and facts.published is None:
            sentences.append(f"Weights: `{facts.weights}`.")
        sentences.append(licence_sentence(known, facts.is_pretrained, facts.published))
    return " ".join([*sentences, *facts.problem.input.other_backbones()])


def training(facts: Facts) -> str:
    """Says how the model was trained, and how to do it again."""
    record = facts.record
    if record is None:
        return "_Not recorded: an earlier version of tlkeras or other code made it._"
    arguments = {
        name: value
        for name, value in record.arguments.items()
        if name not in ("backbone", "classes", "heads", "weights")
        and value not in (None, False, 0.0, [], ())
    }
    listed = ", ".join(f"`{name}={readable(v)}`" for name, v in arguments.items())
    blocks = [
        f"Built by `tl.{record.builder}` with {listed or 'defaults'}; seed "
        f"{record.seed}, precision `{record.precision}`."
    ]
    blocks += [
        f"Pretrained by `tl.pretrain` after run {each.after_run}: {each}."
        for each in record.pretrained
    ]
    if not record.runs:
        sentence = "No fit verb of tlkeras trained it."
        if not facts.is_as_recorded:
            sentence += (
                " Its weights have changed since by something that leaves no record, "
                f"such as {_UNRECORDED}."
            )
        return "\n\n".join([*blocks, sentence])
    blocks.append(_phases(record.runs))
    blocks += [_settings(i, run) for i, run in enumerate(record.runs, 1)]
    blocks.append(
        bullets(dict.fromkeys(f"Trained on {r.surroundings}." for r in record.runs))
    )
    blocks += [
        f"Learnt by `tl.learn_class` after run {each.after_run}: {escaped(str(each))}."
        for each in record.learnt
    ]
    blocks += [
        f"Adapted by `tl.adapt` after run {each.after_run}: {escaped(each.summary)}."
        for each in record.adapted
    ]
    return "\n\n".join([*blocks, _again(facts)])


def _phases(runs: Sequence[Any]) -> str:
    header = ("phase", "freeze point", "learning rate", "epochs", "parameters", "time")
    several = len(runs) > 1
    rows = [
        (
            f"{f'{i}: ' * several}{escaped(phase['name'])}",
            _point(phase["unfreeze_from"]),
            f"{phase['learning_rate']:.3g}",
            phase["epochs"],
            f"{phase['trainable']:,}",
            _time(phase["seconds"]),
        )
        for i, run in enumerate(runs, 1)
        for phase in run.phases
    ]
    return table(header, rows)


def _settings(number_of: int, run: Any) -> str:
    shown = {
        name: value
        for name, value in run.settings.items()
        if name not in _TOLD and value not in (None, False, 0.0)
    }
    listed = ", ".join(f"`{name}={readable(v)}`" for name, v in shown.items())
    optimizer = readable(run.compiled.get("optimizer")).partition("(")[0]
    optimizer = f"optimizer `{optimizer}`, " if "optimizer" not in shown else ""
    return (
        f"Run {number_of}, {run.surroundings.date[:10]}: {optimizer}batches of "
        f"{run.settings.get('batch_size') or run.train.get('batch_size') or '?'}"
        f"{', ' + listed if listed else ''}."
    )


def _again(facts: Facts) -> str:
    wanted = "".join(f", {name}=..." for name in facts.record.not_kept)
    code = f'again = tl.rerun("{facts.file}", data{wanted})'
    runs = facts.record.runs
    notes = [escaped(note) for run in runs for note in run.notes]
    teachers = [escaped(run.taught_by) for run in runs if run.taught_by]
    if teachers:
        notes.append(
            f"It learnt from a teacher, {teachers[0]}, which the file does not hold: "
            "repeat it with `tl.distill`."
        )
        return " ".join(dict.fromkeys(notes))
    if facts.record.learnt:
        notes.append(
            "It learnt classes by `tl.learn_class`, which no rerun repeats: rerun the "
            "record of the model before, then call that again."
        )
        return " ".join(dict.fromkeys(notes))
    if facts.record.adapted:
        notes.append(
            "It was adapted by `tl.adapt`, which no rerun repeats: rerun the record of "
            "the model before, then call that again."
        )
        return " ".join(dict.fromkeys(notes))
    if facts.record.pretrained:
        notes.append(
            "It was pretrained by `tl.pretrain`, which no rerun repeats: repeat that "
            "by hand, then the runs of the record."
        )
        return " ".join(dict.fromkeys(notes))
    if not facts.is_as_recorded:
        notes.append(
            f"Something else changed the model afterwards, such as {_UNRECORDED}: a "
            "rerun leaves that out."
        )
    known = "The fit verbs' part of it" if notes else "All of it"
    sentences = " ".join([f"{known} is in the file.", *dict.fromkeys(notes)])
    return f"{sentences} With the same data:\n\n```python\n{code}\n```"


def results(facts: Facts, pictures: Mapping[str, Sequence[Any]]) -> str:
    """Gives the figures, with intervals, classes and slices."""
    if not facts.reports:
        return "_Not measured._"
    blocks = [
        "Whether these examples were kept out of training, and out of every choice, "
        "the author of this card alone knows."
    ]
    for name, report in facts.reports.items():
        blocks += filter(None, [facts.head(name, "### Head `{}`")])
        blocks += _figures(report)
        blocks += [
            f"![{escaped(p.description)}]({p.file})" for p in pictures.get(name, ())
        ]
    return "\n\n".join(blocks)


def _figures(report: Report) -> Iterator[str]:
    first = title(report)
    yield f"{first[0].upper()}{first[1:]}."
    rows = [
        (words, number(report.metrics[name]))
        for name, words in _FIGURES.items()
        if name in report.metrics
    ]
    yield table(("figure", "value"), rows)
    yield f"{interval(report)}."
    if report.per_class is not None:
        yield _per_class(report)
    confusion = square_confusion(report)
    if confusion is not None and len(confusion) <= _MOST_CONFUSION:
        yield "Rows true, columns predicted:"
        names = [escaped(name) for name in report.class_names]
        counts = zip(names, confusion.tolist(), strict=True)
        yield table(("true", *names), [(name, *row) for name, row in counts])
    for name, slices in report.slices.items():
        yield f"By {escaped(name)}:"
        yield _slices(slices)
        yield " ".join(map(str, gap_sentences(slices)))


def _per_class(report: Report) -> str:
    header = ("class", "precision", "recall", "F1", "examples")
    rows = [
        (
            escaped(row["class"]),
            *(f"{row[figure]:.3f}" for figure in ("precision", "recall", "f1")),
            row["support"],
        )
        for row in [*report.per_class[:_MOST_ROWS], *average_rows(report)]
    ]
    left_out = len(report.per_class) - _MOST_ROWS
    more = f"\n\n{left_out} more classes are left out." if left_out > 0 else ""
    return table(header, rows) + more


def _slices(slices: Any) -> str:
    header = ("slice", "examples", slices.figure, "95% interval", "")
    rows = [
        (
            escaped(row["slice"]),
            row["examples"],
            f"{row[slices.figure]:.3f}",
            f"{row['low']:.3f} to {row['high']:.3f}",
            "few examples" if row["small"] else "",
        )
        for row in slices
    ]
    return _cut(header, rows, "slices")


def calibration(facts: Facts) -> str:
    """Says whether probabilities mean what they say, and where labels begin."""
    sentences, problem = [], facts.problem
    temperature = facts.model.temperature
    known = {} if temperature is None else problem.by_head(temperature)
    for name, output in problem.outputs.items():
        head = facts.head(name, "Head `{}`: ")
        names = [escaped(each) for each in output.class_names or ()]
        said = " ".join(output.calibration(known.get(name), names))
        sentences += [f"{head}{said}"] if said else []
        report = facts.reports.get(name)
        if report is not None and "ece" in report.metrics:
            sentences.append(
                "The expected calibration error on the test examples is "
                f"{report.metrics['ece']:.3f} (15 bins)."
            )
    return " ".join(sentences) or "_Not known._"


def licence(facts: Facts) -> str:
    """Says under which licence the model is, as far as anybody has said."""
    chosen = facts.said.get("license")
    first = (
        f"The model: {escaped(chosen)}."
        if chosen
        else "No licence was chosen for the model: ask its author before you use it."
    )
    return f"{first} Its backbone and its data have terms of their own, see above."


def citation(facts: Facts) -> str:
    """Says how to cite the model."""
    said = facts.said.get("citation")
    if said:
        return said if "```" in said else f"```bibtex\n{said.strip()}\n```"
    return _NOT_SAID


def _prose(text: str | None) -> str:
    return text if text else _NOT_SAID


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(map(escaped, names[:_MOST_NAMES]))
    return shown + f" and {len(names) - _MOST_NAMES} more" * (len(names) > _MOST_NAMES)


def _cut(header: Sequence[str], rows: list, noun: str) -> str:
    """Returns a table of at most so many rows, and says how many are left out."""
    left_out = len(rows) - _MOST_ROWS
    more = f"\n\n{left_out} more {noun} are left out." if left_out > 0 else ""
    return table(header, rows[:_MOST_ROWS]) + more


def _point(point: Any) -> str:
    if point is None:
        return "backbone frozen"
    if isinstance(point, float):
        return f"top {point:.0%} trained"
    kind = f"layer {point}" if isinstance(point, int) else f"`{point}`"
    return f"trained from {kind}"


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 600 else f"{seconds / 60:.0f} min"
