"""A text backbone up to one of its outputs, as it is nested in a model."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import keras

from tlkeras.backbones.hub import keras_hub


@keras.saving.register_keras_serializable("tlkeras")
class TextBackbone(keras.Model):
    """The graph of a KerasHub backbone up to the output that is pooled.

    What it would give besides must not be there: a layer that nothing reads would
    train without a gradient. It is saved as the backbone's own configuration, because
    many of KerasHub's layers cannot be made again from theirs.

    Args:
        inputs: The backbone's inputs.
        outputs: The output.
        name: Its Keras name.
    """

    def __init__(self, inputs, outputs, name=None, **kwargs):
        super().__init__(inputs, outputs, name=name, **kwargs)
        # Set afterwards: Keras takes no other constructor for a functional one. A
        # function, since a backbone would be saved a second time, and a description of
        # now would not know what becomes of the layers: their quantization.
        self.describe: Callable[[], dict[str, Any]] | None = None

    @classmethod
    def of(
        cls, backbone: keras.Model, key: str | None, name: str | None
    ) -> "TextBackbone":
        """Returns the part of a backbone that one of its outputs needs.

        Args:
            backbone: A KerasHub backbone. Its layers are shared.
            key: The output's; `None` where there is only one.
            name: The Keras name.

        Raises:
            ValueError: If the backbone could not be made again from its configuration.
        """
        output = backbone.output if key is None else backbone.output[key]
        made = cls(backbone.input, output, name=name)

        def describe() -> dict[str, Any]:
            origin = keras.saving.serialize_keras_object(backbone)
            # Which of its layers train, the model that holds it knows.
            origin["config"]["trainable"] = True
            return {"backbone": origin, "key": key}

        made.describe = describe
        try:
            json.dumps(describe())
        except (AttributeError, NotImplementedError, TypeError) as error:
            raise ValueError(
                f"The backbone {backbone.name!r} ({type(backbone).__name__}) cannot be "
                f"described by a configuration ({error}), and so a model of it could "
                "not be saved."
            ) from error
        return made

    def get_config(self) -> dict[str, Any]:
        """Returns the configuration of the backbone, and which output it is."""
        return {"name": self.name, **self.describe()}

    @classmethod
    def from_config(
        cls, config: Mapping[str, Any], custom_objects: Any = None
    ) -> "TextBackbone":
        """Makes one from `get_config`, its weights random.

        Args:
            config: What `get_config` returned.
            custom_objects: As in `keras.Model.from_config`.
        """
        keras_hub()  # Registers the backbones with Keras.
        origin = config["backbone"]
        backbone = keras.saving.deserialize_keras_object(
            origin, custom_objects=custom_objects
        )
        return cls.of(backbone, config["key"], config["name"])


def with_one_output(loaded: Any, pool: str) -> tuple[keras.Model, str]:
    """Returns the backbone up to the output that is pooled, and how to pool it.

    Args:
        loaded: A `LoadedTextBackbone`.
        pool: As in `Texts.assemble`.

    Raises:
        ValueError: If the backbone has no such output.
    """
    outputs = loaded.model.output
    if pool == "auto":
        pool = "last" if loaded.kind == "decoder" else "mean"
    key = "pooled_output" if pool == "pooled" else "sequence_output"
    single = not isinstance(outputs, dict)
    if key not in (("sequence_output",) if single else outputs):
        raise ValueError(
            f"pool='pooled' needs a backbone with a pooled output; {loaded.name!r} has "
            "none. Use pool='cls', 'mean' or 'auto'."
        )
    return TextBackbone.of(loaded.model, None if single else key, loaded.name), pool
