"""What a run looks like: JSON, figures and one self-contained HTML page."""

from probgen.report import figures, pictures
from probgen.report.exploration import save_data
from probgen.report.latent_cards import traversal
from probgen.report.loaded import Run, history, load
from probgen.report.page import ReportError
from probgen.report.run_pages import compare, save
from probgen.report.sample_cards import quarters
from probgen.report.scores import (
    mean_with_arrow,
    metric_tables,
    save_scores,
    saved_metrics,
    side_by_side,
    tidy,
    with_arrow,
)
from probgen.run.grids import interleave, save_grid

__all__ = ["ReportError", "Run", "compare", "figures", "history", "interleave", "load"]
__all__ += [
    "mean_with_arrow",
    "metric_tables",
    "pictures",
    "quarters",
    "save",
    "save_data",
    "save_grid",
]
__all__ += ["save_scores", "saved_metrics", "side_by_side", "tidy", "traversal", "with_arrow"]
