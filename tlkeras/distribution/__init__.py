"""Several devices and machines: who takes part, what each reads, how all keep step."""

from tlkeras.distribution.batches import Share
from tlkeras.distribution.cluster import Cluster, WorkerError
from tlkeras.distribution.predicting import (
    compiles_each_shape,
    fill_rows,
    in_one_shape,
    plain_model,
    predict,
)
from tlkeras.distribution.replicas import Replicas
from tlkeras.distribution.strategies import (
    is_tpu,
    scope_of,
    strategy_of,
    sum_over_replicas,
)
from tlkeras.distribution.workers import Workers, losing_a_worker

__all__ = [
    "Cluster",
    "Replicas",
    "Share",
    "WorkerError",
    "Workers",
    "compiles_each_shape",
    "fill_rows",
    "in_one_shape",
    "is_tpu",
    "losing_a_worker",
    "plain_model",
    "predict",
    "scope_of",
    "strategy_of",
    "sum_over_replicas",
]
