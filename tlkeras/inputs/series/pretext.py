"""What a backbone of series learns without labels: to fill in what was hidden."""

import keras
from keras import ops

# Steps that are hidden together, and which share of them is.
_SPAN, _SHARE = 8, 0.4
_RATE = 5e-4


def hidden_spans(
    backbone: keras.Model, inputs: keras.KerasTensor, scaled: keras.KerasTensor
) -> keras.Model:
    """Returns a compiled model that hides spans of windows and fills them in.

    Args:
        backbone: The backbone, all of which trains.
        inputs: What data give.
        scaled: Windows made of it, as `WindowScaling` gives them.

    Reference:
        Nie et al., A Time Series is Worth 64 Words (2023), section 3.2.
    """
    steps, channels = scaled.shape[1], scaled.shape[2] // 2
    seen, asked = HideSpans()(scaled)
    places = backbone(seen[..., : backbone.input_shape[-1]])
    if len(places.shape) == 2:
        places = ops.expand_dims(places, 1)
    each = -(-steps // places.shape[1])
    guess = keras.layers.Dense(each * channels, dtype="float32")(places)
    guess = ops.reshape(guess, (-1, each * places.shape[1], channels))[:, -steps:]
    model = keras.Model(inputs, ErrorOfHidden()([scaled[..., :channels], asked, guess]))
    model.compile(keras.optimizers.Adam(_RATE), jit_compile=False)
    return model


class HideSpans(keras.layers.Layer):
    """Hides spans of each channel, as if they were missing.

    Call arguments: `(batch, steps, 2 * channels)`, as `WindowScaling` gives them.

    Returns: The same with spans hidden; and 1 for what was hidden and is known, else 0,
    `(batch, steps, channels)`.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.seeds = keras.random.SeedGenerator()

    def call(self, x):
        steps, channels = x.shape[1], x.shape[2] // 2
        values, missing = x[..., :channels], x[..., channels:]
        spans = ops.shape(x)[0], -(-steps // _SPAN), channels
        hidden = keras.random.uniform(spans, seed=self.seeds) < _SHARE
        hidden = ops.repeat(ops.cast(hidden, x.dtype), _SPAN, axis=1)[:, -steps:]
        marks = ops.maximum(missing, hidden)
        seen = ops.concatenate([values * (1.0 - hidden), marks], axis=-1)
        return seen, hidden * (1.0 - missing)

    def compute_output_shape(self, input_shape):
        batch, steps, width = input_shape
        return input_shape, (batch, steps, width // 2)


class ErrorOfHidden(keras.layers.Layer):
    """Adds to the loss the mean squared error of what was hidden.

    Call arguments: values, what was hidden, and guesses, each `(batch, steps,
    channels)`.
    """

    def call(self, inputs):
        values, asked, guess = inputs
        errors = asked * (values - guess) ** 2
        self.add_loss(ops.sum(errors) / ops.maximum(ops.sum(asked), 1.0))
        return guess
