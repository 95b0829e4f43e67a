"""What holds for backbones of any input: the table, weights files, KerasHub."""
