"""The plans for large data: formulas, simulations, tables, the Kubernetes Job."""

import concurrent.futures
import json
import math
import os
import re
import subprocess
import sys
import threading
import tracemalloc
from pathlib import Path

import keras
import numpy as np
import pytest

import tlkeras as tl
from tlkeras import _keras, cache
from tlkeras.inputs.pictures.files import ImageFiles
from tlkeras.inputs.pictures.headers import HEADER
from tlkeras.training import resume

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "benchmarks"))

import scale_models as models  # noqa: E402
import scale_plan as plan  # noqa: E402

PAGE = ROOT / "docs" / "how_far_it_goes.md"
SCALING = ROOT / "docs" / "scaling.md"
MANIFEST = ROOT / "docs" / "examples" / "kubernetes_job.yaml"
MINUTE = 60.0


# --- formulas ----------------------------------------------------------------------


def test_ring_sends_what_three_replicas_send_by_hand():
    # Each sends two thirds of 300 floats to sum them, and as much to hand them out.
    assert models.ring_bytes(300, 3) == 2 * 200 * 4
    assert models.ring_bytes(300, 1) == 0
    seconds = models.all_reduce_seconds(300, 3, rate=1600.0, latency=0.25)
    assert seconds == pytest.approx(1.0 + 4 * 0.25)


@pytest.mark.parametrize("hours, minutes", [(24, 117), (6, 57), (0.25, 9.1)])
def test_daly_gives_the_intervals_of_his_paper(hours, minutes):
    # Figures 3 to 5: a checkpoint takes 5 minutes.
    found = models.daly(5 * MINUTE, hours * 60 * MINUTE) / MINUTE
    assert found == pytest.approx(minutes, abs=0.5)


def test_daly_is_where_the_overhead_is_least():
    best = models.daly(10.0, 5000.0)
    least = models.overhead(best, 10.0, 5000.0, 100.0)
    for other in (0.7 * best, 1.4 * best):
        assert models.overhead(other, 10.0, 5000.0, 100.0) > least
    assert models.young(10.0, 5000.0) == pytest.approx(math.sqrt(100_000))


@pytest.mark.parametrize(
    "interval, checkpoint, between, restart",
    [(30.0, 1.0, 3000.0, 0.0), (100.0, 5.0, 400.0, 50.0), (600.0, 0.0, 600.0, 0.0)],
)
def test_simulated_failures_agree_with_the_formula(
    interval, checkpoint, between, restart
):
    settings = interval, checkpoint, between, restart
    found = models.simulate_failures(*settings)
    assert found == pytest.approx(models.overhead(*settings), rel=0.02, abs=2e-4)


def test_work_without_checkpoints_is_one_long_interval():
    alone = models.without_checkpoint(600.0, 600.0)
    assert alone == pytest.approx(600 * (math.e - 1))
    assert alone / 600 - 1 == pytest.approx(models.overhead(600.0, 0.0, 600.0, 0.0))


def test_few_failures_cost_the_checkpoints_and_half_an_interval():
    cost = models.overhead(100.0, 1.0, 1e6, 20.0)
    assert cost == pytest.approx(1 / 100 + (50 + 1 + 20) / 1e6, rel=0.01)


@pytest.mark.parametrize("replicas", [1, 8, 64])
def test_simulated_steps_agree_with_the_closed_forms(replicas):
    def rare(uniform):
        return np.where(uniform < 0.02, 3.0, 0.0)

    def heavy(uniform):
        return 0.5 * ((1 - uniform) ** (-1 / 4) - 1)

    settings = {"steps": 20_000, "seed": 1}
    found = models.simulate_steps(replicas, rare, **settings)
    expected = 1.06 / models.rare_slow_efficiency(replicas, 0.02, 4.0)
    assert found == pytest.approx(expected, rel=0.02)
    found = models.simulate_steps(replicas, heavy, **settings)
    expected = (1 + 0.5 / 3) / models.heavy_tail_efficiency(replicas, 0.5, 4.0)
    assert found == pytest.approx(expected, rel=0.02)


def test_the_slowest_of_two_by_hand():
    # 1, 1; 1, 3; 3, 1; 3, 3 alike often.
    assert models.rare_slow_efficiency(2, 0.5, 3.0) == pytest.approx(2 / 2.5)
    assert models.rare_slow_efficiency(1, 0.5, 3.0) == pytest.approx(1.0)
    assert models.heavy_tail_efficiency(1, 0.3, 3.0) == pytest.approx(1.0)


def test_preparing_ahead_hides_what_fits_in_a_step():
    def steady(seconds):
        return lambda uniform: np.full(len(uniform), seconds)

    assert models.simulate_steps(4, steady(0.5)) == pytest.approx(1.5)
    assert models.simulate_steps(4, steady(0.5), 1) == pytest.approx(1.0)
    assert models.simulate_steps(4, steady(2.0), 1) == pytest.approx(2.0)

    # One ahead: each step lasts as long as the slowest preparation, and at least 1.
    def rare(uniform):
        return np.where(uniform < 0.1, 3.0, 0.5)

    found = models.simulate_steps(8, rare, 1, steps=20_000)
    assert found == pytest.approx(1 + 2 * (1 - 0.9**8), rel=0.02)
    # Far ahead it is the mean preparation, 0.75: no limit.
    assert models.simulate_steps(1, rare, 64, steps=5000) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("readers", [1, 10, 60])
def test_simulated_storage_agrees_with_the_closed_form(readers):
    found = models.simulate_storage(readers, 0.08, 0.02, 4)
    expected = models.storage_throughput(readers, 0.08, 0.02, 4)
    assert found == pytest.approx(expected, rel=0.03)


def test_storage_at_its_ends():
    assert models.storage_throughput(1, 0.08, 0.02, 4) == pytest.approx(10)
    assert models.storage_throughput(10_000, 0.08, 0.02, 4) == pytest.approx(200)
    # One at a time, two readers: 0, 1 or 2 wait with weights 1, 2, 2 (times equal).
    assert models.storage_throughput(2, 1.0, 1.0, 1) == pytest.approx(4 / 5)


def test_a_cache_pays_as_worked_out_by_hand(monkeypatch):
    given = plan.Assumptions(
        decodes_per_core=1.0, cores_per_gpu=10.0, memory_rate=1e6, disk_rate=1e6
    )
    monkeypatch.setattr(plan, "GIVEN", given)
    cut = plan.Cut("resnet50", "here", 5_000, 1, 1)
    # Computing 0.1 s, writing and reading 10 kB 0.01 s.
    assert plan.epochs_to_pay(cut, "A100", True) == pytest.approx(0.1 / 0.09)
    large = plan.Cut("resnet50", "here", 50_000, 1, 1)
    assert math.isinf(plan.epochs_to_pay(large, "A100", True))
    # 3.00 per hour and 0.1 s against 0.10 per GB and month and 10 kB.
    days = (3 / 3600 * 0.1) / (1e-5 * 0.1 / 30)
    assert plan.days_worth_keeping(cut, "A100") == pytest.approx(days)


def test_plans_do_not_get_slower_with_more_devices():
    head = [plan.Plan(10**6, 1, gpus, 1, 0, 1.0).hours(False) for gpus in (1, 2, 4)]
    assert head == sorted(head, reverse=True)
    assert head[0] > 10**6 / 2400 / 3600  # Twelve cores decode 2,400 pictures/s.


# --- against Keras and tlkeras -----------------------------------------------------


def multiply_adds(layer):
    shape = getattr(getattr(layer, "kernel", None), "shape", None)
    if shape is None:
        return 0
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        return math.prod(layer.output.shape[1:]) * math.prod(shape[:2])
    if isinstance(layer, keras.layers.Conv2D):
        return math.prod(layer.output.shape[1:3]) * math.prod(shape)
    return math.prod(shape)


def operations(model):
    return sum(
        operations(layer) if _keras.is_functional(layer) else multiply_adds(layer)
        for layer in model.layers
    )


@pytest.mark.parametrize(
    "backbone",
    [
        "mobilenet_v2",
        "vgg16",
        pytest.param("resnet50", marks=pytest.mark.slow),
        pytest.param("efficientnet_b0", marks=pytest.mark.slow),
    ],
)
def test_cuts_are_those_of_keras(backbone):
    model = tl.image_classifier(backbone, 100, weights=None, input_shape=(224, 224, 3))
    assert operations(model) == plan.TOTAL[backbone]
    cuts = [cut for cut in plan.CUTS if cut.backbone == backbone]
    assert len(cuts) >= 3
    for cut in cuts:
        tl.freeze(model, None if cut.point == "head" else cut.point)
        parts = tl.split_model(model)
        crossing = keras.tree.flatten(parts.prefix.output)
        assert sum(math.prod(x.shape[1:]) for x in crossing) == cut.numbers
        trained = sum(math.prod(v.shape) for v in parts.suffix.trainable_variables)
        assert (cut.point, trained) == (cut.point, cut.trained)
        assert operations(parts.suffix) == cut.above


def test_features_are_float16_in_mixed_precision():
    keras.config.set_dtype_policy("mixed_float16")
    model = tl.image_classifier("glyphnet", 2)
    (output,) = keras.tree.flatten(tl.split_model(model).prefix.output)
    assert output.dtype == "float16"


def test_transformers_have_the_parameters_of_kerashub():
    import keras_hub

    backbone = keras_hub.models.ViTBackbone(
        image_shape=(16, 16, 3),
        patch_size=(8, 8),
        num_layers=2,
        num_heads=2,
        hidden_dim=8,
        mlp_dim=12,
    )
    encoder = backbone.layers[-1]
    assert encoder.name == "vit_encoder"  # All blocks: no cut inside.
    assert encoder.count_params() == models.vit_parameters(2, width=8, inner=12)
    # Published: 86 million parameters with patches and positions, 17.6 billion.
    whole = models.vit_parameters(12, **plan.VIT) + 768 * (16 * 16 * 3 + 1 + 197 + 1)
    assert whole == 85_798_656
    assert plan.TOTAL["vit_b_16"] == pytest.approx(17.6e9, rel=0.01)


def test_multiply_adds_of_a_transformer_block_by_hand():
    # 3 tokens of width 2, inner 4: 3 x (4 x 4 + 2 x 8), and twice 3 x 3 x 2.
    assert models.vit_operations(1, 2, 4, 3) == 3 * 32 + 2 * 18


def test_a_listed_file_takes_the_memory_that_is_said():
    count, length = 5000, 40
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        names = [f"{i:0{length}d}" for i in range(count)]
        labels = np.zeros(count, "int32")
        files = ImageFiles("/", names, np.zeros(count, HEADER), labels, (8, 8), "rgb")
        del names
        each = (tracemalloc.get_traced_memory()[0] - before) / count
    finally:
        tracemalloc.stop()
    assert len(files) == count
    said = plan.listing_bytes(length)["afterwards"]
    assert each == pytest.approx(said, rel=0.1)
    assert HEADER.itemsize == plan.HEADER_BYTES


def test_a_waiting_future_takes_the_memory_that_is_said():
    count, go_on = 2000, threading.Event()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        pool.submit(go_on.wait)
        tracemalloc.start()
        try:
            results = pool.map(len, ["name"] * count)
            each = tracemalloc.get_traced_memory()[0] / count
        finally:
            tracemalloc.stop()
            go_on.set()
        assert sum(results) == 4 * count
    assert each == pytest.approx(plan.FUTURE_BYTES, rel=0.2)


def test_the_defaults_that_the_page_names_are_those_of_the_package():
    assert cache.DEFAULT_BUDGET_GB == 20
    assert cache.FLUSH_BYTES == 64 * 2**20
    assert plan.tlkeras_interval(0.1) == resume.SECONDS_BETWEEN == 30
    assert plan.tlkeras_interval(60.0) == pytest.approx(60 / resume._SHARE)


# --- the page ----------------------------------------------------------------------


def test_the_tables_in_the_page_are_those_of_the_script():
    page = PAGE.read_text()
    assert plan.filled(page) == page, (
        "run: python tests/benchmarks/scale_plan.py --write docs/how_far_it_goes.md"
    )
    wrong = page.replace("| 1.02 kB |", "| 1.03 kB |", 1)
    wrong = page.replace("| 1.02 kB |", "| 1.03 kB |", 1)
    assert wrong != page
    assert plan.filled(wrong) == page
    with pytest.raises(ValueError, match="'cuts'"):
        plan.filled(page.replace("<!-- table cuts -->", ""))


def numbers(text):
    return set(re.findall(r"\d+(?:,\d{3})*(?:\.\d+)?", text))


def test_numbers_in_the_text_of_the_page_are_in_its_tables():
    page = PAGE.read_text()
    tables = "\n".join(line for line in page.splitlines() if line.startswith("|"))
    text = "\n".join(line for line in page.splitlines() if not line.startswith("|"))
    text = re.sub(r"<!--.*?-->|`[^`]*`|\]\([^)]*\)", "", text, flags=re.DOTALL)
    names = {"224", "16", "50", "512", "2006", "4.2"}
    storage = {str(plan.SLOTS), "5", "80", str(plan.READERS_PER_WORKER)}
    defaults = {"20", "30", "64", "100", "10"}
    small = {str(n) for n in range(10)}
    found = numbers(text) - names - storage - defaults - small
    assert found <= numbers(tables), found - numbers(tables)
    assert (plan.SERVICE, plan.THINK) == (0.005, 0.080)


@pytest.mark.parametrize("page", [PAGE, SCALING], ids=lambda path: path.name)
def test_links_to_files_lead_somewhere(page):
    targets = re.findall(r"\]\(([^)#]+)", page.read_text())
    files = [target for target in targets if "://" not in target]
    assert files or page == PAGE
    for target in files:
        assert (page.parent / target).is_file(), target


def test_the_script_in_the_page_is_python():
    (block,) = re.findall(r"^```py\n(.*?)^```$", SCALING.read_text(), re.M | re.S)
    compile(block, "train.py", "exec")


# --- TF_CONFIG ---------------------------------------------------------------------


def run_with_stub(script, folder, *arguments, **environment):
    """Runs bash with a `python` that keeps TF_CONFIG; returns what it was given."""
    stub = folder / "bin" / "python"
    stub.parent.mkdir(exist_ok=True)
    stub.write_text('#!/bin/sh\nprintf "%s" "$TF_CONFIG" >"$KEPT/$$.json"\n')
    stub.chmod(0o755)
    kept = folder / f"kept-{len(list(folder.iterdir()))}"
    kept.mkdir()
    path = f"{stub.parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(
        ["bash", "-euc", script, "bash", *arguments],
        env={"PATH": path, "KEPT": str(kept), **environment},
        cwd=kept,
        check=True,
        timeout=20,
    )
    configs = [json.loads(file.read_text()) for file in kept.glob("*.json")]
    return sorted(configs, key=lambda config: config["task"]["index"])


def resolved(config, monkeypatch):
    """Returns addresses and index as TensorFlow understands them."""
    import tensorflow as tf

    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    assert resolver.task_type == "worker"
    return resolver.cluster_spec().job_tasks("worker"), resolver.task_id


@pytest.fixture(scope="module")
def manifest():
    yaml = pytest.importorskip("yaml")
    return {part["kind"]: part for part in yaml.safe_load_all(MANIFEST.read_text())}


def container_of(manifest):
    (container,) = manifest["Job"]["spec"]["template"]["spec"]["containers"]
    return container


def environment_of(manifest):
    return {entry["name"]: entry["value"] for entry in container_of(manifest)["env"]}


@pytest.mark.parametrize("index", [0, 1])
def test_the_manifest_makes_tf_config(manifest, index, tmp_path, monkeypatch):
    container = container_of(manifest)
    assert container["command"] == ["bash", "-euc"]
    environment = environment_of(manifest) | {"JOB_COMPLETION_INDEX": str(index)}
    (config,) = run_with_stub(container["args"][0], tmp_path, **environment)
    addresses, place = resolved(config, monkeypatch)
    assert addresses == [
        "flowers-0.flowers-workers:2222",
        "flowers-1.flowers-workers:2222",
    ]
    assert place == index


def test_the_names_in_the_manifest_agree(manifest):
    job, service = manifest["Job"], manifest["Service"]
    spec, pod = job["spec"], job["spec"]["template"]["spec"]
    environment = environment_of(manifest)
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["selector"] == {"job-name": job["metadata"]["name"]}
    assert pod["subdomain"] == service["metadata"]["name"] == environment["SERVICE"]
    assert job["metadata"]["name"] == environment["JOB"]
    workers = int(environment["WORKERS"])
    assert spec["completions"] == spec["parallelism"] == workers
    assert spec["backoffLimit"] % workers == 0
    volumes = {volume["name"] for volume in pod["volumes"]}
    assert volumes == {m["name"] for m in container_of(manifest)["volumeMounts"]}


def test_the_manifest_restarts_all_pods_as_the_page_says(manifest):
    spec = manifest["Job"]["spec"]
    pod = spec["template"]["spec"]
    assert spec["completionMode"] == "Indexed"
    # Kubernetes takes a podFailurePolicy with this restart policy only.
    assert pod["restartPolicy"] == "Never"
    assert spec["podReplacementPolicy"] == "Failed"
    stop, ignore = spec["podFailurePolicy"]["rules"]
    assert stop["onExitCodes"]["containerName"] == container_of(manifest)["name"]
    assert stop["onExitCodes"]["values"] == [42]
    assert "sys.exit(42)" in SCALING.read_text()
    assert ignore["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]
    # The longest pause before a new pod is 6 minutes.
    assert float(environment_of(manifest)["TLKERAS_WORKER_TIMEOUT"]) > 360


def test_the_scripts_for_plain_processes_make_tf_config(tmp_path, monkeypatch):
    blocks = re.findall(r"^```bash\n(.*?)^```$", SCALING.read_text(), re.M | re.S)
    two_hosts, one_host = (block for block in blocks if "TF_CONFIG" in block)
    for index in (0, 1):
        (config,) = run_with_stub(two_hosts, tmp_path, str(index))
        addresses, place = resolved(config, monkeypatch)
        assert len(set(addresses)) == 2 and place == index
    configs = run_with_stub(one_host, tmp_path)
    assert [resolved(config, monkeypatch)[1] for config in configs] == [0, 1]
