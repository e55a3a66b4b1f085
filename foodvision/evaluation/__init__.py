"""Measure a classifier on labelled images, and write the result as numbers and charts."""

from foodvision.evaluation.evaluate import evaluate
from foodvision.evaluation.report import Report, make_report_folder

__all__ = ["Report", "evaluate", "make_report_folder"]
