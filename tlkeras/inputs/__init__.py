"""What a model takes: one package for each kind of input."""
