"""`data/sentences.csv`, the labelled sentences of the text quickstart."""

import csv
import re
from collections import Counter
from itertools import combinations
from pathlib import Path

import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline

PATH = Path(__file__).parents[1] / "data" / "sentences.csv"
LABELS = ("negative", "positive")
TOPICS = (
    "book",
    "course",
    "film",
    "hotel",
    "phone",
    "restaurant",
    "software",
    "transport",
)


def words(text):
    """The words of a text in lower case, without punctuation."""
    return re.sub(r"[^\w\s]", "", text.lower()).split()


@pytest.fixture(scope="module")
def rows():
    with PATH.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, strict=True))


def test_the_header_is_text_label_topic():
    with PATH.open(encoding="utf-8", newline="") as file:
        assert next(csv.reader(file)) == ["text", "label", "topic"]


def test_every_topic_has_thirty_rows_of_each_label(rows):
    counts = Counter((row["topic"], row["label"]) for row in rows)
    assert counts == {(topic, label): 30 for topic in TOPICS for label in LABELS}


def test_every_row_has_three_clean_fields(rows):
    for row in rows:
        # `DictReader` files surplus fields under the key None.
        assert set(row) == {"text", "label", "topic"}, row
        assert row["text"] == " ".join(row["text"].split()), row
        assert row["text"][-1] in ".?!", row


def test_texts_have_five_to_thirty_five_words(rows):
    wrong = [row["text"] for row in rows if not 5 <= len(words(row["text"])) <= 35]
    assert wrong == []


def test_no_text_comes_twice(rows):
    counts = Counter(" ".join(words(row["text"])) for row in rows)
    assert [text for text, n in counts.items() if n > 1] == []


def test_no_two_texts_share_most_of_their_words(rows):
    sets = [(row["text"], set(words(row["text"]))) for row in rows]
    alike = [
        (first, second)
        for (first, a), (second, b) in combinations(sets, 2)
        if len(a & b) > 0.6 * len(a | b)
    ]
    assert alike == []


def test_the_order_mixes_the_labels(rows):
    # A reader that takes the first rows, unshuffled, must still meet both labels.
    labels = [row["label"] for row in rows]
    for start in range(0, len(labels), 40):
        share = labels[start : start + 40].count("positive") / 40
        assert 0.25 <= share <= 0.75, start


def test_a_bag_of_words_learns_something_but_not_all(rows):
    model = make_pipeline(CountVectorizer(), LogisticRegression(max_iter=1000))
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    texts = [row["text"] for row in rows]
    labels = [row["label"] for row in rows]
    accuracy = cross_val_score(model, texts, labels, cv=folds).mean()
    assert 0.5 < accuracy < 0.85
