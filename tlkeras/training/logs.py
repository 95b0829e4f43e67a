"""Logs of a run on disk: a table of its epochs, and events for TensorBoard."""

import csv
import io
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tlkeras._files import write_whole
from tlkeras.training.history import FineTuneHistory


class PhaseLog(keras.callbacks.Callback):
    """Writes `epochs.csv` and TensorBoard events after each epoch, phases marked.

    The table is written anew each time, out of the history, so that a run that
    resumes leaves no epoch twice. TensorBoard shows training and validation as two
    runs, and where a phase begins as text.

    Args:
        folder: Where to write.
        phase: The phase's name.
        history: Of the phases before.
        record: Of this phase; it comes before this callback.
    """

    def __init__(
        self, folder: str | Path, phase: str, history: FineTuneHistory, record: Any
    ):
        super().__init__()
        self._folder = Path(folder).expanduser()
        self._phase, self._history, self._record = phase, history, record
        self._writers: dict[str, Any] = {}

    def on_train_begin(self, logs=None):
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(
                f"Logs cannot be written to log_dir={str(self._folder)!r}: {error}."
            ) from error
        import tensorflow as tf

        self._writers = {
            part: tf.summary.create_file_writer(str(self._folder / part))
            for part in ("train", "validation")
        }
        self._write("train", "phase", self._phase, len(self._history.epoch), "text")

    def on_epoch_end(self, epoch, logs=None):
        self._write_table()
        self._write_events(epoch, logs or {})

    def on_train_end(self, logs=None):
        for writer in self._writers.values():
            writer.close()

    def _write_events(self, epoch: int, logs: dict[str, Any]) -> None:
        rate = self.model.optimizer.learning_rate
        for name, value in {**logs, "learning_rate": rate}.items():
            part = "validation" if name.startswith("val_") else "train"
            tag = f"epoch_{name.removeprefix('val_')}"
            self._write(part, tag, np.float32(value), epoch, "scalars")
        for writer in self._writers.values():
            writer.flush()

    def _write(self, part: str, tag: str, value: Any, step: int, plugin: str) -> None:
        """Writes one event, without TensorBoard itself, which only shows them."""
        import tensorflow as tf

        metadata = tf.compat.v1.SummaryMetadata(
            plugin_data=tf.compat.v1.SummaryMetadata.PluginData(plugin_name=plugin)
        )
        with self._writers[part].as_default():
            tf.summary.write(tag, value, step=step, metadata=metadata)

    def _write_table(self) -> None:
        joined = self._history.joined_with(self._record)
        names = [
            phase.name for phase in self._history.phases for _ in range(phase.epochs)
        ]
        names += [self._phase] * len(self._record.epoch)
        content = io.StringIO()
        table = csv.writer(content)
        table.writerow(["epoch", "phase", *joined])
        for epoch, (name, *values) in enumerate(
            zip(names, *joined.values(), strict=True)
        ):
            table.writerow([epoch, name, *values])
        write_whole(self._folder / "epochs.csv", content.getvalue())
