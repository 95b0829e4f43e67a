"""Texts: their backbones, and the tokens that these expect."""
