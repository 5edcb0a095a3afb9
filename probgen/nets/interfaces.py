"""What a model must have to be trained, to encode and decode, and to sample.

Nothing has to be inherited: an ``nn.Module`` that has the methods is one, a user's own like
``models.VAE``. They stand in the first room that knows modules, and are ``models.Pair``,
``models.Codec`` and ``models.Generative`` too.

>>> import torch
>>> class Sampler(torch.nn.Module):
...     def sample(self, n, y=None):
...         return torch.zeros(n, 1, 8, 8)
>>> isinstance(Sampler(), Generative), isinstance(Sampler(), Pair)
(True, False)
"""

from collections.abc import Iterator
from typing import Any, Protocol, _ProtocolMeta, runtime_checkable

from torch import Tensor, nn
from torch.distributions import Distribution


class Structural(_ProtocolMeta):
    """A protocol whose ``isinstance`` asks the object itself for each name.

    From Python 3.12 it would not call ``__getattr__``, by which a module gives its parts, and
    ``torch.compile`` what it wraps.
    """

    def __instancecheck__(cls, instance: Any) -> bool:
        if isinstance(instance, type):
            return False
        kinds = [kind for kind in cls.__mro__ if getattr(kind, "_is_protocol", False)]
        names = {name for kind in kinds for name in vars(kind) if not name.startswith("_")}
        return all(hasattr(instance, name) for name in names)


@runtime_checkable
class Module(Protocol, metaclass=Structural):
    """What is asked of every ``torch.nn.Module``: its parameters and its mode."""

    training: bool

    def parameters(self, recurse: bool = True) -> Iterator[nn.Parameter]:
        """All parameters."""

    def modules(self) -> Iterator[nn.Module]:
        """The module and all its parts."""

    def eval(self) -> Any:
        """Go into evaluation mode."""


@runtime_checkable
class Pair(Module, Protocol):
    """What is trained by an ELBO: a ``torch.nn.Module`` with a Pyro model and its guide.

    It owns no loss and no optimiser. ``y`` are labels, which a pair may leave out of both
    signatures if its data have none.
    """

    def model(self, x: Tensor, y: Tensor | None = None) -> Any:
        """p(x, z), ``x`` observed."""

    def guide(self, x: Tensor, y: Tensor | None = None) -> Any:
        """q(z | x)."""


@runtime_checkable
class Encodes(Module, Protocol):
    """What gives codes: q(z | x), of which a code is the mean.

    It is called with labels only if the pair states ``classes``.
    """

    def encode(self, x: Tensor, y: Tensor | None = None) -> Distribution:
        """q(z | x) for x ``(B, *shape)``."""


@runtime_checkable
class Decodes(Module, Protocol):
    """What gives data of codes: p(x | z); called with labels as ``encode`` is."""

    def decode(self, z: Tensor, y: Tensor | None = None) -> Distribution:
        """p(x | z) for z ``(*batch, latent)``."""


@runtime_checkable
class Codec(Encodes, Decodes, Protocol):
    """What encodes and decodes, and so reconstructs."""


@runtime_checkable
class Generative(Module, Protocol):
    """What samples: a pair that can, or a GAN, which is no pair."""

    def sample(self, n: int, y: Tensor | int | None = None) -> Tensor:
        """``n`` data ``(n, *shape)``; of one label, or of one for each."""
