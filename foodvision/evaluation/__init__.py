"""From a classifier and labelled pictures to numbers and charts."""

from foodvision.evaluation.report import Report, evaluate

__all__ = ["Report", "evaluate"]
