"""Judging a model: numbers with error bars and floors, a verdict in plain words, and a page that shows both."""

from reverie.evaluation.comparison import Comparison, compare
from reverie.evaluation.doctor import diagnose
from reverie.evaluation.features import FEATURES, Features
from reverie.evaluation.page import page
from reverie.evaluation.report import Evaluation, evaluate
from reverie.evaluation.verdict import Finding, judge

__all__ = [
    "FEATURES",
    "Comparison",
    "Evaluation",
    "Features",
    "Finding",
    "compare",
    "diagnose",
    "evaluate",
    "judge",
    "page",
]
