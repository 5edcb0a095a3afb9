"""What a run looks like: JSON, figures and one self-contained HTML page."""

from probgen.report import figures, pictures
from probgen.report.exploration import save_data
from probgen.report.images import ReportError, interleave, save_grid
from probgen.report.runs import Run, compare, load, save, save_scores, traversal

__all__ = ["ReportError", "Run", "compare", "figures", "interleave", "load", "pictures", "save"]
__all__ += ["save_data", "save_grid", "save_scores", "traversal"]
