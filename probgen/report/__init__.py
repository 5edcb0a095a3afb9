"""What a run looks like: JSON, figures and one self-contained HTML page."""

from probgen.grids import interleave, save_grid
from probgen.report import figures, pictures
from probgen.report.exploration import save_data
from probgen.report.page import ReportError
from probgen.report.runs import Run, compare, history, load, save, traversal
from probgen.report.sampling import quarters
from probgen.report.scores import (
    metric_tables,
    save_scores,
    saved_metrics,
    side_by_side,
    tidy,
    with_way,
)

__all__ = ["ReportError", "Run", "compare", "figures", "history", "interleave", "load"]
__all__ += ["metric_tables", "pictures", "quarters", "save", "save_data", "save_grid"]
__all__ += ["save_scores", "saved_metrics", "side_by_side", "tidy", "traversal", "with_way"]
