"""Formulas and simulations of training on many devices; numpy alone.

What a cluster costs in time: all-reduce, the slowest replica, failures, a storage that
all share. Closed forms where there are any; the simulations check them, and take their
place where there are none. scale_plan.py makes the tables.
"""

import heapq
import math
from collections.abc import Callable

import numpy as np

# --- transformers ------------------------------------------------------------------


def vit_parameters(layers: int, width: int, inner: int) -> int:
    """Returns the parameters of `layers` transformer blocks and a last norm."""
    attention = 4 * (width * width + width)
    return layers * (attention + 2 * width * inner + inner + width + 4 * width) + (
        2 * width
    )


def vit_operations(layers: int, width: int, inner: int, tokens: int) -> int:
    """Returns the multiply-adds of `layers` transformer blocks."""
    dense = tokens * (4 * width * width + 2 * width * inner)
    return layers * (dense + 2 * tokens * tokens * width)


# --- all-reduce --------------------------------------------------------------------


def ring_bytes(parameters: int, replicas: int, item: int = 4) -> float:
    """Returns what each replica sends in one all-reduce by a ring (float32)."""
    return 2 * (replicas - 1) / replicas * parameters * item


def all_reduce_seconds(
    parameters: int, replicas: int, rate: float, latency: float
) -> float:
    """Returns the time of one all-reduce by a ring of `2 (replicas - 1)` hops."""
    hops = 2 * (replicas - 1)
    return ring_bytes(parameters, replicas) / rate + hops * latency


# --- failures ----------------------------------------------------------------------


def young(checkpoint: float, between: float) -> float:
    """Returns Young's interval of computing between two checkpoints (seconds)."""
    return math.sqrt(2 * checkpoint * between)


def daly(checkpoint: float, between: float) -> float:
    """Returns Daly's interval, of higher order (seconds)."""
    if checkpoint >= 2 * between:
        return between
    root = math.sqrt(checkpoint / (2 * between))
    return young(checkpoint, between) * (1 + root / 3 + root**2 / 9) - checkpoint


def overhead(
    interval: float, checkpoint: float, between: float, restart: float
) -> float:
    """Returns the expected extra time, as a share of the work (Daly's full cost)."""
    whole = math.exp(restart / between) * math.expm1((interval + checkpoint) / between)
    return between / interval * whole - 1


def simulate_failures(
    interval: float,
    checkpoint: float,
    between: float,
    restart: float,
    intervals: int = 200_000,
    seed: int = 0,
) -> float:
    """Returns the extra time of a run whose failures are drawn at random.

    Failures are memoryless, so that each attempt draws its own: an interval and its
    checkpoint, after a failure with the restart before it.
    """
    rng = np.random.default_rng(seed)
    spent, length, open_ = 0.0, interval + checkpoint, intervals
    while open_:
        life = -between * np.log1p(-rng.random(open_))
        spent += np.minimum(life, length).sum()
        open_ = int((life < length).sum())
        length = restart + interval + checkpoint
    return spent / (intervals * interval) - 1


def without_checkpoint(work: float, between: float) -> float:
    """Returns the expected time of work that begins anew after each failure."""
    return between * math.expm1(work / between)


# --- stragglers --------------------------------------------------------------------


def rare_slow_efficiency(replicas: int, chance: float, factor: float) -> float:
    """Returns the efficiency where each local step is `factor` times as long by chance.

    A step lasts as long as its slowest replica; 1 is what one replica reaches.
    """
    mean = 1 + chance * (factor - 1)
    return mean / (1 + (1 - (1 - chance) ** replicas) * (factor - 1))


def heavy_tail_efficiency(replicas: int, spread: float, index: float) -> float:
    """The same where a local step lasts `1 + spread (P - 1)`, with `P` of Pareto."""
    mean = 1 + spread / (index - 1)
    log_max = (
        math.lgamma(1 - 1 / index)
        + math.lgamma(replicas + 1)
        - math.lgamma(replicas + 1 - 1 / index)
    )
    return mean / (1 + spread * (math.exp(log_max) - 1))


def simulate_steps(
    replicas: int, local: Callable, prefetch: int = 0, steps: int = 2000, seed: int = 0
) -> float:
    """Returns the mean seconds of a step that waits for the slowest replica.

    Args:
        replicas: How many compute a step of one second together.
        local: From uniform numbers to the seconds that each takes to prepare a batch.
        prefetch: Batches that are prepared ahead; 0: preparing is part of the step.
        steps: How many to simulate; the first tenth is not counted.
        seed: Of the random numbers.
    """
    rng = np.random.default_rng(seed)
    starts, ready, now = [], np.zeros(replicas), 0.0
    for step in range(steps):
        needed = local(rng.random(replicas))
        if prefetch == 0:
            starts.append(now)
            now += 1 + needed.max()
            continue
        # A place in the queue is free once the batch before it is taken.
        free = starts[step - prefetch] if step >= prefetch else 0.0
        ready = np.maximum(ready, free) + needed
        starts.append(max(now, ready.max()))
        now = starts[-1] + 1
    skipped = steps // 10
    return (starts[-1] - starts[skipped]) / (steps - 1 - skipped)


# --- shared storage ----------------------------------------------------------------


def storage_throughput(readers: int, think: float, service: float, slots: int) -> float:
    """Returns reads per second of a storage that serves `slots` reads at once.

    Each reader waits for its read, then works for `think` seconds (both exponential).
    """
    weights = [0.0]
    for waiting in range(1, readers + 1):
        arriving = (readers - waiting + 1) / think
        leaving = min(waiting, slots) / service
        weights.append(weights[-1] + math.log(arriving / leaving))
    shares = np.exp(np.array(weights) - max(weights))
    busy = np.minimum(np.arange(readers + 1), slots)
    return float(shares @ busy / shares.sum() / service)


def simulate_storage(
    readers: int,
    think: float,
    service: float,
    slots: int,
    index: float | None = None,
    reads: int = 40_000,
    seed: int = 0,
) -> float:
    """Returns the same from a simulation; `index`: service times of Pareto."""
    rng = np.random.default_rng(seed)
    thinking = (-think * np.log1p(-rng.random(reads + readers))).tolist()
    uniform = rng.random(reads + readers)
    if index is None:
        serving = (-service * np.log1p(-uniform)).tolist()
    else:
        least = service * (index - 1) / index
        serving = (least * (1 - uniform) ** (-1 / index)).tolist()
    arrivals = [thinking.pop() for _ in range(readers)]
    heapq.heapify(arrivals)
    free = [0.0] * slots
    done = 0.0
    for _ in range(reads):
        begun = max(heapq.heappop(arrivals), heapq.heappop(free))
        done = begun + serving.pop()
        heapq.heappush(free, done)
        heapq.heappush(arrivals, done + thinking.pop())
    return reads / done
