"""Several workers over loopback: each a process of its own, equal to one device."""

import json
import re
import subprocess
import sys
import time

import numpy as np
import pytest
from workers_on_loopback import TESTS, errors, free_ports, started, wait_for

pytestmark = pytest.mark.slow

SCRIPT = TESTS / "workers_script.py"
COMPARED = ("cached", "uncached", "texts")
TWO = (
    *COMPARED,
    "learning_rate_range",
    "other_recipe",
    "other_data",
    "other_weights",
    "own_dataset",
)
SECONDS = 900


def run(folder, workers, cases):
    """Returns what each worker came to, and one device on the same batches."""
    command = [SCRIPT, folder, workers, ",".join(cases)]
    with started(command, free_ports(workers), folder) as processes:
        in_time = wait_for(processes, SECONDS)
        codes = [process.poll() for process in processes]
    assert in_time, errors(folder, 0)[-3000:]
    assert codes == [0] * workers, errors(folder, int(np.argmax(codes)))[-3000:]
    compared = [name for name in cases if name in COMPARED]
    command = [SCRIPT, folder, workers, ",".join(compared)]
    with started(command, [], folder) as processes:
        assert wait_for(processes, SECONDS)
        assert processes[0].returncode == 0, errors(folder, 0)[-3000:]
    kinds = [*map(str, range(workers)), "alone"]
    return [json.loads((folder / f"result-{k}.json").read_text()) for k in kinds]


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    return run(tmp_path_factory.mktemp("two"), 2, TWO)


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    return run(tmp_path_factory.mktemp("three"), 3, ("cached",))


def of_all(results, name):
    """Returns a case's results of all workers."""
    parts = [result[name] for result in results[:-1]]
    for part in parts:
        assert "failure" not in part, part["failure"]
    return parts


def largest(ones, others):
    return max(
        float(np.abs(np.subtract(a, b)).max())
        for a, b in zip(ones, others, strict=True)
    )


def check_alike(results, name):
    """All workers have the same weights and history, and those of one device."""
    alone, (first, *others) = results[-1][name], of_all(results, name)
    assert "failure" not in alone, alone["failure"]
    for other in others:
        assert other["weights"] == first["weights"]
        assert other["history"] == first["history"]
    assert first["moved"] > 1e-3
    assert largest(first["weights"], alone["weights"]) < 1e-5
    assert first["history"].keys() == alone["history"].keys()
    for key, values in alone["history"].items():
        np.testing.assert_allclose(
            first["history"][key], values, atol=1e-5, err_msg=key
        )


def check_each_example_once(results, name, epochs):
    """Each of the 35 examples was in one step of one worker in every epoch."""
    workers = len(results) - 1
    seen = [part["seen"] for part in of_all(results, name)]
    sizes = [len(range(k, 35, workers)) for k in range(workers)]
    assert [len(part) for part in seen] == [epochs * size for size in sizes]
    orders = set()
    for epoch in range(epochs):
        read = [
            number
            for part, size in zip(seen, sizes, strict=True)
            for number in part[epoch * size : (epoch + 1) * size]
        ]
        assert sorted(read) == list(range(35))
        orders.add(tuple(read))
    assert len(orders) == epochs


def test_each_worker_knows_its_place(two):
    assert [(r["index"], r["replicas"]) for r in two] == [(0, 2), (1, 2), (0, 1)]


@pytest.mark.parametrize("name", COMPARED)
def test_two_workers_train_as_one_device(two, name):
    check_alike(two, name)


def test_three_workers_train_as_one_device(three):
    check_alike(three, "cached")


def test_every_example_is_read_once_in_an_epoch(two, three):
    check_each_example_once(two, "cached", 4)
    check_each_example_once(three, "cached", 4)


def test_all_workers_hold_the_report_of_one_device(two):
    reports = [part["report"] for part in of_all(two, "uncached")]
    assert reports == [two[-1]["uncached"]["report"]] * 2


def test_each_worker_predicts_for_itself(two):
    one, other = (part["predicted"] for part in of_all(two, "uncached"))
    alone = two[-1]["uncached"]["predicted"]
    np.testing.assert_allclose(one, other, atol=1e-6)
    np.testing.assert_allclose(one, alone, atol=1e-5)
    assert len({part["label"] for part in of_all(two, "texts")}) == 1


def test_the_chief_alone_writes(two):
    chief, other = (part["files"] for part in of_all(two, "uncached"))
    assert other == []
    assert "model.keras" in chief
    assert "log.csv" in chief
    assert {f"best/{epoch}.keras" for epoch in range(1, 5)} <= set(chief) or {
        f"best/{epoch:02d}.keras" for epoch in range(1, 5)
    } <= set(chief)
    assert any(name.startswith("checkpoints/") for name in chief)
    assert any(name.startswith("logs/") for name in chief)


def test_workers_find_the_same_learning_rate(two):
    one, other = of_all(two, "learning_rate_range")
    assert one == other


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "other_recipe",
            r"WorkerError.*learning_rate: 0\.05 on worker 0, 0\.06\d* on wo",
        ),
        ("other_data", r"WorkerError.*the training data: .* on worker 1"),
        ("other_weights", r"WorkerError.*the model's weights: .* on worker 1"),
        ("own_dataset", r"ValueError.*cannot be shared out"),
    ],
)
def test_workers_that_differ_are_refused_on_all(two, name, message):
    for part in of_all(two, name):
        assert re.search(message, part["error"]), part["error"]


def test_a_worker_that_never_comes_up_is_an_error_in_time(tmp_path):
    ports = free_ports(2)
    code = "import tlkeras as tl; print('begin', flush=True); tl.configure()"
    began = time.monotonic()
    with started(
        ["-c", code], ports, tmp_path, TLKERAS_WORKER_TIMEOUT="1"
    ) as processes:
        processes[1].kill()
        assert wait_for(processes[:1], 120)
        seconds = time.monotonic() - began
    assert processes[0].returncode == 1
    assert "begin" in (tmp_path / "worker-0.log").read_text()
    message = errors(tmp_path, 0)
    assert "WorkerError" in message
    assert f"waited 1 seconds for ['127.0.0.1:{ports[1]}']" in message
    assert seconds < 120


def test_killed_workers_lose_nothing():
    """A kill of the extraction; the script does more, and of each phase."""
    script = TESTS / "kill_workers.py"
    done = subprocess.run(
        [sys.executable, script, "--kills", "1"],
        capture_output=True,
        text=True,
        timeout=1800,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "largest difference of a weight: 0.0" in done.stdout
