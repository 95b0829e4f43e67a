"""Losses between two domains, as Keras objects that go with any loss of the task."""

from typing import Any

import keras
from keras import ops

# Kernels of Long et al.: five, each twice as wide as the one before, the third as wide
# as the mean distance.
_KERNELS = 5
# Above so many products of features and classes they are drawn at random.
_MOST_PRODUCTS = 4096


class CoralLoss(keras.losses.Loss):
    """The squared distance between the covariances of source and target features.

    Called with features of the source, `(n, width)`, and of the target, `(m, width)`.

    Reference:
        Sun and Saenko, Deep CORAL: Correlation Alignment for Deep Domain Adaptation
        (2016), equations 1 to 3.
    """

    def __init__(self, name="coral", **kwargs):
        super().__init__(name=name, **kwargs)

    def call(self, y_true, y_pred):
        width = y_true.shape[-1]
        apart = _covariance(y_true) - _covariance(y_pred)
        return ops.sum(ops.square(apart)) / (4 * width**2)


class MMDLoss(keras.losses.Loss):
    """The squared maximum mean discrepancy of features, with several Gaussian kernels.

    Called as `CoralLoss`.

    Reference:
        Long et al., Learning Transferable Features with Deep Adaptation Networks
        (2015), equation 2.
    """

    def __init__(self, name="mmd", **kwargs):
        super().__init__(name=name, **kwargs)

    def call(self, y_true, y_pred):
        count = ops.shape(y_true)[0]
        both = ops.concatenate([y_true, y_pred], axis=0)
        squares = ops.sum(ops.square(both), axis=-1)
        distances = (
            squares[:, None] + squares[None] - 2 * ops.matmul(both, ops.transpose(both))
        )
        distances = ops.maximum(distances, 0.0)
        total = ops.cast(ops.shape(both)[0], distances.dtype)
        width = ops.stop_gradient(ops.sum(distances) / (total * (total - 1)))
        width = ops.maximum(width, keras.config.epsilon())
        kernel = sum(
            ops.exp(-distances / (width * 2.0 ** (place - _KERNELS // 2)))
            for place in range(_KERNELS)
        )
        within = ops.mean(kernel[:count, :count]) + ops.mean(kernel[count:, count:])
        return within - 2 * ops.mean(kernel[:count, count:])


class MCCLoss(keras.losses.Loss):
    """Minimum class confusion: how much answers on the target mix up classes.

    Called with whatever and with the target's probabilities, `(m, classes)`.

    Args:
        temperature: What logits are divided by.

    Reference:
        Jin et al., Minimum Class Confusion for Versatile Domain Adaptation (2020),
        equations 3 to 7.
    """

    def __init__(self, temperature=2.5, name="mcc", **kwargs):
        super().__init__(name=name, **kwargs)
        self.temperature = temperature

    def call(self, y_true, y_pred):
        logits = ops.log(ops.maximum(y_pred, keras.config.epsilon()))
        shares = ops.softmax(logits / self.temperature, axis=-1)
        logs = ops.log(ops.maximum(shares, keras.config.epsilon()))
        weights = 1 + ops.exp(ops.sum(shares * logs, axis=-1, keepdims=True))
        weights = ops.stop_gradient(weights / ops.mean(weights))
        confusion = ops.matmul(ops.transpose(shares * weights), shares)
        confusion = confusion / ops.sum(confusion, axis=1, keepdims=True)
        return (ops.sum(confusion) - ops.trace(confusion)) / y_pred.shape[-1]

    def get_config(self):
        return {**super().get_config(), "temperature": self.temperature}


def reverse_gradient(x: Any, scale: Any) -> Any:
    """Returns `x`, of which the gradient is turned round and scaled.

    Args:
        x: A tensor.
        scale: What the gradient is multiplied by, after its sign has changed.

    Reference:
        Ganin et al., Domain-Adversarial Training of Neural Networks (2016), section
        4.2.
    """
    return ops.stop_gradient((1 + scale) * x) - scale * x


def ramp(progress: Any) -> Any:
    """Returns how much the other domain counts, rising from 0 to 1.

    Args:
        progress: Share of the training that is done, from 0 to 1.

    Reference:
        Ganin et al. (2016), section 5.2.2.
    """
    return 2 / (1 + ops.exp(-10.0 * progress)) - 1


class Adversary(keras.layers.Layer):
    """A discriminator of the domains, whose gradient is turned round.

    Its loss falls as it tells the domains apart, and the features get worse for it.

    Args:
        units: Units of its two hidden layers.
        conditional: Whether it sees features times probabilities of classes, as CDAN
            does, or features alone, as DANN does.
        seed: Of its start.

    Reference:
        Ganin et al. (2016); Long et al., Conditional Adversarial Domain Adaptation
        (2018), equations 4 to 6.
    """

    def __init__(self, units: int = 256, conditional: bool = False, seed: int = 0):
        super().__init__(name="adversary", dtype="float32")
        self.conditional = conditional
        self.layers = [
            keras.layers.Dense(
                width,
                activation=activation,
                kernel_initializer=keras.initializers.GlorotUniform(seed + number),
                dtype="float32",
            )
            for number, (width, activation) in enumerate(
                [(units, "relu"), (units, "relu"), (1, None)]
            )
        ]
        self._seed = seed
        self._drawn: tuple[Any, Any] | None = None

    def build(self, features_shape, probabilities_shape=None):
        width = features_shape[-1]
        if self.conditional:
            products = width * probabilities_shape[-1]
            if products > _MOST_PRODUCTS:
                self._drawn = tuple(
                    keras.random.normal(
                        (each[-1], _MOST_PRODUCTS), seed=self._seed + 10 + number
                    )
                    for number, each in enumerate((features_shape, probabilities_shape))
                )
            width = min(products, _MOST_PRODUCTS)
        for layer in self.layers:
            layer.build((None, width))
            width = layer.units

    def call(self, features, probabilities=None):
        """Returns logits of being of the target, `(n, 1)`."""
        x = self._seen(features, probabilities)
        for layer in self.layers:
            x = layer(x)
        return x

    def loss(self, source: Any, target: Any, scale: Any) -> Any:
        """Returns the loss of both domains.

        Args:
            source: Features and probabilities of classes of the source.
            target: The same of the target.
            scale: Of the reversed gradient.
        """
        from_source, from_target = (
            self(reverse_gradient(features, scale), probabilities)
            for features, probabilities in (source, target)
        )
        # The cross-entropy of a sigmoid, of 0 for the source and 1 for the target.
        losses = ops.mean(ops.softplus(from_source))
        return (losses + ops.mean(ops.softplus(-from_target))) / 2

    def _seen(self, features: Any, probabilities: Any) -> Any:
        if not self.conditional:
            return features
        probabilities = ops.stop_gradient(probabilities)
        if self._drawn is not None:
            by_features, by_classes = self._drawn
            both = ops.matmul(features, by_features) * ops.matmul(
                probabilities, by_classes
            )
            return both / _MOST_PRODUCTS**0.5
        products = features[:, :, None] * probabilities[:, None, :]
        return ops.reshape(products, (-1, features.shape[-1] * probabilities.shape[-1]))


def _covariance(x: Any) -> Any:
    count = ops.cast(ops.shape(x)[0], x.dtype)
    x = x - ops.mean(x, axis=0, keepdims=True)
    return ops.matmul(ops.transpose(x), x) / (count - 1)
