"""Texts: what a text must be, and which texts are nearly the same."""
