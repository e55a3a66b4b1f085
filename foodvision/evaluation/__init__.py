"""From a classifier and labelled images to numbers and charts."""

from foodvision.evaluation.report import Report, evaluate, make_report_folder

__all__ = ["Report", "evaluate", "make_report_folder"]
