"""From labelled images and a recipe to a `Classifier`."""
