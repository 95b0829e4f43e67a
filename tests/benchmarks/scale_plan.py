"""Plans for 1 million and 100 million pictures: sizes, rates, failures, cost.

    python tests/benchmarks/scale_plan.py
    python tests/benchmarks/scale_plan.py --write docs/how_far_it_goes.md

Nothing is measured here: it is arithmetic on shapes and on the assumptions below, and
three small simulations where arithmetic is not enough. It prints the tables of
docs/how_far_it_goes.md, or writes them into that page between its marks. A test
recomputes them and compares the shapes with Keras.
"""

import argparse
import heapq
import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

HOUR, DAY, MONTH = 3600.0, 86400.0, 30 * 86400.0
MILLION = 10**6


@dataclass(frozen=True)
class Cut:
    """What crosses a freeze point of a backbone with 100 classes, 224 x 224 pictures.

    Attributes:
        backbone: Name in tlkeras.
        point: Freeze point; `"head"` where all of the backbone is frozen.
        numbers: Numbers per example at the cut.
        trained: Parameters that train, those of batch norms included.
        above: Multiply-adds of one forward pass above the cut.
    """

    backbone: str
    point: str
    numbers: int
    trained: int
    above: int

    @property
    def share(self) -> float:
        """The share of the whole model's multiply-adds that lies above the cut."""
        return self.above / TOTAL[self.backbone]


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


VIT = {"width": 768, "inner": 3072}
VIT_TOKENS = 197
VIT_HEAD = 768 * 100 + 100
_PATCHES = 196 * 768 * 768

TOTAL = {
    "mobilenet_v2": 299_622_272,
    "efficientnet_b0": 384_662_752,
    "resnet50": 3_856_130_048,
    "vgg16": 15_346_681_856,
    "vit_b_16": _PATCHES + vit_operations(12, **VIT, tokens=VIT_TOKENS) + 768 * 100,
}
CUTS = (
    Cut("mobilenet_v2", "head", 1280, 128_100, 128_000),
    Cut("mobilenet_v2", "block_16_expand", 7_840, 1_007_140, 43_200_960),
    Cut("mobilenet_v2", "block_13_expand", 18_816, 1_791_460, 89_761_152),
    Cut("mobilenet_v2", "block_6_expand", 25_088, 2_265_892, 186_362_496),
    Cut("efficientnet_b0", "head", 1280, 128_100, 128_000),
    Cut("efficientnet_b0", "block7a", 9_408, 1_249_684, 49_718_400),
    Cut("efficientnet_b0", "block6a", 21_952, 3_257_984, 141_246_624),
    Cut("efficientnet_b0", "block4a", 31_360, 4_030_814, 270_904_224),
    Cut("resnet50", "head", 2048, 204_900, 204_800),
    Cut("resnet50", "conv5_block1", 200_704, 15_158_372, 732_372_992),
    Cut("resnet50", "conv4_block1", 401_408, 22_246_500, 2_119_639_040),
    Cut("vgg16", "head", 512, 51_300, 51_200),
    Cut("vgg16", "block5", 100_352, 7_130_724, 1_387_317_248),
    Cut("vgg16", "block4", 200_704, 13_030_500, 6_011_537_408),
    Cut("vit_b_16", "head", 768, VIT_HEAD, 768 * 100),
    Cut(
        "vit_b_16",
        "last 4 of 12",
        VIT_TOKENS * 768,
        vit_parameters(4, **VIT) + VIT_HEAD,
        vit_operations(4, **VIT, tokens=VIT_TOKENS) + 768 * 100,
    ),
    Cut(
        "vit_b_16",
        "all 12",
        VIT_TOKENS * 768,
        vit_parameters(12, **VIT) + VIT_HEAD,
        vit_operations(12, **VIT, tokens=VIT_TOKENS) + 768 * 100,
    ),
)

# Pictures per second of one GPU in mixed precision, as NVIDIA published them for its
# own TensorFlow scripts on synthetic or prepared data (NVIDIA/DeepLearningExamples,
# READMEs of ConvNets/resnet50v1.5, 2020, batch 128 without XLA, training with XLA;
# and of TensorFlow2 ConvNets/efficientnet, 2021, batches 256 and 1024).
INFERENCE = {
    ("resnet50", "T4"): 996,
    ("resnet50", "V100"): 2771,
    ("resnet50", "A100"): 3475,
    ("efficientnet_b0", "V100"): 5271,
    ("efficientnet_b0", "A100"): 10269,
}
TRAINING = {("resnet50", "V100"): 1270, ("resnet50", "A100"): 2375}
# How many times as fast as one GPU; the same READMEs: (model, GPU, GPUs) to factor.
PUBLISHED_SCALING = {
    ("ResNet50", "A100", 8): 7.32,
    ("ResNet50", "V100", 8): 7.48,
    ("ResNet50", "V100", 16): 13.27,
    ("EfficientNet-B4", "A100", 8): 7.57,
    ("EfficientNet-B4", "A100", 64): 55.44,
    ("EfficientNet-B4", "V100", 64): 50.08,
}


@dataclass(frozen=True)
class Assumptions:
    """What a plan depends on besides the model: replace it by what you have."""

    jpeg_bytes: float = 110e3
    decodes_per_core: float = 200.0
    headers_per_second: float = 10_000.0
    name_length: int = 40
    disk_rate: float = 3e9
    disk_latency: float = 100e-6
    store_rate: float = 1e9
    nvlink_rate: float = 200e9
    ethernet_rate: float = 100e9 / 8
    hop_latency: float = 20e-6
    replica_batch: int = 64
    gpu_hour: float = 3.0
    disk_gb_month: float = 0.10
    checkpoint_rate: float = 0.5e9
    restart_seconds: float = 300.0
    spot_hours: float = 24.0


GIVEN = Assumptions()
ABOUT = {
    "jpeg_bytes": ("mean size of a picture's file", "110 kB"),
    "decodes_per_core": ("pictures that a core decodes per second", "200"),
    "headers_per_second": ("files opened per second when a folder is read", "10,000"),
    "name_length": ("characters of a file's relative name", "40"),
    "disk_rate": ("local NVMe disk, reading in large pieces", "3 GB/s"),
    "disk_latency": ("the same, one read at a time", "100 us"),
    "store_rate": ("network storage, per worker", "1 GB/s"),
    "nvlink_rate": ("all-reduce within a machine, bus bandwidth", "200 GB/s"),
    "ethernet_rate": ("all-reduce between machines, line rate", "100 Gbit/s"),
    "hop_latency": ("latency of one hop of the ring", "20 us"),
    "replica_batch": ("examples per replica and step", "64"),
    "gpu_hour": ("example price of a GPU hour", "3.00"),
    "disk_gb_month": ("example price of a GB and month on disk", "0.10"),
    "checkpoint_rate": ("writing a checkpoint", "0.5 GB/s"),
    "restart_seconds": ("from failure to training again", "300 s"),
    "spot_hours": ("example: mean hours until a spot machine is taken", "24"),
}
# 419 unexpected interruptions of 16,384 GPUs in 54 days (Llama 3, 2024).
GPU_HOURS_PER_FAILURE = 16_384 * 54 * 24 / 419

# Bytes of memory per listed file, as CPython 3.11 and tlkeras/data hold them: `str` of
# the relative name, three lists of it (all, readable, this part), the header record and
# the label; once reading starts, a string tensor of whole paths with decoder and
# orientation. While headers are read: whole paths, reasons, and one future per file.
LIST_HEADER_BYTES, FUTURE_BYTES, LABEL_BYTES = 26, 1824, 4


def listing_bytes(name_length: int, root_length: int = 20) -> dict[str, float]:
    """Returns bytes per file: kept for good, and at the most while it is read."""
    name, path = 49 + name_length, 49 + name_length + root_length + 1
    kept = name + 3 * 8 + LIST_HEADER_BYTES + LABEL_BYTES
    tensor = 24 + (path - 49 + 1) + 4 + 4 + LABEL_BYTES
    scan = path + 8 + 8 + FUTURE_BYTES
    return {"kept": kept + tensor, "while headers are read": kept + scan}


# --- sizes and rates ---------------------------------------------------------------


def cache_bytes(cut: Cut, examples: int, item: int = 2) -> float:
    """Returns the bytes of features at a cut; `item` is 2 in float16, 4 in float32."""
    return float(examples) * cut.numbers * item


def ring_bytes(parameters: int, replicas: int, item: int = 4) -> float:
    """Returns what each replica sends in one all-reduce by a ring (float32)."""
    return 2 * (replicas - 1) / replicas * parameters * item


def all_reduce_seconds(
    parameters: int, replicas: int, rate: float, latency: float
) -> float:
    """Returns the time of one all-reduce by a ring of `2 (replicas - 1)` hops."""
    hops = 2 * (replicas - 1)
    return ring_bytes(parameters, replicas) / rate + hops * latency


def training_rate(cut: Cut, gpu: str) -> float:
    """Returns examples per second of training above a cut, at most.

    Of the published rate of training all of the model, by multiply-adds.
    """
    return TRAINING[cut.backbone, gpu] / cut.share


def extraction_rate(cut: Cut, gpu: str) -> float:
    """Returns examples per second of the frozen part, by multiply-adds."""
    return INFERENCE[cut.backbone, gpu] / max(1 - cut.share, 1e-9)


def step_seconds(cut: Cut, gpu: str, replicas: int, rate: float) -> tuple:
    """Returns the seconds of computing and of all-reduce of one step."""
    computing = GIVEN.replica_batch / training_rate(cut, gpu)
    return computing, all_reduce_seconds(cut.trained, replicas, rate, GIVEN.hop_latency)


def row_seconds(size: float) -> float:
    """Returns the time to read one example's features from disk, one at a time."""
    return GIVEN.disk_latency + size / GIVEN.disk_rate


def epochs_to_pay(cut: Cut, gpu: str) -> float:
    """Returns after how many epochs a cache on disk has saved what it cost.

    The first epoch costs computing and writing; each further one costs reading in
    place of computing. Infinite where reading is slower.
    """
    size = cut.numbers * 2
    computing, reading = 1 / extraction_rate(cut, gpu), row_seconds(size)
    if reading >= computing:
        return math.inf
    writing = size / GIVEN.disk_rate
    return (computing + writing - reading) / (computing - reading)


def days_worth_keeping(cut: Cut, gpu: str) -> float:
    """Returns for how many days storing features costs less than computing them."""
    computing = GIVEN.gpu_hour / HOUR / extraction_rate(cut, gpu)
    storing = cut.numbers * 2 / 1e9 * GIVEN.disk_gb_month / (MONTH / DAY)
    return computing / storing


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
    replicas: int, local, prefetch: int = 0, steps: int = 2000, seed: int = 0
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


# --- tables ------------------------------------------------------------------------


def size(value: float) -> str:
    """Returns bytes as people write them."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 1000 or unit == "TB":
            return f"{value:.3g} {unit}" if value < 1000 else f"{value:,.0f} {unit}"
        value /= 1000
    raise AssertionError


def span(seconds: float) -> str:
    """Returns a time as people write it."""
    for unit, length in (("days", DAY), ("h", HOUR), ("min", 60.0), ("s", 1.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.3g} {unit}"
    return f"{1e3 * seconds:.3g} ms"


def markdown(header: list[str], rows: list[list]) -> str:
    """Returns a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def assumption_table() -> str:
    return markdown(
        ["assumption", "value", "name in the script"],
        [[what, value, f"`{name}`"] for name, (what, value) in ABOUT.items()],
    )


def cut_table() -> str:
    rows = []
    for cut in CUTS:
        ratio = cut.numbers * 2 / GIVEN.jpeg_bytes
        rows.append(
            [cut.backbone, f"`{cut.point}`", f"{cut.numbers:,}"]
            + [size(cut.numbers * item) for item in (2, 4)]
            + [f"{ratio:.2g}", f"{cut.trained / MILLION:.3g}", f"{cut.share:.1%}"]
        )
    return markdown(
        ["backbone", "freeze point", "numbers per example", "float16", "float32"]
        + ["float16 / JPEG", "trained, millions", "multiply-adds above"],
        rows,
    )


def cache_table() -> str:
    rows = []
    for cut in CUTS:
        million, hundred = (cache_bytes(cut, n * MILLION) for n in (1, 100))
        rows.append(
            [cut.backbone, f"`{cut.point}`", size(million), size(million / 8)]
            + [size(hundred), size(hundred / 64), f"{20e9 / cut.numbers / 2:,.0f}"]
        )
    return markdown(
        ["backbone", "freeze point", "1 million", "each of 8 workers"]
        + ["100 million", "each of 64 workers", "examples in 20 GB"],
        rows,
    )


def extraction_table() -> str:
    rows = []
    for (backbone, gpu), rate in INFERENCE.items():
        times = [(1, 1), (1, 8), (100, 64), (100, 512)]
        rows.append(
            [backbone, gpu, f"{rate:,}"]
            + [span(n * MILLION / rate / gpus) for n, gpus in times]
            + [size(rate * GIVEN.jpeg_bytes) + "/s"]
            + [f"{rate / GIVEN.decodes_per_core:.1f}"]
        )
    return markdown(
        ["backbone", "GPU", "pictures/s", "1 million on 1", "on 8"]
        + ["100 million on 64", "on 512", "read per GPU", "cores per GPU"],
        rows,
    )


def listing_table() -> str:
    rows = []
    for what, each in listing_bytes(GIVEN.name_length).items():
        rows.append([what, f"{each:,.0f}"])
        rows[-1] += [size(each * n * MILLION) for n in (1, 100)]
    seconds = [n * MILLION / GIVEN.headers_per_second for n in (1, 100)]
    rows.append(["time to read the headers", "", *map(span, seconds)])
    rows.append(["order of one epoch (int64)", "8", *(size(8e6 * n) for n in (1, 100))])
    return markdown(
        ["on each worker", "bytes per file", "1 million", "100 million"], rows
    )


def all_reduce_table() -> str:
    rows = []
    for cut in CUTS:
        times = [
            all_reduce_seconds(cut.trained, replicas, rate, GIVEN.hop_latency)
            for replicas, rate in (
                (8, GIVEN.nvlink_rate),
                (8, GIVEN.ethernet_rate / 4),
                (8, GIVEN.ethernet_rate),
                (64, GIVEN.ethernet_rate),
            )
        ]
        rows.append(
            [cut.backbone, f"`{cut.point}`", size(4 * cut.trained)]
            + [size(ring_bytes(cut.trained, 8))]
            + [f"{1e3 * seconds:.2f}" for seconds in times]
        )
    return markdown(
        ["backbone", "freeze point", "gradient", "sent per step at R = 8"]
        + ["ms, 8 in one machine", "ms, 8 at 25 Gbit/s"]
        + ["ms, 8 at 100 Gbit/s", "ms, 64 at 100 Gbit/s"],
        rows,
    )


def step_table() -> str:
    rows = []
    for cut in CUTS:
        if cut.backbone != "resnet50":
            continue
        for replicas, rate, network in (
            (8, GIVEN.nvlink_rate, "one machine"),
            (8, GIVEN.ethernet_rate, "100 Gbit/s"),
            (64, GIVEN.ethernet_rate, "100 Gbit/s"),
        ):
            computing, reducing = step_seconds(cut, "A100", replicas, rate)
            rows.append(
                [f"`{cut.point}`", replicas, network]
                + [f"{1e3 * computing:.3g}", f"{1e3 * reducing:.3g}"]
                + [f"{computing / (computing + reducing):.2f}"]
            )
    return markdown(
        ["ResNet50, A100", "replicas", "network", "computing, ms", "all-reduce, ms"]
        + ["efficiency"],
        rows,
    )


def published_table() -> str:
    return markdown(
        ["published", "GPUs", "times as fast", "efficiency"],
        [
            [f"{model}, {gpu}", count, factor, f"{factor / count:.2f}"]
            for (model, gpu, count), factor in PUBLISHED_SCALING.items()
        ],
    )


REPLICAS = (1, 8, 64, 512)
# A batch takes half a step to prepare, and 20 times as long in one case of 100.
SLOW_CHANCE, SLOW_FACTOR, PREPARING = 0.01, 20.0, 0.5


def preparing(uniform: np.ndarray) -> np.ndarray:
    """Returns the seconds that batches take to prepare."""
    return np.where(uniform < SLOW_CHANCE, SLOW_FACTOR * PREPARING, PREPARING)


def straggler_table() -> str:
    rows = [
        ["computing: 1 step of 100 takes 3 times as long"]
        + [f"{rare_slow_efficiency(n, 0.01, 3.0):.2f}" for n in REPLICAS],
        ["computing: Pareto tail (index 3, spread 0.1)"]
        + [f"{heavy_tail_efficiency(n, 0.1, 3.0):.2f}" for n in REPLICAS],
    ]
    for prefetch in (0, 1, 8, 32):
        ahead = f"{prefetch} ahead" if prefetch else "not ahead"
        steps = [simulate_steps(n, preparing, prefetch) for n in REPLICAS]
        rows.append(
            [f"input: 1 batch of 100 takes 20 times as long, {ahead}"]
            + [f"{1 / seconds:.2f}" for seconds in steps]
        )
    return markdown(["efficiency at replicas", *map(str, REPLICAS)], rows)


def checkpoint_seconds(cut: Cut) -> float:
    """Returns the time to write weights and Adam's two moments (float32)."""
    return 3 * 4 * cut.trained / GIVEN.checkpoint_rate


def tlkeras_interval(checkpoint: float) -> float:
    """Returns the pause between checkpoints: 30 s, and at most 5 % of the time."""
    return max(30.0, checkpoint / 0.05)


def failure_table() -> str:
    cut = next(c for c in CUTS if c.point == "conv4_block1")
    cost, restart, rows = checkpoint_seconds(cut), GIVEN.restart_seconds, []
    machine = GPU_HOURS_PER_FAILURE / 8
    for name, hours, machines in (
        ("8 GPUs each", machine, 1),
        ("8 GPUs each", machine, 8),
        ("8 GPUs each", machine, 64),
        ("spot", GIVEN.spot_hours, 8),
        ("spot", GIVEN.spot_hours, 64),
    ):
        between = hours * HOUR / machines
        best, ours = daly(cost, between), tlkeras_interval(cost)
        rows.append(
            [machines, name, span(between), f"{best:.0f} s"]
            + [f"{overhead(best, cost, between, restart):.1%}"]
            + [f"{overhead(ours, cost, between, restart):.1%}"]
            + [f"{simulate_failures(ours, cost, between, restart):.1%}"]
            + [span(without_checkpoint(6 * HOUR, between))]
        )
    return markdown(
        ["machines", "kind", "between failures", "Daly's interval"]
        + ["overhead there", "every 30 s", "simulated", "6 h without checkpoints"],
        rows,
    )


# A file server: 32 reads at once, 5 ms each; a reader works 80 ms on each picture.
SLOTS, SERVICE, THINK, READERS_PER_WORKER = 32, 0.005, 0.080, 16


def storage_table() -> str:
    rows = []
    for workers in (1, 8, 16, 32, 64):
        readers = workers * READERS_PER_WORKER
        rate = storage_throughput(readers, THINK, SERVICE, SLOTS)
        alone = readers / (THINK + SERVICE)
        heavy = simulate_storage(readers, THINK, SERVICE, SLOTS, index=2.5)
        rows.append(
            [workers, readers, f"{alone:,.0f}", f"{rate:,.0f}", f"{rate / alone:.2f}"]
            + [f"{heavy / rate:.2f}", span(MILLION / rate)]
        )
    return markdown(
        ["workers", "reads at once", "without waiting, files/s", "files/s"]
        + ["efficiency", "simulated with a heavy tail, ratio", "1 million files"],
        rows,
    )


def worth_table() -> str:
    rows = []
    for cut in CUTS:
        if cut.backbone != "resnet50" and (cut.backbone, cut.point) != (
            "efficientnet_b0",
            "head",
        ):
            continue
        size_, epochs = cut.numbers * 2, epochs_to_pay(cut, "A100")
        rows.append(
            [cut.backbone, f"`{cut.point}`", f"{extraction_rate(cut, 'A100'):,.0f}"]
            + [f"{1 / row_seconds(size_):,.0f}"]
            + ["never" if math.isinf(epochs) else f"{epochs:.1f}"]
            + [f"{1 / (extraction_rate(cut, 'A100') * size_ / GIVEN.disk_rate):.2g}"]
            + [f"{days_worth_keeping(cut, 'A100'):,.0f}"]
        )
    return markdown(
        ["backbone", "freeze point", "computed again, examples/s"]
        + ["read from disk one by one, examples/s", "pays from epoch"]
        + ["GPUs that one disk feeds, large reads", "days worth storing"],
        rows,
    )


@dataclass(frozen=True)
class Plan:
    """Head and top of ResNet50 on A100s."""

    examples: int
    gpus: int
    head_epochs: int
    epochs: int
    efficiency: float

    def hours(self, cut: Cut, cached: bool) -> float:
        """Returns hours on all GPUs together, reading not counted."""
        frozen, head = 1 / extraction_rate(cut, "A100"), CUTS[8]
        top = 1 / training_rate(cut, "A100")
        whole = 1 / INFERENCE["resnet50", "A100"] + 1 / training_rate(head, "A100")
        if cached:
            # The head's features come from those at the cut.
            above = cut.share / INFERENCE["resnet50", "A100"]
            each = frozen + above + self.head_epochs / training_rate(head, "A100")
            each += self.epochs * top
        else:
            each = self.head_epochs * whole + self.epochs * (frozen + top)
        return self.examples * each / self.gpus / self.efficiency / HOUR


PLANS = (
    Plan(MILLION, 1, 10, 10, 1.0),
    Plan(MILLION, 8, 10, 10, 0.9),
    Plan(100 * MILLION, 64, 3, 3, 0.8),
    Plan(100 * MILLION, 512, 3, 3, 0.8),
)


def plan_table() -> str:
    cut = next(c for c in CUTS if c.point == "conv5_block1")
    rows = []
    for plan in PLANS:
        cached, uncached = (plan.hours(cut, kind) for kind in (True, False))
        stored = cache_bytes(cut, plan.examples)
        days = max(cached / 24, 1.0)
        storing = stored / 1e9 * GIVEN.disk_gb_month * days / (MONTH / DAY)
        rows.append(
            [f"{plan.examples // MILLION} million", plan.gpus, plan.efficiency]
            + [f"{plan.head_epochs} + {plan.epochs}", size(stored)]
            + [f"{cached:.2g}", f"{uncached:.2g}"]
            + [f"{cached * plan.gpus * GIVEN.gpu_hour:,.0f} + {storing:,.0f}"]
            + [f"{uncached * plan.gpus * GIVEN.gpu_hour:,.0f}"]
        )
    return markdown(
        ["pictures", "A100s", "efficiency", "epochs", "cache", "hours, cached"]
        + ["hours, not cached", "cost, cached + storage", "cost, not cached"],
        rows,
    )


TABLES = {
    "assumptions": assumption_table,
    "cuts": cut_table,
    "cache": cache_table,
    "extraction": extraction_table,
    "listing": listing_table,
    "all-reduce": all_reduce_table,
    "steps": step_table,
    "published": published_table,
    "stragglers": straggler_table,
    "failures": failure_table,
    "storage": storage_table,
    "worth": worth_table,
    "plans": plan_table,
}


def filled(page: str) -> str:
    """Returns a page with each table between its marks written anew."""
    for name, table in TABLES.items():
        pattern = rf"(<!-- table {name} -->\n).*?(<!-- end -->)"
        text = f"\n{table()}\n\n"
        page, count = re.subn(
            pattern,
            lambda found, text=text: found[1] + text + found[2],
            page,
            flags=re.DOTALL,
        )
        if count != 1:
            raise ValueError(f"The page has {count} places for the table {name!r}.")
    return page


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", type=Path, help="a page to write the tables into")
    args = parser.parse_args()
    if args.write:
        args.write.write_text(filled(args.write.read_text()))
        return
    for name, table in TABLES.items():
        print(f"## {name}\n\n{table()}\n")


if __name__ == "__main__":
    main()
