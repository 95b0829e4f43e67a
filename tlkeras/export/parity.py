"""Whether an artefact gives what the model gives."""

import numpy as np

from tlkeras.export.interface import Interface
from tlkeras.export.reports import ExportError

# By what the model computes in. In float32, LiteRT and ONNX Runtime differ from a
# MobileNetV2 by 1e-6.
TOLERANCES = {"float32": 1e-4, "float16": 1e-2, "bfloat16": 5e-2}

Outputs = dict[str, np.ndarray]


def largest_difference(got: Outputs, wanted: Outputs) -> float:
    """Returns the largest difference, as a share of outputs that are above 1.

    Outputs that are missing, of another shape or not finite are infinitely far off.
    """
    if got.keys() != wanted.keys():
        return float("inf")
    return max(_difference(got[name], wanted[name]) for name in wanted)


def _difference(got: np.ndarray, wanted: np.ndarray) -> float:
    got, wanted = np.asarray(got, "float64"), np.asarray(wanted, "float64")
    if got.shape != wanted.shape or not np.isfinite(got).all():
        return float("inf")
    return float(np.abs(got - wanted).max() / max(1.0, np.abs(wanted).max()))


def same_labels(interface: Interface, got: Outputs, wanted: Outputs) -> float | None:
    """Returns the share of examples that get the same label from both.

    Of a model with several heads, of all their labels; `None` where there are none.
    """
    found = [
        output.same_answers(got[name], wanted[name])
        for name, output in interface.heads.items()
    ]
    shares = [np.mean(same) for same in found if same is not None]
    return float(np.mean(shares)) if shares else None


def check(what: str, difference: float, tolerance: float) -> None:
    """Raises `ExportError` where a difference is larger than the tolerance."""
    if not difference <= tolerance:
        raise ExportError(
            f"{what} by {difference:.2g}, more than the tolerance of {tolerance:.2g}: "
            "nothing was exported. `tolerance=` accepts more; `data=` checks on inputs "
            "of your own instead of generated ones."
        )
