"""Measure a classifier, or check a dataset, and write the result as numbers, charts and pages."""

from foodvision.evaluation.calibrate import calibrate
from foodvision.evaluation.check import check
from foodvision.evaluation.choose import Choice, choose
from foodvision.evaluation.compare import compare
from foodvision.evaluation.comparison import Comparison
from foodvision.evaluation.evaluate import evaluate
from foodvision.evaluation.findings import Findings
from foodvision.evaluation.report import Report, make_report_folder

__all__ = [
    "Choice",
    "Comparison",
    "Findings",
    "Report",
    "calibrate",
    "check",
    "choose",
    "compare",
    "evaluate",
    "make_report_folder",
]
