"""Model cards: what a model is, for whom, and how good, for those who will use it."""
