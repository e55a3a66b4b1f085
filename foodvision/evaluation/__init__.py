"""Measure a classifier on labelled images, and write the result as numbers and charts."""

from foodvision.evaluation.choose import Choice, choose
from foodvision.evaluation.compare import compare
from foodvision.evaluation.comparison import Comparison
from foodvision.evaluation.evaluate import evaluate
from foodvision.evaluation.report import Report, make_report_folder

__all__ = [
    "Choice",
    "Comparison",
    "Report",
    "choose",
    "compare",
    "evaluate",
    "make_report_folder",
]
