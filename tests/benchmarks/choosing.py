"""What a ranking and a search are worth: next to training all, next to the defaults.

    KERAS_HOME=../shared/keras_home python tests/benchmarks/choosing.py
        --shared ../shared [--sets ants_bees trec clothes digits fashion trec6]
        [--seeds 0] [--pixels 224] [--size 16] [--trials 20] [--out results.jsonl]
    python tests/benchmarks/choosing.py --table [--out results.jsonl]

| set | candidates | training, validation, test |
| --- | --- | --- |
| ants_bees | MobileNetV2, cuts of it, glyphnet on grey, random | 207, 36, its own 153 |
| clothes (Fashion-MNIST at 96 px) | the same | 510, 90, 1,000 |
| trec, 6 classes | MiniLM, its first 1 to 5 layers, random | 510, 90, 1,000 |

rank    Of these: `tl.rank_backbones` once on the training part. Then each
        candidate is trained on the same part, by `tl.fit_head` and by `tl.fine_tune`
        with their defaults, and tested: the rank correlation (Spearman) of each score
        with these accuracies.
tune    Of digits, fashion and trec6, as `defaults.py` draws and builds them, of each
        class `--size` examples, a fifth of them for validation: `tl.tune` from the
        defaults, and what its model gets on the test part, next to `tl.fine_tune` with
        the defaults. Its seconds, next to those of separate runs of some of its
        settings: a new model each, to the end, nothing cached beforehand. What these
        share is the process and its imports.

The test part gives the figures and chooses nothing. Each step appends a line to
`--out`; those that are there already are left out, so that a study that was cut off
goes on. Seconds of a shared machine are those of its load, processor seconds less so.
"""

import argparse
import functools
import json
import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from defaults import WEIGHTS, divide, draw, questions, read_set

import tlkeras as tl
from tlkeras.choosing.space import with_views

BLOCKS = ("block_13_expand_relu", "block_10_expand_relu", "block_6_expand_relu")
BLOCKS += ("block_3_expand_relu",)
SCORES = ("probe", "loss", "log_me", "h_score")
# How many of the trials are run separately as well.
SEPARATE = 5


def photographs(shared, pixels, seed):
    """Returns ants and bees, and candidates for them."""
    folder = shared / "data" / "ants_bees"
    data = tl.image_folder(folder, image_size=pixels, seed=seed)
    return data, for_pictures(data, (pixels, pixels, 3), seed)


def clothes(shared, pixels, seed):
    """Returns Fashion-MNIST, 60 examples of each class, and candidates for them."""
    found = read_set("fashion", shared)
    rows, test = draw(found, "60", seed), found.test[:1000]
    data = apart(found, rows, test, seed)
    return data, for_pictures(data, found.x.shape[1:], seed)


def apart(found, rows, test, seed):
    """Returns splits of some rows, validation among them, and of others as test."""

    def read(rows, **shares):
        x, y = found.x[rows], found.y[rows]
        return tl.from_arrays(
            x, y, class_names=found.names, test_split=0, seed=seed, **shares
        )

    train = read(rows, validation_split=0.15)
    parts = dict(train._parts)
    parts["test"] = tl.inputs.examples_of(read(test, validation_split=0).train)
    return tl.Splits(parts, problem=train.problem, batch_size=32, seed=seed)


def for_pictures(data, shape, seed):
    """Returns what makes models on backbones for pictures, by name."""

    def whole(weights=None, before=None, **head):
        if weights is None:
            keras.utils.set_random_seed(seed)
        else:
            weights = Path(os.environ["KERAS_HOME"], "models", WEIGHTS)
        model = tl.load_backbone("mobilenet_v2", weights=weights, input_shape=shape)
        if before is not None:
            cut = model.get_layer(before).output
            model = keras.Model(model.input, cut, name=before)
        # Pixels as MobileNetV2 expects them.
        return build(model, "mobilenet_v2", head)

    def build(model, preprocessing, head):
        about = {"preprocessing": preprocessing, "input_shape": shape}
        return tl.image_classifier(model, data.class_names, **about, **head)

    def glyphs(weights, **head):
        inputs = keras.Input(shape)
        keras.utils.set_random_seed(seed)
        x = keras.ops.image.rgb_to_grayscale(inputs)
        x = keras.layers.Rescaling(1 / 255)(keras.layers.Resizing(32, 32)(x))
        x = tl.load_backbone("glyphnet", weights=weights)(x)
        model = keras.Model(inputs, x, name="glyphs")
        return build(model, None, head)

    made = {"mobilenet_v2": functools.partial(whole, "pretrained")}
    for block in BLOCKS:
        name = f"up to {block.removesuffix('_expand_relu')}"
        made[name] = functools.partial(whole, "pretrained", block)
    made["glyphnet"] = functools.partial(glyphs, "pretrained")
    made["random mobilenet_v2"] = whole
    made["random, up to block_6"] = functools.partial(whole, before=BLOCKS[2])
    made["random glyphnet"] = functools.partial(glyphs, None)
    return made


def texts(shared, pixels, seed):
    """Returns kinds of questions, and candidates for them."""
    found = questions(shared, fine=False)
    rows = np.random.default_rng(seed).permutation(found.pool)[:600]
    data = apart(found, rows, found.test, seed)

    def minilm(layers=6, weights="pretrained", **head):
        keras.utils.set_random_seed(seed)
        whole = tl.load_backbone("minilm", weights=weights)
        tokenizer = tl.text_classifier(whole, 2).preprocessor.tokenizer
        if layers < 6:
            small = type(whole)(**{**whole.get_config(), "num_layers": layers})
            for layer in small.layers:
                layer.set_weights(whole.get_layer(layer.name).get_weights())
            whole = small
        return tl.text_classifier(whole, found.names, tokenizer=tokenizer, **head)

    made = {"minilm": minilm}
    for layers in (5, 4, 3, 2, 1):
        made[f"first {layers} layer(s)"] = functools.partial(minilm, layers)
    made["random minilm"] = functools.partial(minilm, weights=None)
    made["random, 2 layers"] = functools.partial(minilm, 2, None)
    return data, made


def rank(read, run, shared):
    """Ranks the candidates, and trains each of them; yields lines."""
    data, made = read(shared, run.options.pixels, run.seed)
    for name in made:
        if run.is_done(kind="trained", name=name):
            continue
        accuracies, seconds = {}, {}
        for verb in (tl.fit_head, tl.fine_tune):
            model, began = made[name](), time.perf_counter()
            verb(model, data, verbose=0)
            seconds[verb.__name__] = time.perf_counter() - began
            report = tl.evaluate(model, data.test, verbose=0)
            accuracies[verb.__name__] = report.accuracy
        yield {"kind": "trained", "name": name, **accuracies, "seconds": seconds}
    if not run.is_done(kind="ranking"):
        ranking = tl.rank_backbones(data, made, cache=False)
        table = ranking.table
        rows = {n: {s: table.loc[n, s] for s in (*SCORES, "seconds")} for n in made}
        yield {"kind": "ranking", "rows": rows, "seconds": ranking.seconds}


def tune(run, shared):
    """Searches from the defaults; yields a line."""
    if run.is_done(kind="tuned"):
        return
    data = read_set(run.set, shared)
    rows = draw(data, str(run.options.size), run.seed)
    splits = divide(data, rows, run.seed)
    test = data.x[data.test], data.y[data.test]

    def build(dropout=splits.problem.input.default_dropout):
        return data.build(dropout=dropout)

    def tested(model):
        report = tl.evaluate(model, test, verbose=0)
        return {"accuracy": report.accuracy, "loss": report.metrics["loss"]}

    def timed(work):
        began, cpu = time.perf_counter(), time.process_time()
        made = work()
        return made, time.perf_counter() - began, time.process_time() - cpu

    def alone(recipe, builder):
        model = build(**builder)
        with tempfile.TemporaryDirectory() as cache:
            tl.fine_tune(model, splits, recipe=recipe, cache=cache, verbose=0)
        return model

    def search():
        with tempfile.TemporaryDirectory() as cache:
            trials, seed = run.options.trials, run.seed
            return tl.tune(build, splits, trials=trials, seed=seed, cache=cache)

    keras.utils.set_random_seed(run.seed)
    default, *_ = timed(lambda: alone(None, {}))
    found, seconds, processor = timed(search)
    table, separate = found.table, []
    for trial in found.trials[:: max(1, len(table) // SEPARATE)]:
        settings = dict(trial.params)
        builder = {"dropout": settings.pop("dropout")}
        recipe = with_views(tl.Recipe(**settings))
        separate.append(timed(lambda r=recipe, b=builder: alone(r, b))[1:])
    yield {
        "kind": "tuned",
        "size": run.options.size,
        "default": tested(default),
        "tuned": tested(found.model),
        "val_loss": [found.default_value, found.best_value],
        "states": table.state.value_counts().to_dict(),
        "settings": {k: str(v) for k, v in found.settings.items()},
        "seconds": seconds,
        "processor": processor,
        "trial_seconds": table.seconds.round(1).tolist(),
        "separate": separate,
    }


SETS = {
    "ants_bees": functools.partial(rank, photographs),
    "trec": functools.partial(rank, texts),
    "clothes": functools.partial(rank, clothes),
    "digits": tune,
    "fashion": tune,
    "trec6": tune,
}


class Run:
    """A set with a seed: which lines there are of it already."""

    def __init__(self, of_set, seed, lines, options):
        self.set, self.seed, self.options = of_set, seed, options
        about = {"set": of_set, "seed": seed}
        self.lines = [x for x in lines if about.items() <= x.items()]

    def is_done(self, **facts):
        return any(facts.items() <= line.items() for line in self.lines)


def print_table(lines):
    """Prints what the lines say."""
    from scipy.stats import spearmanr

    keys = dict.fromkeys((x["set"], x["seed"]) for x in lines)
    for of_set, seed in keys:
        some = [x for x in lines if (x["set"], x["seed"]) == (of_set, seed)]
        trained = {x["name"]: x for x in some if x["kind"] == "trained"}
        for line in some:
            if line["kind"] == "tuned" and "separate" in line:
                count = sum(line["states"].values())
                alone = [
                    count * np.mean(x) for x in zip(*line["separate"], strict=True)
                ]
                figures = (
                    f"{name} {line[name]['accuracy']:.3f}, {line[name]['loss']:.3f}"
                    for name in ("default", "tuned")
                )
                print(
                    f"\n{of_set}, {line['size']} per class, seed {seed}: "
                    f"{'; '.join(figures)}; {line['seconds']:.0f} s "
                    f"({line['processor']:.0f} of the processor), separate runs "
                    f"{alone[0]:.0f} ({alone[1]:.0f}); {line['states']}, val_loss "
                    f"{line['val_loss']}, {line['settings']}"
                )
            if line["kind"] != "ranking":
                continue
            took = sum(sum(x["seconds"].values()) for x in trained.values())
            print(
                f"\n{of_set}, seed {seed}: ranked in {line['seconds']:.0f} s, trained "
                f"in {took:.0f} s"
            )
            rows = line["rows"]
            print(f"{'':24}" + "".join(f"{s:>10}" for s in (*SCORES, "head", "tuned")))
            for name in sorted(rows, key=lambda n: -rows[n]["probe"]):
                verbs = trained[name]["fit_head"], trained[name]["fine_tune"]
                shown = [*(rows[name][s] for s in SCORES), *verbs]
                print(f"{name:24}" + "".join(f"{x:10.3f}" for x in shown))
            for verb in ("fit_head", "fine_tune"):
                truth = [trained[name][verb] for name in rows]
                found = {
                    s: spearmanr([rows[n][s] for n in rows], truth) for s in SCORES
                }
                shown = ", ".join(f"{s} {x.statistic:.2f}" for s, x in found.items())
                print(f"rank correlation with {verb}: {shown}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--pixels", type=int, default=224)
    parser.add_argument("--size", type=int, default=16)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path("choosing.jsonl"))
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()

    def known():
        lines = options.out.read_text().splitlines() if options.out.exists() else []
        return [json.loads(line) for line in lines]

    for name in () if options.table else options.sets:
        for seed in options.seeds:
            run = Run(name, seed, known(), options)
            for found in SETS[name](run, options.shared):
                line = json.dumps({"set": name, "seed": seed, **found})
                with options.out.open("a") as out:
                    out.write(line + "\n")
                print(line, flush=True)
    print_table(known())


if __name__ == "__main__":
    main()
