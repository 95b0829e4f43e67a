"""Where and how computation runs: dtype policy, `tf.distribute` strategy, seed."""

import contextlib
import os
from dataclasses import dataclass, field
from typing import Any

import keras

from tlkeras._validation import check_choice, check_int
from tlkeras.distribution import Cluster, Workers

PRECISIONS = ("auto", "float32", "mixed_bfloat16", "mixed_float16")
STRATEGIES = ("auto", "none", "mirrored", "multi_worker", "tpu")
_XLA = {True: "on", False: "off", "auto": "auto"}


@dataclass(frozen=True)
class Runtime:
    """What `configure` chose, and why.

    Attributes:
        precision: Name of the global dtype policy, such as `"mixed_float16"`; or
            `"auto"`, where builders measure each backbone, as on a CPU.
        strategy: The `tf.distribute.Strategy` that models are built under, or `None`.
        seed: The seed that was set, or `None`.
        devices: What was found, such as `"2 CPU cores"` or `"1 GPU"`.
        xla: Whether XLA compiles the steps of training; or `"auto"`, where each phase
            that is long enough measures it, as on a GPU.
        reasons: From `"precision"`, `"strategy"` and `"xla"` to a sentence.
    """

    precision: str
    strategy: Any = None
    seed: int | None = None
    devices: str = ""
    xla: bool | str = False
    reasons: dict[str, str] = field(default_factory=dict)

    @property
    def replicas(self) -> int:
        """How many copies of the model train in step."""
        return self.strategy.num_replicas_in_sync if self.strategy else 1

    @property
    def workers(self) -> Workers:
        """The processes that train together, and which of them this one is."""
        return Workers(self.strategy)

    @property
    def is_chief(self) -> bool:
        """Whether this process writes checkpoints, logs and model files."""
        return self.workers.is_chief

    @property
    def communication(self) -> str:
        """How gradients are summed over the replicas."""
        if self.replicas == 1:
            return "none"
        kinds = {device.device_type for device in _accelerators()}
        if "TPU" in kinds:
            return "the TPU's own interconnect"
        several = self.workers.count > 1
        if "GPU" in kinds:
            return "NCCL" + (" and gRPC" if several else "")
        return "a ring over gRPC" if several else "copies in memory"

    def scope(self) -> contextlib.AbstractContextManager:
        """Returns the context that models are built and compiled in."""
        return self.strategy.scope() if self.strategy else contextlib.nullcontext()

    def __str__(self) -> str:
        name = type(self.strategy).__name__ if self.strategy else "no strategy"
        # The name of its class is of long ago.
        name = name.replace("CollectiveAllReduce", "MultiWorkerMirrored")
        return (
            f"tlkeras runs on {self.devices}\n"
            f"  precision: {self.precision} ({self.reasons['precision']})\n"
            f"  strategy: {name}, {self.replicas} replica(s)"
            f"{self._on_workers()} ({self.reasons['strategy']})\n"
            f"  XLA: {_XLA[self.xla]} ({self.reasons['xla']})\n"
            f"  seed: {self.seed}"
        )

    def _on_workers(self) -> str:
        """Says who exchanges what, where there are several replicas."""
        if self.replicas == 1:
            return ""
        workers = self.workers
        place = f"; this is worker {workers.index}" if workers.count > 1 else ""
        return (
            f" on {workers.count} worker(s){place}, gradients summed by "
            f"{self.communication}"
        )


_configured: Runtime | None = None


def configure(
    *,
    precision: str = "auto",
    strategy: Any = "auto",
    seed: int | None = None,
    xla: bool | str = "auto",
) -> Runtime:
    """Chooses precision, distribution and seed for the models built from here on.

    Optional: without it models are built as Keras is set up. It sets Keras' global
    dtype policy, and prints what it chose and why.

    Args:
        precision: A dtype policy name, or `"auto"`: `"mixed_bfloat16"` on a TPU,
            `"mixed_float16"` where every GPU has compute capability 7.0 or more,
            `"float32"` on older ones. On a CPU builders time a backbone that was given
            by name in float32 and in `"mixed_bfloat16"`, on one batch, take the
            faster and remember it. Heads end in float32 under each of them.
        strategy: A `tf.distribute.Strategy`, or one of `"none"`, `"mirrored"`,
            `"multi_worker"`, `"tpu"`, or `"auto"`: the TPU if there is one, the
            workers that the environment variable `TF_CONFIG` names, all GPUs if
            there are several, otherwise none.
        seed: Seeds Python, NumPy and Keras, as `keras.utils.set_random_seed` does.
            `None` leaves them alone.
        xla: Whether Keras has XLA compile the steps of training (`jit_compile`), as it
            does on a GPU by itself. On a GPU the step that fine-tunes MobileNetV2
            compiles for half a minute, anew for each shape, which only long training
            makes good. So batches then have one shape: they are filled up with examples
            of weight zero, which change neither losses nor metrics; where something
            may look at a batch as a whole (batch norms that train, losses, metrics or
            layers of your own) they are not, and it is said. `"auto"`: on one GPU a
            phase that takes at least 20 times as long as compiling may, first times
            some steps without XLA and with it, and takes it where it saves more than
            twice what it costs (untried on GPUs of any kind); on CPUs, where
            its convolutions are many times slower than TensorFlow's, no. Strategies do
            without; that of a TPU compiles by itself.

    Returns:
        A `Runtime`. `current_runtime()` returns the same object afterwards.

    Raises:
        ValueError: If `precision`, `strategy` or `xla` is not one of the above, or
            `xla=True` meets a strategy.
        RuntimeError: If `strategy="tpu"` finds no TPU, or TensorFlow was used before
            workers could be connected.
        WorkerError: If a worker does not come up within the seconds that the
            environment variable `TLKERAS_WORKER_TIMEOUT` says (300).

    Example:

    >>> runtime = tl.configure(precision="float32", strategy="none", seed=0)
    tlkeras runs on ...
      precision: float32 (as asked)
      strategy: no strategy, 1 replica(s) (as asked)
      XLA: off (...)
      seed: 0
    >>> runtime.precision
    'float32'

    Reference:
        The Keras guide to mixed precision, https://keras.io/api/mixed_precision/.
    """
    global _configured
    check_choice("precision", precision, PRECISIONS)
    check_choice("xla", xla, ("auto", True, False))
    chosen_strategy, strategy_reason = _choose_strategy(strategy)
    chosen_precision, precision_reason = _choose_precision(precision, chosen_strategy)
    chosen_xla, xla_reason = _choose_xla(xla, chosen_strategy)
    keras.config.set_dtype_policy(_policy(chosen_precision))
    if seed is not None:
        keras.utils.set_random_seed(check_int("seed", seed, 0))
    _configured = Runtime(
        precision=chosen_precision,
        strategy=chosen_strategy,
        seed=seed,
        devices=_describe_devices(),
        xla=chosen_xla,
        reasons={
            "precision": precision_reason,
            "strategy": strategy_reason,
            "xla": xla_reason,
        },
    )
    print(_configured)
    return _configured


def current_runtime() -> Runtime:
    """Returns what `configure` chose last, or how Keras is set up without it.

    Returns:
        A `Runtime`: precision, strategy, devices, and the reason for each choice.

    Example:

    >>> tl.current_runtime().replicas
    1
    """
    if _configured is not None:
        return _configured
    xla, reason = _choose_xla("auto")
    return Runtime(
        precision=keras.config.dtype_policy().name,
        devices=_describe_devices(),
        xla=xla,
        reasons={
            "precision": "Keras' global policy; `tl.configure` was not called",
            "strategy": "`tl.configure` was not called",
            "xla": reason,
        },
    )


def jit_compile() -> bool:
    """Returns the value for `compile(jit_compile=...)` of what is no long phase."""
    return current_runtime().xla is True


def _choose_xla(xla: bool | str, strategy: Any = None) -> tuple[bool | str, str]:
    """Returns whether XLA compiles, or "auto" where phases decide, and why.

    Measured with MobileNetV2: 8 against 104 images/s on two CPU cores; 37 s for the
    step of fine-tuning on an H200, where 3 epochs of the head took 27 s for 0.1 s of
    arithmetic.
    """
    if xla is True and strategy is not None:
        raise ValueError(
            "`xla=True` is for one device: under a `tf.distribute` strategy Keras "
            "compiles no steps, and that of a TPU compiles by itself. Received: "
            f"xla=True, strategy={type(strategy).__name__}. Leave `xla` out, or pass "
            "strategy='none'."
        )
    if xla != "auto":
        return xla, "as asked"
    if strategy is not None:
        return False, "left to the strategy"
    if _accelerators():
        return "auto", "tried where a phase is long; compiling is slow"
    return False, "slow on CPUs"


def _accelerators() -> list:
    if keras.backend.backend() != "tensorflow":
        return []
    import tensorflow as tf

    return tf.config.list_logical_devices("GPU") + tf.config.list_logical_devices("TPU")


def device_names() -> list[str]:
    """Returns GPUs by model and compute capability, and TPUs by their kind."""
    import tensorflow as tf

    gpus = [
        f"{detail.get('device_name', 'GPU')} (compute capability "
        f"{'.'.join(map(str, detail.get('compute_capability', '?')))})"
        for detail in map(
            tf.config.experimental.get_device_details,
            tf.config.list_physical_devices("GPU"),
        )
    ]
    return gpus + [d.device_type for d in tf.config.list_physical_devices("TPU")]


def _describe_devices() -> str:
    kinds = [device.device_type for device in _accelerators()]
    if not kinds:
        return f"{os.cpu_count()} CPU cores"
    return ", ".join(f"{kinds.count(kind)} {kind}" for kind in sorted(set(kinds)))


def _choose_strategy(strategy: Any) -> tuple[Any, str]:
    if not isinstance(strategy, str):
        if strategy is None:
            return None, "as asked"
        if not hasattr(strategy, "num_replicas_in_sync"):
            raise ValueError(
                "`strategy` must be a `tf.distribute.Strategy`, `None` or one of "
                f"{STRATEGIES}. Received: strategy={strategy!r}."
            )
        return strategy, "as asked"
    check_choice("strategy", strategy, STRATEGIES)
    if strategy == "none":
        return None, "as asked"
    import tensorflow as tf

    if strategy in ("tpu", "auto"):
        resolver = _find_tpu()
        if resolver is not None:
            return _connect_tpu(resolver), "a TPU is attached"
        if strategy == "tpu":
            raise RuntimeError(
                "strategy='tpu' found no TPU. In Colab choose Runtime > Change runtime "
                "type > TPU; elsewhere set TPU_NAME. strategy='auto' takes what there "
                "is."
            )
    if strategy == "multi_worker" or (strategy == "auto" and _several_workers()):
        reason = "as asked" if strategy == "multi_worker" else "TF_CONFIG names workers"
        return _connect_workers(), reason
    if strategy == "mirrored":
        return tf.distribute.MirroredStrategy(), "as asked"
    gpus = tf.config.list_logical_devices("GPU")
    if len(gpus) > 1:
        return tf.distribute.MirroredStrategy(), f"{len(gpus)} GPUs are attached"
    return None, f"a single device: {_describe_devices()}"


def _several_workers() -> bool:
    return len(Cluster.from_environment().addresses) > 1


def _connect_workers() -> Any:
    """Returns a strategy over the workers that `TF_CONFIG` names, once all are up."""
    import tensorflow as tf

    Cluster.from_environment().wait()
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except RuntimeError as error:
        raise RuntimeError(
            "Workers must be connected before TensorFlow computes anything: call "
            f"`tl.configure` first in the program. TensorFlow says: {error}"
        ) from error


def _find_tpu() -> Any:
    """Returns a cluster resolver where the environment or the device list has a TPU."""
    import tensorflow as tf

    announced = {"TPU_NAME", "COLAB_TPU_ADDR", "TPU_WORKER_ID"} & set(os.environ)
    if not announced and not tf.config.list_physical_devices("TPU"):
        return None
    try:
        return tf.distribute.cluster_resolver.TPUClusterResolver.connect()
    except (ValueError, tf.errors.NotFoundError):
        return None


def _connect_tpu(resolver: Any) -> Any:
    import tensorflow as tf

    return tf.distribute.TPUStrategy(resolver)


def _choose_precision(precision: str, strategy: Any) -> tuple[str, str]:
    if precision != "auto":
        return precision, "as asked"
    if strategy is not None and "TPU" in type(strategy).__name__:
        return "mixed_bfloat16", "a TPU computes in bfloat16"
    capabilities = _gpu_capabilities()
    if not capabilities:
        return "auto", "float32 or bfloat16, as measured for each backbone"
    if min(capabilities) >= (7, 0):
        return "mixed_float16", "every GPU has compute capability 7.0 or more"
    return "float32", f"a GPU has compute capability {min(capabilities)}, below 7.0"


def _policy(precision: str) -> str:
    """Returns the dtype policy of what is built without being measured."""
    return "float32" if precision == "auto" else precision


def _gpu_capabilities() -> list[tuple[int, int]]:
    import tensorflow as tf

    details = map(
        tf.config.experimental.get_device_details,
        tf.config.list_physical_devices("GPU"),
    )
    return [detail.get("compute_capability", (0, 0)) for detail in details]
