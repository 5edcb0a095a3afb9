"""What a run looks like: JSON, figures and one self-contained HTML page."""

from probgen.report import figures, pictures
from probgen.report.exploration import save_data
from probgen.report.latents import traversal
from probgen.report.loaded import Run, history, load
from probgen.report.page import ReportError
from probgen.report.runs import compare, save
from probgen.report.samples import quarters
from probgen.report.scores import (
    metric_tables,
    save_scores,
    saved_metrics,
    side_by_side,
    tidy,
    with_way,
)
from probgen.run.grids import interleave, save_grid

__all__ = ["ReportError", "Run", "compare", "figures", "history", "interleave", "load"]
__all__ += ["metric_tables", "pictures", "quarters", "save", "save_data", "save_grid"]
__all__ += ["save_scores", "saved_metrics", "side_by_side", "tidy", "traversal", "with_way"]
