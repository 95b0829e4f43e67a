"""`boosting_report`: what gradient boosting makes of the same table."""

from typing import Any

import numpy as np

from tlkeras._validation import check_int
from tlkeras.data import Splits
from tlkeras.evaluation.report import Report
from tlkeras.inputs.examples import examples_of


def boosting_report(data: Splits, *, seed: int = 0) -> Report:
    """Evaluates scikit-learn's gradient boosting on the rows of a table.

    On tables, gradient boosting is what a network has to beat, and often it does not:
    look before you use one. It learns with its own defaults from the training and the
    validation part, and is tested on the test part; `tl.compare` says whether a model
    differs from it by more than chance. Of free text it gets the tokens, weighed by
    TF-IDF and reduced to 50 numbers by a singular value decomposition; the report's
    `about` says so.

    Args:
        data: `Splits` of a table with a test part; one head of classes, or of numbers.
        seed: Seed of the boosting.

    Returns:
        A `Report` of the test part, in its stored order, as that of
        `tl.evaluate(model, data.test)`.

    Raises:
        UnsupportedError: If the data are no table, or their labels are not exclusive.
        ValueError: If there is no test part or there are several heads.

    Example:
    >>> import pandas as pd
    >>> x = np.arange(200.0) % 7
    >>> data = tl.from_dataframe(
    ...     pd.DataFrame({"x": x, "high": x > 3}), features=["x"], label="high"
    ... )
    >>> tl.boosting_report(data).accuracy
    1.0

    Reference:
        Grinsztajn et al., Why do tree-based models still outperform deep learning on
        typical tabular data? (2022); Ke et al., LightGBM (2017). Deerwester et al.,
        Indexing by Latent Semantic Analysis (1990).
    """
    check_int("seed", seed, 0)
    if not isinstance(data, Splits) or data.test is None:
        raise ValueError(
            "`data` must be `Splits` with a test part, as `tl.from_dataframe` makes "
            f"them. Received: {data!r}."
        )
    problem = data.problem
    if problem.named:
        raise ValueError(
            f"Boosting has one head; the data have {list(problem.outputs)}. Read them "
            "with one of the labels."
        )
    output = problem.output
    if not output.is_exclusive and output.class_names is not None:
        raise output.unsupported("tl.boosting_report", "is_exclusive")
    test = examples_of(data.test)
    seen = [examples_of(part) for part in (data.train, data.val) if part is not None]
    rows = problem.input.plain_rows(seen, test)
    y = np.concatenate([np.asarray(each.labels) for each in seen])
    outputs = _outputs(rows, y, output, seed)
    about = {
        "model": f"scikit-learn's HistGradientBoosting, its defaults{rows.note}",
        "data": f"{len(outputs)} {problem.input.nouns}",
    }
    return Report(np.asarray(test.labels), outputs, output=output, about=about)


def _outputs(rows: Any, y: np.ndarray, output: Any, seed: int) -> np.ndarray:
    """Returns probabilities `(n, classes)`, or numbers `(n, k)`."""
    from sklearn import ensemble

    x, test = rows.learnt, rows.others
    settings = {"categorical_features": rows.codes, "random_state": seed}
    if output.is_exclusive:
        boosting = ensemble.HistGradientBoostingClassifier(**settings).fit(x, y)
        # A class without a training row has no column of its own.
        found = np.zeros((len(test), len(output.class_names)), "float32")
        found[:, boosting.classes_.astype(int)] = boosting.predict_proba(test)
        return found
    targets = y.reshape(len(y), -1).T
    each = [
        ensemble.HistGradientBoostingRegressor(**settings).fit(x, target).predict(test)
        for target in targets
    ]
    return np.stack(each, axis=1).astype("float32")
