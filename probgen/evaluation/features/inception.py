"""The Inception network that published FIDs use, by torch-fidelity."""

import hashlib
import io
from pathlib import Path

import torch
from torch import Tensor, nn

from probgen.data import DataError, fetching
from probgen.evaluation.features.extraction import Features
from probgen.evaluation.score import EvaluationError

URL = (
    "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
    "weights-inception-2015-12-05-6726825d.pth"
)
SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
FILE, SIZE = URL.rsplit("/", 1)[1], 95_628_359


class Inception(nn.Module):
    """Inception-v3 of 2015-12-05 with the weights of the original FID, converted from TensorFlow.

    ``embed`` gives the 2,048 pooled features of images (N, C, H, W), floats in [0, 1]: grey ones
    are repeated to three channels, values rounded to bytes, sizes brought to 299 x 299 by the
    bilinear resize of TensorFlow 1 (no anti-aliasing), as torch-fidelity does.

    Args:
        weights: path of weights-inception-2015-12-05-6726825d.pth, or "download" to have it
            fetched once into ``data.root()``.
        sha256: what the file's hash must be; another one is another network, and its scores
            compare with nobody's.

    Raises:
        EvaluationError: torch-fidelity is not installed, no such file, or not that file.

    Source: Szegedy et al., arXiv:1512.00567; Obukhov et al., torch-fidelity,
        doi:10.5281/zenodo.3786540.
    """

    name = "Inception-v3 2015-12-05, TF1 bilinear 299"

    def __init__(self, weights: str | Path, *, sha256: str = SHA256) -> None:
        super().__init__()
        try:
            from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
        except ImportError as error:
            raise EvaluationError(
                "Inception needs torch-fidelity: pip install 'probgen[fid]'"
            ) from error
        self.sha256 = sha256
        state = _state(_download() if weights == "download" else Path(weights), sha256)
        self.net = FeatureExtractorInceptionV3("inception", ["2048"], _reread(state))

    @staticmethod
    def fetched() -> bool:
        """Whether "download" would find the file where it was kept before."""
        return fetching.find(FILE) is not None

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, 1008) without the bias, as the inception score takes them."""
        return self._logits(self.embed(images))

    def embed(self, images: Tensor) -> Tensor:
        """Features (N, 2048)."""
        if images.dim() != 4 or images.shape[1] not in (1, 3):
            raise EvaluationError(f"expected images (N, 1 or 3, H, W); got {tuple(images.shape)}")
        pixels = (images * 255).round().to(torch.uint8)
        return self.net(pixels.expand(-1, 3, -1, -1))[0]

    @torch.no_grad()
    def probabilities(self, features: Features | Tensor) -> Tensor:
        """p(class | image) (N, 1008) of features that ``embed`` gave: no second pass."""
        values = features.values if isinstance(features, Features) else features
        return self._logits(values.to(self.net.fc.weight)).double().softmax(1).cpu()

    def _logits(self, features: Tensor) -> Tensor:
        return features @ self.net.fc.weight.T


def _state(path: Path, sha256: str) -> dict[str, Tensor]:
    """The weights, once the file has been found to be the right one; never a pickled object."""
    if not path.is_file():
        raise EvaluationError(
            f"{path} is not there: fetch {URL} and name its path, or use Inception('download')"
        )
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise EvaluationError(f"expected sha256 {sha256} of {path}; got {found}. Fetch {URL}")
    return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)


def _reread(state: dict[str, Tensor]) -> io.BytesIO:
    """The weights as torch-fidelity wants them: it unpickles, so it gets what we wrote."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return buffer


def _download() -> Path:
    def verify(part: Path) -> None:
        found = hashlib.sha256(part.read_bytes()).hexdigest()
        fetching.expect(f"sha256 {SHA256}", f"sha256 {found}")

    if not Inception.fetched():
        try:
            fetching.download(URL, FILE, SIZE, verify, [FILE])
        except DataError as error:
            raise EvaluationError(f"{error} Or name its path: Inception(PATH).") from error
    return fetching.root() / FILE
