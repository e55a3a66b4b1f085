"""Export: a classifier as a graph for other runtimes, kept only if it is equal."""
