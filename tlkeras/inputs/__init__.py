"""What models take: how examples of each kind are read, named and compared."""
