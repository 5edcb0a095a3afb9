"""Features of images, by any network, kept on disk; the only owner of pretrained weights."""

from probgen.evaluation.features.classifier import Classifier, accuracy
from probgen.evaluation.features.extraction import (
    Classifies,
    Embeds,
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

__all__ = ["Classifier", "Classifies", "Embeds", "Extractor", "Features", "Inception", "Table"]
__all__ += ["accuracy", "extract", "extractor", "identity", "matched", "table"]
