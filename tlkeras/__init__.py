"""Transfer learning and fine-tuning on Keras 3."""
