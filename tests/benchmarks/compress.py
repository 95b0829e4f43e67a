"""What pruning and distillation cost and bring: MobileNetV2 on ants/bees.

    KERAS_HOME=../shared/keras_home \
        python tests/benchmarks/compress.py ../shared/data/ants_bees

For each seed, which sets split, start and order, a head is trained on MobileNetV2, and
that model is pruned in three ways and taught to MobileNetV2 up to its block 12, next to
the same student from the labels alone. Accuracy is that on the test part; nothing is
chosen by it. Latency is the median of 30 runs on one picture, each model in turn with
the one before. Printed are the median and the range over the seeds.
"""

import argparse
import os
import statistics
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras

import tlkeras as tl

BACKBONE, LAST = "mobilenet_v2", "block_12_add"
FILE = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5"
# Rates from training data alone, a part of which was held out.
PRUNED = ("magnitude", 0.5, 1e-4), ("magnitude", 0.8, 3e-4), ("channels", 0.3, 1e-4)
STUDENT = {
    "head_epochs": 30,
    "epochs": 5,
    "unfreeze_from": 0.5,
    "fine_tune_learning_rate": 1e-4,
    "verbose": 0,
}


def main() -> None:
    """Runs all seeds and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="pictures, train/ and test/")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    found: dict[str, list[tuple[float, ...]]] = {}
    for seed in range(given.seeds):
        for name, row in one_seed(given, seed):
            found.setdefault(name, []).append(row)
            print(
                f"seed {seed}: {name}: {' '.join(f'{x:.3f}' for x in row)}", flush=True
            )
    print(f"\n{'':28}{'accuracy':>22}{'parameters':>12}{'gzip':>8}{'latency':>9}")
    for name, rows in found.items():
        accuracies, *ratios = zip(*rows, strict=True)
        spread = f"{statistics.median(accuracies):.3f} ("
        spread += f"{min(accuracies):.3f} to {max(accuracies):.3f})"
        parameters, gzip, latency = map(statistics.median, ratios)
        print(f"{name:28}{spread:>22}{parameters:12.2f}{gzip:8.2f}{latency:9.2f}")


def one_seed(given: argparse.Namespace, seed: int):
    """Yields a name, accuracy, and ratios to the model that it was made of."""
    keras.utils.set_random_seed(seed)
    data = tl.image_folder(given.folder, image_size=given.size, seed=seed)
    weights = Path(os.environ["KERAS_HOME"], "models", FILE)
    loading = {"weights": weights, "input_shape": given.size}
    model = tl.image_classifier(BACKBONE, data.class_names, **loading)
    tl.fit_head(model, data.train, epochs=20, verbose=0)
    first = True
    for method, sparsity, rate in PRUNED:
        report = tl.prune(
            model,
            data.train,
            sparsity=sparsity,
            method=method,
            epochs=given.epochs,
            learning_rate=rate,
            test=data.test,
            verbose=0,
        )
        if first:
            yield "as it is", (report.before.scores["accuracy"], 1.0, 1.0, 1.0)
            first = False
        yield f"{method} {sparsity}", ratios(report.before, report.after)
    student = half(data, loading)
    report = tl.distill(model, student, data.train, test=data.test, **STUDENT)
    yield "student, distilled", ratios(report.teacher, report.student)
    alone = half(data, loading)
    tl.fine_tune(alone, data.train, **STUDENT)
    accuracy = tl.evaluate(alone, data.test, verbose=0).accuracy
    yield (
        "student, labels alone",
        (accuracy, *ratios(report.teacher, report.student)[1:]),
    )


def half(data: tl.Splits, loading: dict) -> tl.TransferModel:
    """Returns a classifier on the lower layers of the backbone."""
    whole = tl.load_backbone(BACKBONE, **loading)
    backbone = keras.Model(whole.input, whole.get_layer(LAST).output, name="half")
    return tl.image_classifier(backbone, data.class_names, preprocessing=BACKBONE)


def ratios(before, after) -> tuple[float, ...]:
    """Returns accuracy, and parameters, gzip and latency as shares of those before."""
    return (
        after.scores["accuracy"],
        after.parameters / before.parameters,
        after.compressed / before.compressed,
        after.milliseconds / before.milliseconds,
    )


if __name__ == "__main__":
    main()
