"""Features of images, by any network, kept on disk; the only owner of pretrained weights."""

from probgen.evaluation.features.classifier import Classifier, accuracy
from probgen.evaluation.features.extraction import (
    Extractor,
    Features,
    Table,
    extract,
    identity,
    matched,
    table,
)
from probgen.evaluation.features.inception import Inception
from probgen.evaluation.features.named import extractor

__all__ = ["Classifier", "Extractor", "Features", "Inception", "Table", "accuracy", "extract"]
__all__ += ["extractor", "identity", "matched", "table"]
