"""What Keras' trainer lacks on several replicas; checked against Keras 3.15.

Keras gives every replica the same weight, however many examples it has, clips
gradients before it sums them, and does not train on several machines at all
(https://github.com/keras-team/keras/issues/20585): it reduces the values of all
replicas in ways that fail there. `ReplicatedModel` takes steps of its own, on the
public hooks `train_step`, `test_step`, `make_train_function`, `make_test_function`.
They also serve one device whose batches are filled up: Keras would count the filling.
`tests/test_keras_internals.py` fails when Keras mends what it is for.
"""

import functools
from typing import Any

import keras

from tlkeras import _keras

_MEANS = ("sum_over_batch_size", "mean")


class ReplicatedModel(keras.Model):
    """A phase's model whose steps are those of one device on the global batch.

    It takes batches `((x, y) or (x, y, sample_weight), examples in the global batch)`;
    of those that are filled up, also how many of their rows are examples.
    Losses and metrics that it logs are those of all replicas.

    Args:
        phase_model: A functional model, whose layers it shares.
        replicas: The `Replicas`.
    """

    def __init__(self, phase_model: keras.Model, replicas: Any):
        # Outside of the strategy's scope: within it Keras would build the model from a
        # batch of all replicas, which fails where these are uneven.
        super().__init__(phase_model.input, phase_model.output, name=phase_model.name)
        self.replicas = replicas

    @property
    def distribute_strategy(self):
        """The strategy whose scope Keras' `fit` and `evaluate` run in."""
        import tensorflow as tf

        return self.replicas.strategy or tf.distribute.get_strategy()

    def compile(self, optimizer="rmsprop", loss=None, **kwargs):
        """Compiles as `keras.Model.compile`; refuses losses that do not average."""
        if self.replicas.is_static:
            if kwargs.get("weighted_metrics"):
                raise ValueError(
                    "`weighted_metrics` cannot be told apart from `metrics` where "
                    "batches are filled up, as on a TPU. Compile the model with "
                    "`metrics`. Received: "
                    f"weighted_metrics={kwargs['weighted_metrics']!r}."
                )
            # Plain metrics would count what fills a batch up.
            kwargs["weighted_metrics"] = kwargs.pop("metrics", None)
        if self.replicas.count > 1:
            _check_accumulation(optimizer)
        loss = keras.tree.map_structure(_of_examples, loss)
        super().compile(optimizer, loss, **kwargs)
        for loss in keras.tree.flatten(self.loss):
            reduction = getattr(loss, "reduction", _MEANS[0])
            if reduction not in _MEANS:
                raise ValueError(
                    "On several replicas a loss must average over its examples "
                    f"(reduction='sum_over_batch_size'). Received: {loss.name!r} with "
                    f"reduction={reduction!r}."
                )
        self._track_heads()

    def _track_heads(self) -> None:
        """Makes a mean for the loss of each head, where there are several.

        Keras' own count a replica's part of a batch as a batch. These have their names
        and come after them in `metrics`, so that their results are what is logged. A
        loss that is a name or a function, as a user may compile with, is left to Keras.
        """
        losses = self.loss if isinstance(self.loss, dict) else {}
        objects = [n for n, one in losses.items() if isinstance(one, keras.losses.Loss)]
        self.heads = sorted(objects) if len(losses) > 1 else []
        with self.distribute_strategy.scope():
            means = [keras.metrics.Mean(f"{name}_loss") for name in self.heads]
        self.head_means = means

    def build_metrics(self, batch: Any) -> None:
        """Makes the metrics' variables; they cannot be made inside of a step."""
        with self.distribute_strategy.scope():
            _keras.build_for(self, batch)

    def fit(self, x=None, *args, **kwargs):
        """Fits the model as `keras.Model.fit` does, on what `Replicas` spreads."""
        self.build_metrics(self.replicas.one(x))
        with _keras.gradients_are_summed(self.optimizer):
            return super().fit(x, *args, **kwargs)

    def train_step(self, data):
        """Takes one step on a replica's part of the global batch."""
        import tensorflow as tf

        x, _, _ = keras.utils.unpack_x_y_sample_weight(data[0])
        with tf.GradientTape() as tape:
            outputs = self._outputs_of(x, training=True)
            loss = self._loss(data, outputs, training=True)
            scaled = self.optimizer.scale_loss(loss)
        variables = self.trainable_weights
        gradients = tape.gradient(scaled, variables)
        self.optimizer.apply_gradients(
            zip(self._summed(gradients), variables, strict=True)
        )
        self._count(data, outputs)

    def test_step(self, data):
        """Adds a replica's part of the global batch to the metrics."""
        x, _, _ = keras.utils.unpack_x_y_sample_weight(data[0])
        outputs = self._outputs_of(x, training=False)
        self._loss(data, outputs, training=False)
        self._count(data, outputs)

    def make_train_function(self, force=False):
        """Makes the function that takes `steps_per_execution` training steps."""
        if self.train_function is None or force:
            self.train_function = self._on_all_replicas(self.train_step)
        return self.train_function

    def make_test_function(self, force=False):
        """Makes the function that takes `steps_per_execution` steps of evaluation."""
        if self.test_function is None or force:
            self.test_function = self._on_all_replicas(self.test_step)
        return self.test_function

    def _on_all_replicas(self, step):
        import tensorflow as tf

        strategy = self.distribute_strategy
        if self.jit_compile:
            step = tf.function(step, jit_compile=True, reduce_retracing=True)

        def function(iterator):
            strategy.run(step, args=(next(iterator),))
            for _ in tf.range(self.steps_per_execution - 1):
                following = iterator.get_next_as_optional()
                if following.has_value():
                    strategy.run(step, args=(following.get_value(),))
            # Read outside of the replicas: summed over all of them.
            return self.get_metrics_result()

        if self.run_eagerly:
            return function
        return tf.function(function, reduce_retracing=True)

    def _outputs_of(self, x: Any, training: bool) -> Any:
        """Returns the outputs for a replica's rows, of which there may be none."""
        import tensorflow as tf

        rows = tf.shape(keras.tree.flatten(x)[0])[0]

        def one_at_least(tensor):
            # TensorFlow's convolutions fail on no rows at all.
            ends = [[0, tf.maximum(1 - rows, 0)]] + [[0, 0]] * (len(tensor.shape) - 1)
            return tf.ensure_shape(tf.pad(tensor, ends), (None, *tensor.shape[1:]))

        if not self.replicas.is_static:
            x = keras.tree.map_structure(one_at_least, x)
        outputs = self(x, training=training)
        return keras.tree.map_structure(lambda tensor: tensor[:rows], outputs)

    def _loss(self, data: tuple, outputs: Any, training: bool) -> Any:
        """Returns what a replica adds to the mean loss of the global batch."""
        import tensorflow as tf

        x, y, weights = keras.utils.unpack_x_y_sample_weight(data[0])
        rows = tf.shape(keras.tree.flatten(x)[0])[0]
        if len(data) > 2:
            y, weights = self._without_filling(y, weights, rows, *data[1:])
        loss = self.compute_loss(x, y, outputs, weights, training=training)
        # What no example adds, such as a penalty on weights; divided as the loss is.
        others = tf.add_n([0.0 * loss, *self.losses]) / self.replicas.count
        rows, total = tf.cast(rows, loss.dtype), tf.cast(data[1], loss.dtype)
        if len(data) > 2:
            examples = tf.cast(data[2], loss.dtype)
            part = loss
            mean = tf.math.divide_no_nan((loss - others) * total, examples)
            mean += self.replicas.count * others
        else:
            # Keras divides it by the number of replicas.
            examples, mean = rows, loss * self.replicas.count
            part = mean * rows / total
        tracker = next(metric for metric in self.metrics if metric.name == "loss")
        tracker.update_state(mean, sample_weight=examples)
        for name, tracker in zip(self.heads, self.head_means, strict=True):
            value = self._loss_of(name, y, outputs, weights)
            if len(data) > 2:
                value = tf.math.divide_no_nan(value * total, examples)
            else:
                value = value * self.replicas.count
            # On one device a batch counts once, however many examples it has.
            tracker.update_state(value, sample_weight=examples / total)
        return part

    def _loss_of(self, name: str, y: Any, outputs: Any, weights: Any) -> Any:
        """Returns the loss of one head."""
        weights = None if weights is None else weights[name]
        return self.loss[name](y[name], outputs[name], weights)

    def _without_filling(
        self, y: Any, weights: Any, rows: Any, total: Any, known: Any
    ) -> tuple[Any, Any]:
        """Returns labels and weights with which what fills a batch up adds nothing.

        A mean over all rows is then the replica's part of the mean over all examples.
        A loss over the labels that are known counts them itself; weights do not tell
        it, so that the labels of the filling are missing.
        """
        import tensorflow as tf

        def hidden(labels, loss):
            missing = tf.cast(-1 if loss.classes else float("nan"), labels.dtype)
            is_known = tf.range(rows) < tf.cast(known, rows.dtype)
            shape = tf.concat([[rows], tf.ones_like(tf.shape(labels)[1:])], 0)
            return tf.where(tf.reshape(is_known, shape), labels, missing)

        share = tf.cast(rows * self.replicas.count, "float32")
        share = share / tf.cast(total, "float32")
        scaled = keras.tree.map_structure(lambda one: one * share, weights)
        if not isinstance(self.loss, dict):
            return y, scaled
        y = dict(y)
        for name, loss in self.loss.items():
            if hasattr(loss, "known"):
                y[name] = hidden(y[name], loss)
                scaled[name] = weights[name]
        return y, scaled

    def _count(self, data: tuple, outputs: Any) -> None:
        """Adds a replica's examples to the metrics."""
        import tensorflow as tf

        x, y, weights = keras.utils.unpack_x_y_sample_weight(data[0])
        if len(data) > 2:
            rows = tf.shape(keras.tree.flatten(x)[0])[0]
            known = tf.cast(tf.range(rows) < data[2], "float32")
            weights = keras.tree.map_structure(lambda _: known, weights)
        self.compute_metrics(x, y, outputs, weights)

    def _summed(self, gradients: list) -> list:
        """Returns gradients summed over the replicas, before anything else is done."""
        import tensorflow as tf

        known = [gradient for gradient in gradients if gradient is not None]
        context = tf.distribute.get_replica_context()
        summed = iter(context.all_reduce(tf.distribute.ReduceOp.SUM, known))
        return [None if gradient is None else next(summed) for gradient in gradients]


def _check_accumulation(optimizer: Any) -> None:
    """Raises `ValueError` for what Keras' optimizers cannot do on several replicas."""
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    steps = getattr(inner, "gradient_accumulation_steps", None)
    if steps:
        raise ValueError(
            "Keras cannot accumulate gradients on several replicas. Take larger "
            "batches instead, as all replicas share one. Received: an optimizer with "
            f"gradient_accumulation_steps={steps}."
        )


class _LossOfExamples(keras.losses.Loss):
    """A loss that gives each example the mean of all, where it knows that alone."""

    def __init__(self, loss: keras.losses.Loss):
        super().__init__(loss.name, loss.reduction, loss.dtype)
        self.loss = loss

    def call(self, y_true, y_pred):
        return _for_each(y_true, self.loss.call(y_true, y_pred))


def _of_examples(loss: Any) -> Any:
    """Returns a loss whose values Keras divides by the number of replicas.

    It leaves alone what a user's own loss has averaged to one number.
    """
    if isinstance(loss, keras.losses.Loss):
        plain = type(loss).__call__ is keras.losses.Loss.__call__
        return _LossOfExamples(loss) if plain else loss
    if not callable(loss):
        return loss

    @functools.wraps(loss)
    def values(y_true, y_pred):
        return _for_each(y_true, loss(y_true, y_pred))

    return values


def _for_each(y_true: Any, values: Any) -> Any:
    if len(values.shape):
        return values
    rows = keras.ops.shape(keras.tree.flatten(y_true)[0])[:1]
    return keras.ops.broadcast_to(values, rows)
