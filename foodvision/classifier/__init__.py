"""The thing users hold: a network, its `ImageSpec` and the names of its classes."""

from foodvision.classifier.classifier import Classifier, Prediction

__all__ = ["Classifier", "Prediction"]
