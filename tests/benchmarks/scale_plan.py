"""Plans for 1 million and 100 million pictures: sizes, rates, failures, cost.

    python tests/benchmarks/scale_plan.py
    python tests/benchmarks/scale_plan.py --write docs/how_far_it_goes.md

It is arithmetic on shapes and on the assumptions below, with the formulas and
simulations of scale_models.py. It prints the tables of
docs/how_far_it_goes.md, or writes them into that page between its marks. A test
recomputes them and compares the shapes with Keras.
"""

import argparse
import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scale_models import (
    all_reduce_seconds,
    daly,
    heavy_tail_efficiency,
    overhead,
    rare_slow_efficiency,
    ring_bytes,
    simulate_failures,
    simulate_steps,
    simulate_storage,
    storage_throughput,
    vit_operations,
    vit_parameters,
    without_checkpoint,
)

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
    cores_per_gpu: float = 12.0
    disk_rate: float = 3e9
    disk_latency: float = 100e-6
    read_ahead: float = 128 * 1024
    memory_rate: float = 5e9
    memory: float = 256e9
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
# On a virtual machine with an ext4 disk; they show what to measure, not what to expect.
MEASURED = (
    ("decoding, photographs of 340 x 263 pixels, 25 kB", "440 to 530 per core and s"),
    ("reading headers of the same files, cached", "12,000 per core and s"),
    ("a future of `concurrent.futures`", "1,824 bytes"),
    ("disk set to read 8192 KiB ahead: one row of 4 kB", "1.8 MB, 1.0 ms"),
    ("the same: one row of 401 kB", "2.0 MB, 1.4 ms"),
)
ABOUT = {
    "jpeg_bytes": ("mean size of a picture's file", "110 kB"),
    "decodes_per_core": ("pictures that a core decodes per second", "200"),
    "headers_per_second": ("files opened per second when a folder is read", "10,000"),
    "name_length": ("characters of a file's relative name", "40"),
    "cores_per_gpu": ("cores beside each GPU", "12"),
    "disk_rate": ("local NVMe disk, reading in large pieces", "3 GB/s"),
    "disk_latency": ("the same, until one read begins", "100 us"),
    "read_ahead": ("what Linux reads around a page of a mapped file", "128 KiB"),
    "memory_rate": ("copying rows out of memory, one thread", "5 GB/s"),
    "memory": ("memory of a worker for pages of its cache", "256 GB"),
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

# Of `tlkeras.inputs.pictures.headers.HEADER` and of a label, in bytes.
HEADER_BYTES, LABEL_BYTES = 26, 4
# Of a future of `concurrent.futures`, of which there is one per file at first.
FUTURE_BYTES = 1824


def listing_bytes(name_length: int, root_length: int = 20) -> dict[str, int]:
    """Returns bytes per file: while headers are read, then, and once reading starts.

    As CPython 3.11 and tlkeras.data hold them: names in a list, header records, labels;
    before that whole paths, reasons and futures; later a string tensor of whole paths
    with decoders, orientations and labels.
    """
    name, path = 49 + name_length, root_length + 1 + name_length
    listed = name + 8 + HEADER_BYTES + LABEL_BYTES
    return {
        "while headers are read": listed + 49 + path + 3 * 8 + FUTURE_BYTES,
        "afterwards": listed,
        "once pictures are read": listed + 24 + path + 1 + 3 * LABEL_BYTES,
    }


# --- sizes and rates ---------------------------------------------------------------


def cache_bytes(cut: Cut, examples: int, item: int = 2) -> float:
    """Returns the bytes of features at a cut; `item` is 2 in float16, 4 in float32."""
    return float(examples) * cut.numbers * item


def training_rate(cut: Cut, gpu: str) -> float:
    """Returns examples per second of training above a cut, at most.

    Of the published rate of training all of the model, by multiply-adds.
    """
    return TRAINING[cut.backbone, gpu] / cut.share


def extraction_rate(cut: Cut, gpu: str) -> float:
    """Returns examples per second of the frozen part, by multiply-adds."""
    return INFERENCE[cut.backbone, gpu] / max(1 - cut.share, 1e-9)


def step_seconds(
    cut: Cut, gpu: str, replicas: int, rate: float, batch: int = GIVEN.replica_batch
) -> tuple[float, float]:
    """Returns the seconds of computing and of all-reduce of one step."""
    reducing = all_reduce_seconds(cut.trained, replicas, rate, GIVEN.hop_latency)
    return batch / training_rate(cut, gpu), reducing if replicas > 1 else 0.0


def fresh_rate(cut: Cut, gpu: str) -> float:
    """Returns examples per second from files through the frozen part, per GPU.

    The slower of two counts: the GPU, and the cores that decode for it.
    """
    return min(extraction_rate(cut, gpu), GIVEN.cores_per_gpu * GIVEN.decodes_per_core)


def row_seconds(cut: Cut, in_memory: bool) -> float:
    """Returns the time in which one thread reads one example's float16 features.

    From disk page by page: each page that is missing brings those around it.
    """
    size = cut.numbers * 2
    if in_memory:
        return size / GIVEN.memory_rate
    pieces = math.ceil(size / GIVEN.read_ahead)
    return pieces * (GIVEN.disk_latency + GIVEN.read_ahead / GIVEN.disk_rate)


def epochs_to_pay(cut: Cut, gpu: str, in_memory: bool) -> float:
    """Returns after how many epochs a cache has made up for what it cost.

    The first epoch costs computing and writing; each further one costs reading in
    place of computing. Infinite where reading is no faster.
    """
    computing, reading = 1 / fresh_rate(cut, gpu), row_seconds(cut, in_memory)
    if reading >= computing:
        return math.inf
    writing = cut.numbers * 2 / GIVEN.disk_rate
    return (computing + writing - reading) / (computing - reading)


def days_worth_keeping(cut: Cut, gpu: str) -> float:
    """Returns for how many days storing features costs less than computing them."""
    computing = GIVEN.gpu_hour / HOUR / fresh_rate(cut, gpu)
    storing = cut.numbers * 2 / 1e9 * GIVEN.disk_gb_month / (MONTH / DAY)
    return computing / storing


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
    if seconds > 365 * DAY:
        return "more than a year"
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


def measured_table() -> str:
    return markdown(["measured", "value"], [list(row) for row in MEASURED])


def taken_table() -> str:
    years = GPU_HOURS_PER_FAILURE / (365.25 * 24)
    rows = [
        [f"training all of ResNet50, {gpu}", f"{rate:,} pictures/s"]
        for (_, gpu), rate in TRAINING.items()
    ]
    rows.append(
        [
            "419 interruptions of 16,384 GPUs in 54 days",
            f"one in {GPU_HOURS_PER_FAILURE:,.0f} hours ({years:.1f} years) of a GPU",
        ]
    )
    return markdown(["published", "value"], rows)


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
    millions = (1, 10, 100)
    rows = [
        [what, f"{each:,.0f}", *(size(each * n * MILLION) for n in millions)]
        for what, each in listing_bytes(GIVEN.name_length).items()
    ]
    times = [span(n * MILLION / GIVEN.headers_per_second) for n in millions]
    rows.append(["time to read the headers", "", *times])
    rows.append(["order of one epoch", "8", *(size(8e6 * n) for n in millions)])
    pixels = 224 * 224 * 3
    held = [size(pixels * n * MILLION) for n in millions]
    rows.append(["`from_arrays`: uint8 pixels instead", f"{pixels:,}", *held])
    return markdown(
        ["memory of each worker", "bytes per picture"]
        + [f"{n} million" for n in millions],
        rows,
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
    for point, batch in (
        ("head", 64),
        ("head", 4096),
        ("conv5_block1", 64),
        ("conv4_block1", 64),
        ("conv4_block1", 256),
    ):
        cut = cut_of("resnet50", point)
        for replicas, rate, network in (
            (8, GIVEN.nvlink_rate, "one machine"),
            (64, GIVEN.ethernet_rate, "100 Gbit/s"),
        ):
            computing, reducing = step_seconds(cut, "A100", replicas, rate, batch)
            rows.append(
                [f"`{point}`", f"{batch:,}", replicas, network]
                + [f"{1e3 * computing:.2g}", f"{1e3 * reducing:.2g}"]
                + [f"{computing / (computing + reducing):.2g}"]
            )
    return markdown(
        ["ResNet50, A100", "batch per replica", "replicas", "network"]
        + ["computing, ms", "all-reduce, ms", "efficiency"],
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
    cut = cut_of("resnet50", "conv4_block1")
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
    for cut in (cut_of("efficientnet_b0", "head"), *resnet_cuts()):
        rows.append([cut.backbone, f"`{cut.point}`", f"{fresh_rate(cut, 'A100'):,.0f}"])
        for in_memory in (False, True):
            epochs = epochs_to_pay(cut, "A100", in_memory)
            rows[-1] += [
                f"{1 / row_seconds(cut, in_memory):,.0f}",
                "never" if math.isinf(epochs) else max(2, math.ceil(epochs)),
            ]
        rows[-1] += [f"{days_worth_keeping(cut, 'A100'):,.2g}"]
    return markdown(
        ["backbone", "freeze point", "computed again, examples/s and GPU"]
        + ["from disk, examples/s and worker", "pays from epoch"]
        + ["from memory, examples/s and worker", "pays from epoch"]
        + ["days worth storing"],
        rows,
    )


def cut_of(backbone: str, point: str) -> Cut:
    """Returns a cut by its names."""
    return next(c for c in CUTS if (c.backbone, c.point) == (backbone, point))


def resnet_cuts() -> list[Cut]:
    """Returns the cuts of ResNet50."""
    return [cut for cut in CUTS if cut.backbone == "resnet50"]


@dataclass(frozen=True)
class Plan:
    """Head and, where `epochs` is not 0, `conv5_block1` of ResNet50 on A100s.

    Attributes:
        examples: Pictures.
        workers: Processes, one per machine.
        gpus: GPUs of each.
        head_epochs: Epochs of the head.
        epochs: Epochs of the head and what lies above `conv5_block1`.
        efficiency: What stragglers leave, 1 for none.
    """

    examples: int
    workers: int
    gpus: int
    head_epochs: int
    epochs: int
    efficiency: float

    @property
    def stages(self) -> list[tuple[Cut, int]]:
        """Cuts and epochs, the lowest cut last."""
        stages = [(cut_of("resnet50", "head"), self.head_epochs)]
        if self.epochs:
            stages.append((cut_of("resnet50", "conv5_block1"), self.epochs))
        return stages

    @property
    def stored(self) -> float:
        """Bytes of the cache."""
        return sum(cache_bytes(cut, self.examples) for cut, _ in self.stages)

    def hours(self, cached: bool) -> float:
        """Returns hours from files to the trained model, without failures."""
        replicas, seconds = self.workers * self.gpus, 0.0
        if cached:
            seconds = self.examples / replicas / fresh_rate(self.stages[-1][0], "A100")
        for cut, epochs in self.stages:
            seconds += epochs * self._epoch_seconds(cut, cached)
        return seconds / HOUR

    def _epoch_seconds(self, cut: Cut, cached: bool) -> float:
        replicas = self.workers * self.gpus
        rate = GIVEN.nvlink_rate if self.workers == 1 else GIVEN.ethernet_rate
        steps = self.examples / replicas / GIVEN.replica_batch
        training = steps * sum(step_seconds(cut, "A100", replicas, rate))
        training /= self.efficiency
        if not cached:
            return self.examples / replicas / fresh_rate(cut, "A100") + training
        fits = cache_bytes(cut, self.examples) / self.workers <= GIVEN.memory
        return max(training, self.examples / self.workers * row_seconds(cut, fits))


PLANS = (
    Plan(MILLION, 1, 1, 20, 0, 1.0),
    Plan(MILLION, 1, 1, 10, 10, 1.0),
    Plan(MILLION, 1, 8, 10, 10, 0.9),
    Plan(MILLION, 8, 1, 10, 10, 0.9),
    Plan(100 * MILLION, 8, 8, 10, 0, 0.8),
    Plan(100 * MILLION, 64, 8, 10, 0, 0.8),
    Plan(100 * MILLION, 64, 8, 3, 3, 0.8),
)


def plan_table() -> str:
    rows = []
    for plan in PLANS:
        cached, uncached = (plan.hours(kind) for kind in (True, False))
        price = plan.workers * plan.gpus * GIVEN.gpu_hour
        days = max(cached / 24, 1.0)
        storing = plan.stored / 1e9 * GIVEN.disk_gb_month * days / (MONTH / DAY)
        share = plan.stored / plan.workers
        rows.append(
            [f"{plan.examples // MILLION} million", f"{plan.workers} x {plan.gpus}"]
            + [f"{plan.head_epochs} + {plan.epochs}", plan.efficiency]
            + [size(plan.stored), size(share)]
            + ["memory" if share <= GIVEN.memory else "disk"]
            + [f"{cached:.2g}", f"{uncached:.2g}"]
            + [f"{cached * price:,.1f} + {storing:,.1f}", f"{uncached * price:,.1f}"]
        )
    return markdown(
        ["pictures", "workers x GPUs", "epochs", "stragglers leave", "cache"]
        + [
            "each worker's share",
            "lowest cut from",
            "hours, cached",
            "hours, not cached",
        ]
        + ["cost, cached: GPUs + storage for a day", "cost, not cached"],
        rows,
    )


TABLES = {
    "assumptions": assumption_table,
    "measured": measured_table,
    "taken": taken_table,
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
