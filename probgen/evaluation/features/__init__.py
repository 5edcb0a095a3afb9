"""Features of images, by any network, kept on disk; the only owner of pretrained weights."""

from probgen.evaluation.features.classifier import Classifier, accuracy
from probgen.evaluation.features.extraction import (
    Classifies,
    Embeds,
    Extractor,
    Features,
    FeaturesLike,
    as_features,
    extract,
    identity,
    matched,
)
from probgen.evaluation.features.inception import Inception
from probgen.evaluation.features.named import extractor

__all__ = ["Classifier", "Classifies", "Embeds", "Extractor", "Features", "FeaturesLike"]
__all__ += ["Inception", "accuracy", "as_features", "extract", "extractor", "identity", "matched"]
