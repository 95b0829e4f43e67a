"""Figures for anomalies: steps and events that were to be found, and were."""

import numpy as np

# How often steps are flagged at random to compare with.
_REPEATS = 20


def run_numbers(flags: np.ndarray, begins: np.ndarray) -> np.ndarray:
    """Returns which run of flagged steps each step is in, from 1; 0 for none.

    Args:
        flags: Bool `(steps,)`, all series one after the other.
        begins: Where each series begins among them; no run goes on over such a step.

    Example:
    >>> flags = np.array([True, True, False, True, True])
    >>> run_numbers(flags, np.array([0, 4])).tolist()
    [1, 1, 0, 2, 3]
    """
    fresh = flags.copy()
    fresh[1:] &= ~flags[:-1]
    fresh[begins] = flags[begins]
    return np.cumsum(fresh) * flags


def anomaly_figures(
    truth: np.ndarray, scores: np.ndarray, flagged: np.ndarray, begins: np.ndarray
) -> dict[str, float]:
    """Returns how well scores and flags tell which steps are anomalous.

    Args:
        truth: Bool `(steps,)`, all series one after the other.
        scores: Float `(steps,)`, NaN where a step has none: it is left out.
        flagged: Bool `(steps,)`.
        begins: Where each series begins among them.

    Example:
    >>> truth = np.array([False, True, True, False])
    >>> found = anomaly_figures(truth, np.arange(4.0), np.arange(4) == 2, np.array([0]))
    >>> found["recall"], found["events_found"], found["point_adjusted_f1"]
    (0.5, 1, 1.0)

    Reference:
        Kim et al., Towards a Rigorous Evaluation of Time-Series Anomaly Detection
        (2022), of point adjustment.
    """
    from sklearn import metrics

    known = ~np.isnan(scores)
    events = run_numbers(truth, begins)[known]
    alarms = run_numbers(flagged, begins)[known]
    truth, scores, flagged = truth[known], scores[known], flagged[known]
    count = int(truth.sum())
    top = np.argsort(-scores, kind="stable")[:count]
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(
        truth, flagged, average="binary", zero_division=0
    )
    rng = np.random.default_rng(0)
    by_chance = [
        _point_adjusted_f1(events, rng.permutation(flagged)) for _ in range(_REPEATS)
    ]
    every = np.unique(events[truth])
    return {
        "steps": len(truth),
        "anomalous": count,
        "average_precision": float(metrics.average_precision_score(truth, scores)),
        "roc_auc": float(metrics.roc_auc_score(truth, scores)),
        "precision_at_k": float(truth[top].mean()),
        "precision": float(precision),
        "recall": float(recall),
        "f1": float(f1),
        "false_alarms": float(flagged[~truth].mean()),
        "events": len(every),
        "events_found": len(np.unique(events[truth & flagged])),
        "alarms": len(np.unique(alarms[flagged])),
        "false_alarm_runs": len(np.setdiff1d(alarms[flagged], alarms[truth])),
        "point_adjusted_f1": _point_adjusted_f1(events, flagged),
        "random_point_adjusted_f1": float(np.mean(by_chance)),
    }


def _point_adjusted_f1(events: np.ndarray, flagged: np.ndarray) -> float:
    """Returns F1 where an event counts as found whole if one step of it is flagged."""
    from sklearn.metrics import f1_score

    truth = events > 0
    found = np.unique(events[truth & flagged])
    return float(f1_score(truth, flagged | np.isin(events, found), zero_division=0))
