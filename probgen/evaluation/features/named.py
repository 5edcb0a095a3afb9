"""Feature extractors by name: the one of a data set, a shipped one, a file."""

from pathlib import Path

from probgen.evaluation.features.classifier import Classifier, shipped
from probgen.evaluation.features.extraction import Extractor
from probgen.evaluation.features.inception import Inception
from probgen.evaluation.score import EvaluationError


def extractor(words: str, data: str) -> Extractor:
    """The extractor of a name.

    Args:
        words: "auto" for the shipped classifier of the data; the name of a shipped one or the path
            of a saved one; "inception", which is downloaded, or the path of its .pth file.
        data: name of the data set.

    Raises:
        EvaluationError: there is none.

    >>> from probgen.evaluation.features import identity
    >>> identity(extractor("auto", "digits")).split()[:2]
    ['Classifier', 'digits']
    """
    if words == "auto" and data not in shipped():
        raise EvaluationError(
            f"no classifier for {data} is shipped: name the features, one of "
            f"{', '.join(shipped())}, the path of one that training.fit_classifier trained, "
            "inception, or the path of its weights"
        )
    if words == "inception":
        return Inception("download")
    if words.endswith(".pth"):
        return Inception(Path(words))
    return Classifier.load(data if words == "auto" else words)
