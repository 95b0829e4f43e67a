"""`Interface`: what an exported model takes and gives, asked once and carried along."""

import json
import re
from collections.abc import Mapping
from typing import Any

import keras

from tlkeras import _keras
from tlkeras.outputs import Output
from tlkeras.problem import input_of, own_problem


class Interface:
    """A functional model as tensors by name, in and out, with labels and metadata.

    What a model of somebody else's answers is not guessed: its outputs are called
    `output`, or by the names of its dictionary, and have no labels.

    Args:
        model: A functional `keras.Model`.

    Attributes:
        model: As above.
        problem: What it says it is for; `None` where it says nothing.
        input: What it takes.
        tensors: From a name for each input, one that may be an argument's, to its
            `keras.KerasTensor`, in the order of `keras.tree.flatten`.

    Raises:
        ValueError: If `model` is no functional Keras model.
    """

    def __init__(self, model: keras.Model):
        if not _keras.is_functional(model):
            raise ValueError(
                "`model` must be a functional `keras.Model`, such as "
                f"tl.image_classifier builds. Received: {type(model).__name__}."
            )
        self.model = model
        self.problem = own_problem(model)
        self.input = input_of(model)
        leaves = keras.tree.flatten(model.input)
        self.tensors = {re.sub(r"\W", "_", leaf.name): leaf for leaf in leaves}

    # Inputs.

    def specs(self, batch: int | None = None) -> list[Any]:
        """Returns the signature of a function of the inputs, as `tf.TensorSpec`s.

        Args:
            batch: How many examples it takes at a time; `None`: any number.
        """
        shapes = {n: (batch, *each.shape[1:]) for n, each in self.tensors.items()}
        return self._specs(shapes)

    def fixed_specs(self) -> list[Any]:
        """Returns the signature for one example at a time, without a free dimension.

        Raises:
            ValueError: If inputs may have any size.
        """
        shapes = {
            name: (1, *self.input.fixed_shape(tuple(tensor.shape[1:])))
            for name, tensor in self.tensors.items()
        }
        if any(None in shape for shape in shapes.values()):
            raise ValueError(
                "LiteRT needs inputs of one size; this model takes "
                f"{[tuple(tensor.shape) for tensor in self.tensors.values()]}. Build "
                "it with `input_shape=`."
            )
        return self._specs(shapes)

    def _specs(self, shapes: Mapping[str, tuple]) -> list[Any]:
        import tensorflow as tf

        return [
            tf.TensorSpec(shapes[name], tensor.dtype, name=name)
            for name, tensor in self.tensors.items()
        ]

    def pack(self, arrays: Mapping[str, Any]) -> Any:
        """Returns inputs by name as the model takes them."""
        return keras.tree.pack_sequence_as(self.model.input, list(arrays.values()))

    # Outputs.

    @property
    def heads(self) -> dict[str, Output]:
        """From the name of each output to what it answers; empty if that is unknown."""
        if self.problem is None:
            return {}
        if self.problem.named:
            return self.problem.outputs
        return {self.problem.output.output_name: self.problem.output}

    @property
    def class_names(self) -> Any:
        """Names of classes, as in `Problem.class_names`."""
        return None if self.problem is None else self.problem.class_names

    def named_outputs(self, outputs: Any) -> dict[str, Any]:
        """Returns the model's outputs by name: those of its heads, or what they are."""
        if self.problem is not None:
            by_head = self.problem.outputs_by_head(outputs)
            return dict(zip(self.heads, by_head.values(), strict=True))
        if isinstance(outputs, dict):
            return dict(outputs)
        leaves = keras.tree.flatten(outputs)
        if len(leaves) > 1:
            return {f"output_{i}": leaf for i, leaf in enumerate(leaves)}
        return {"output": leaves[0]}

    def raw(self, *tensors: Any) -> dict[str, Any]:
        """Runs the model on its inputs in their order; returns outputs by name."""
        inputs = keras.tree.pack_sequence_as(self.model.input, list(tensors))
        return self.named_outputs(self.model(inputs, training=False))

    def served(self, *tensors: Any) -> dict[str, Any]:
        """Does the same on any number of examples, none as well, in TensorFlow."""
        import tensorflow as tf

        count = tf.shape(tensors[0])[0]
        # TensorFlow's fused convolutions fail where there is no example.
        more = tf.cast(tf.equal(count, 0), "int32")
        some = [tf.pad(x, [[0, more], *[[0, 0]] * (len(x.shape) - 1)]) for x in tensors]
        return {name: rows[:count] for name, rows in self.raw(*some).items()}

    def labelled(self, *tensors: Any) -> dict[str, Any]:
        """Does the same, with labels and what else is said beside the outputs."""
        return self.answers(self.served(*tensors))

    def answers(self, outputs: Mapping[str, Any]) -> dict[str, Any]:
        """Returns what is said of outputs, as TensorFlow tensors by name.

        Where the user named the heads, each name starts with its head's.
        """
        if self.problem is None:
            return dict(outputs)
        return {
            f"{self._before(name)}{said}": tensor
            for name, output in self.heads.items()
            for said, tensor in output.graph_answers(outputs[name]).items()
        }

    def outputs_among(self, answers: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the model's own outputs by name, of what `answers` returned."""
        if self.problem is None:
            # A SavedModel gives them in no order of their own.
            return {
                name: answers[name] for name in self.named_outputs(self.model.output)
            }
        return {
            name: answers[f"{self._before(name)}{output.output_name}"]
            for name, output in self.heads.items()
        }

    def _before(self, head: str) -> str:
        return f"{head}_" if self.problem.named else ""

    # What an artefact says of itself.

    def metadata(self) -> dict[str, Any]:
        """Returns what an artefact says of itself, as what JSON knows."""
        facts = {
            "name": self.model.name,
            "task": None if self.problem is None else self.problem.task,
            "class_names": self.class_names,
            "keras_version": keras.__version__,
        }
        if self.problem is not None and self.problem.thresholds is not None:
            facts["thresholds"] = self.problem.thresholds
        return {**facts, **self.input.export_facts()}

    def label_files(self) -> dict[str, str]:
        """Returns files of class names, one a line, and one of all metadata, by name.

        Where the user named the heads, those of class names have their names.
        """
        files = {
            f"labels_{name}.txt" if self.problem.named else "labels.txt": "".join(
                # A name of two lines would shift those below it.
                f"{' '.join(each.split())}\n"
                for each in output.class_names
            )
            for name, output in self.heads.items()
            if output.class_names is not None
        }
        return {**files, "metadata.json": json.dumps(self.metadata(), indent=1) + "\n"}


def described(specs: list[Any]) -> dict[str, str]:
    """Returns each input's type and shape as text, by name."""
    return {spec.name: f"{spec.dtype.name} {tuple(spec.shape)}" for spec in specs}
