"""The thing users hold: a network, its `ImageSpec` and the names of its classes."""
