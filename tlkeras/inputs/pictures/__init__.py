"""Pictures: their backbones, and the pixels that these expect."""
