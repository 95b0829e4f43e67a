"""Pictures: what image files and pixels are, and how they are read."""
