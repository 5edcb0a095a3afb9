"""Features of images: any network, one pass, kept on disk; the only owner of pretrained weights."""

from probgen.evaluation.features.extraction import (
    Extractor,
    Features,
    Table,
    extract,
    identity,
    matched,
    table,
)

__all__ = ["Extractor", "Features", "Table", "extract", "identity", "matched", "table"]
