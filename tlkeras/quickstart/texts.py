"""The quickstart on texts: a bag of words, frozen and fine-tuned."""

import argparse
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tlkeras.builders import TransferModel, text_classifier
from tlkeras.data import Splits, from_csv, from_dataframe
from tlkeras.evaluation import Report
from tlkeras.quickstart.comparison import Announce, Settings, Task, train_two_phases

if TYPE_CHECKING:
    import pandas
    import tensorflow as tf

# Chosen by 5-fold cross-validation on the training half; see `split_sentences`. A bag
# of words had 0.62 with any n-grams and any penalty. The head, 20 epochs: 0.658 at
# 1e-2, 0.675 at 3e-3, 0.671 at 1e-3. After 10 epochs of the head (0.662), fine-tuning
# of all transformer layers at 5e-5: 0.692 after 3 epochs, 0.683 after 6, 0.671 after 9;
# of the top two at 3e-5: 0.671, 0.675, 0.658. After 20 epochs, the top two at 1e-4:
# 0.667 after 4, 0.638 after 8. On other folds, all layers at 2e-5 for 4 epochs: 0.721
# from 0.712. The standard error of each is 0.03: a gain on the head is not shown.
SENTENCES_RECIPE = Settings(
    head_epochs=20,
    epochs=3,
    unfreeze_from="transformer_layer_0",
    learning_rate=3e-3,
    fine_tune_learning_rate=5e-5,
    batch_size=16,
)

# Every layer trains, for few epochs: Devlin et al., BERT (2019), appendix A.3.
OWN_TEXTS_RECIPE = Settings(
    head_epochs=20,
    epochs=3,
    unfreeze_from=0,
    learning_rate=3e-3,
    fine_tune_learning_rate=5e-5,
    batch_size=32,
)


def sentences_path() -> Path:
    """Finds `sentences.csv`, in the checkout or where the wheel has put it.

    Raises:
        FileNotFoundError: If it is in neither.
    """
    beside = Path(__file__).resolve().parents[2] / "data" / "sentences.csv"
    if beside.is_file():
        return beside
    try:
        installed = metadata.files("tlkeras") or []
    except metadata.PackageNotFoundError:
        installed = []
    for file in installed:
        path = Path(file.locate()).resolve()
        if path.name == beside.name and path.is_file():
            return path
    raise FileNotFoundError(
        f"The sentences of the quickstart are not at {beside}, nor among the files of "
        "an installed tlkeras. Install tlkeras again, or pass a table of your own with "
        "`--data FILE.csv`."
    )


def split_sentences() -> tuple["pandas.DataFrame", "pandas.DataFrame"]:
    """Cuts the sentences in two halves, training and test, the same for every seed.

    Each half has as many of every topic and label.
    """
    import pandas as pd
    from sklearn.model_selection import train_test_split

    sentences = pd.read_csv(sentences_path(), keep_default_na=False)
    strata = sentences[["label", "topic"]]
    train, test = train_test_split(
        sentences, test_size=0.5, stratify=strata, random_state=0
    )
    return train, test


def read_data(args: argparse.Namespace, recipe: Settings, seed: int) -> Splits:
    """Makes the `Splits` that `--data` names."""
    if args.data != "sentences":
        return from_csv(
            args.data,
            text=args.text_column,
            label=args.label_column,
            task="classification",
            batch_size=recipe.batch_size,
            seed=seed,
        )
    train, test = split_sentences()
    return from_dataframe(
        {"train": train, "test": test},
        text="text",
        validation_split=0,
        test_split=0,
        batch_size=recipe.batch_size,
        seed=seed,
    )


def train_all_ways(
    args: argparse.Namespace, recipe: Settings, data: Splits, announce: Announce
) -> tuple[TransferModel, Any]:
    """Trains in all the ways that are compared; returns the fine-tuned model."""
    # First, for it says at once where a backbone is not installed.
    model = text_classifier(args.backbone, data.class_names, weights=args.weights)
    announce("bag of words", bag_of_words_accuracy(data))
    history = train_two_phases(model, data, recipe, announce, args.verbose)
    return model, history


def bag_of_words_accuracy(data: Splits) -> float:
    """Trains a logistic regression on weighted words; returns its test accuracy.

    It is the baseline: it knows no word but those of the training part, and nothing
    of their order. Draws nothing at random.

    Reference:
        [Text feature extraction](https://scikit-learn.org/stable/modules/feature_extraction.html#tfidf-term-weighting)
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    baseline = make_pipeline(TfidfVectorizer(), LogisticRegression(max_iter=1000))
    baseline.fit(*texts_and_labels(data.train))
    return float(baseline.score(*texts_and_labels(data.test)))


def texts_and_labels(dataset: "tf.data.Dataset") -> tuple[np.ndarray, np.ndarray]:
    """Returns all texts and labels of a batched dataset."""
    batches = [(texts.numpy(), labels.numpy()) for texts, labels in dataset]
    texts, labels = map(np.concatenate, zip(*batches, strict=True))
    return texts, labels


def topic_table(args: argparse.Namespace, report: Report) -> str:
    """Formats the test accuracy on each topic of the sentences; `""` for other data."""
    if args.data != "sentences":
        return ""
    _, test = split_sentences()
    topics = test["topic"].to_numpy()
    is_right = report.y_true == report.y_pred
    lines = [f"{'':<16} accuracy  sentences   fine-tuned, seed 0, by topic"]
    for topic in np.unique(topics):
        of_topic = is_right[topics == topic]
        lines.append(f"{topic:<16} {of_topic.mean():>8.3f}  {len(of_topic):>9}")
    return "\n".join(lines)


def check(args: argparse.Namespace) -> str | None:
    """Says which arguments do not go together."""
    if args.data == "sentences" and (args.text_column or args.label_column):
        return "--text-column and --label-column are for --data FILE."
    return None


TEXT = Task(
    name="text",
    data="sentences",
    backbone="minilm",
    recipe=SENTENCES_RECIPE,
    own_recipe=OWN_TEXTS_RECIPE,
    read_data=read_data,
    train_all_ways=train_all_ways,
    details=topic_table,
    example="A text of your own.",
    options={"text_column": "text", "label_column": "label"},
    check=check,
)
