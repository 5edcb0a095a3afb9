"""Losses of two players: what a discriminator or critic minimises, and what a generator does.

D is the discriminator without a sigmoid, x are data and x' the generator's samples. Each loss
comes with the number of critic steps and the optimiser that its paper uses.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, relu, softplus

from probgen.objectives.decomposition import ObjectiveError

Parts = dict[str, Tensor]
SQUASHES = ("Sigmoid", "Softmax", "LogSoftmax", "LogSigmoid", "Tanh", "Hardsigmoid", "Hardtanh",
            "Erf", "Atan")  # fmt: skip


class Loss:
    """What the losses share: two lists of terms, each player minimising the sum of its own."""

    critic_steps: ClassVar[int] = 1
    rate: ClassVar[float] = 2e-4
    betas: ClassVar[tuple[float, float]] = (0.5, 0.999)
    reason: ClassVar[str] = "the loss applies the sigmoid itself and takes logits"

    def of_discriminator(self, d: nn.Module, x: Tensor, made: Tensor) -> Parts:
        """Terms of the discriminator's loss, by name; ``made`` has no gradient."""
        raise NotImplementedError

    def of_generator(self, d: nn.Module, made: Tensor) -> Parts:
        """Terms of the generator's loss, by name."""
        raise NotImplementedError

    def constrain(self, d: nn.Module) -> None:
        """What is done to the critic after each of its steps; nothing in most."""

    def estimates(self, parts: Parts) -> Parts:
        """What the terms of the discriminator's loss tell beside it."""
        return {}

    def optimizer(
        self, parameters: Iterable[nn.Parameter], lr: float | None = None
    ) -> torch.optim.Optimizer:
        """The paper's optimiser, for either player."""
        return torch.optim.Adam(
            parameters, self.rate if lr is None else lr, betas=self.betas, fused=True
        )

    def check(self, d: nn.Module, shape: Sequence[int]) -> None:
        """Refuse a discriminator whose scores the loss cannot take.

        Args:
            d: the discriminator.
            shape: of one datum.

        Raises:
            ObjectiveError: its scores are squashed, or else what it lacks.
        """
        squash = _squash(d, shape)
        if squash:
            raise ObjectiveError(
                f"expected unbounded scores; got a discriminator that ends with {squash}: "
                f"{self.reason}; leave the {squash.lower()} out"
            )


@dataclass(frozen=True)
class NonSaturating(Loss):
    """The original game, with the generator's loss that does not saturate.

    L_D = E softplus(-D(x)) + E softplus(D(x')),   L_G = E softplus(-D(x'))

    At the optimum sigmoid(D(x)) = p(x) / (p(x) + q(x)), q the density of samples.

    Source: Goodfellow et al. 2014, equation 1, section 3 and proposition 1; Adam: Radford et al.
    2016, section 4.

    >>> score = torch.nn.Identity()
    >>> terms = NonSaturating().of_discriminator(score, torch.zeros(3), torch.zeros(3))
    >>> sum(terms.values()).item() / torch.tensor(2.0).log().item()
    2.0
    """

    def of_discriminator(self, d: nn.Module, x: Tensor, made: Tensor) -> Parts:
        """See ``Loss``."""
        return {"d_loss_data": softplus(-d(x)).mean(), "d_loss_made": softplus(d(made)).mean()}

    def of_generator(self, d: nn.Module, made: Tensor) -> Parts:
        """See ``Loss``."""
        return {"g_loss_made": softplus(-d(made)).mean()}


@dataclass(frozen=True)
class Hinge(Loss):
    """Margins for the discriminator, its plain score for the generator.

    L_D = E max(0, 1 - D(x)) + E max(0, 1 + D(x')),   L_G = -E D(x')

    Made for spectrally normalised discriminators.

    Source: Lim & Ye 2017; Miyato et al. 2018, equations 16 and 17.

    >>> Hinge().of_discriminator(torch.nn.Identity(), torch.ones(3), -torch.ones(3))
    {'d_loss_data': tensor(0.), 'd_loss_made': tensor(0.)}
    """

    betas: ClassVar[tuple[float, float]] = (0.0, 0.9)
    reason: ClassVar[str] = "squashed scores cannot reach the margins at -1 and 1 with room to err"

    def of_discriminator(self, d: nn.Module, x: Tensor, made: Tensor) -> Parts:
        """See ``Loss``."""
        return {"d_loss_data": relu(1 - d(x)).mean(), "d_loss_made": relu(1 + d(made)).mean()}

    def of_generator(self, d: nn.Module, made: Tensor) -> Parts:
        """See ``Loss``."""
        return {"g_loss_made": -d(made).mean()}


@dataclass(frozen=True)
class Wasserstein(Loss):
    """The critic's difference of means, its weights clipped to [-clip, clip] after every step.

    L_D = E D(x') - E D(x),   L_G = -E D(x')

    Then -L_D is, up to an unknown factor, the Wasserstein distance of data and samples.

    Args:
        clip: the bound.

    Raises:
        ObjectiveError: a bound that is not above 0.

    Source: Arjovsky et al. 2017, algorithm 1: RMSprop, 5 critic steps, clip 0.01.
    """

    clip: float = 0.01
    critic_steps: ClassVar[int] = 5
    rate: ClassVar[float] = 5e-5
    reason: ClassVar[str] = (
        "a distance has no upper bound, and the difference of two means of squashed scores has"
    )

    def __post_init__(self) -> None:
        _positive("clip", self.clip)

    def of_discriminator(self, d: nn.Module, x: Tensor, made: Tensor) -> Parts:
        """See ``Loss``."""
        return {"d_loss_data": -d(x).mean(), "d_loss_made": d(made).mean()}

    def of_generator(self, d: nn.Module, made: Tensor) -> Parts:
        """See ``Loss``."""
        return {"g_loss_made": -d(made).mean()}

    def estimates(self, parts: Parts) -> Parts:
        """The distance of data and samples, E D(x) - E D(x')."""
        return {"distance": -parts["d_loss_data"] - parts["d_loss_made"]}

    @torch.no_grad()
    def constrain(self, d: nn.Module) -> None:
        """Clip the weights."""
        for parameter in d.parameters():
            parameter.clamp_(-self.clip, self.clip)

    def optimizer(
        self, parameters: Iterable[nn.Parameter], lr: float | None = None
    ) -> torch.optim.Optimizer:
        """RMSprop, which counts its steps where the parameters are."""
        parameters, rate = list(parameters), self.rate if lr is None else lr
        return torch.optim.RMSprop(parameters, rate, capturable=parameters[0].is_cuda)


@dataclass(frozen=True)
class GradientPenalty(Loss):
    """The Wasserstein critic, its slope held at 1 between data and samples.

    L_D = E D(x') - E D(x) + weight E (|grad D(u)| - 1)^2,  u = t x + (1 - t) x', t ~ U[0, 1]

    L_G = -E D(x'). For two point masses at a distance W the critic's optimal value is
    W (1 + W / (2 weight)): the penalty lets its slope exceed 1 by W / (2 weight).

    Args:
        weight: of the penalty.

    Raises:
        ObjectiveError: a weight that is not above 0, or a critic with BatchNorm.

    Source: Gulrajani et al. 2017, algorithm 1: Adam (0, 0.9), 5 critic steps, weight 10.
    """

    weight: float = 10.0
    critic_steps: ClassVar[int] = 5
    rate: ClassVar[float] = 1e-4
    betas: ClassVar[tuple[float, float]] = (0.0, 0.9)
    reason: ClassVar[str] = Wasserstein.reason

    def __post_init__(self) -> None:
        _positive("weight", self.weight)

    def of_discriminator(self, d: nn.Module, x: Tensor, made: Tensor) -> Parts:
        """See ``Loss``."""
        slope = self.slopes(d, x, made)
        return {"d_loss_data": -d(x).mean(), "d_loss_made": d(made).mean(),
                "d_loss_penalty": self.weight * (slope - 1).square().mean()}  # fmt: skip

    def of_generator(self, d: nn.Module, made: Tensor) -> Parts:
        """See ``Loss``."""
        return {"g_loss_made": -d(made).mean()}

    def estimates(self, parts: Parts) -> Parts:
        """The distance of data and samples, E D(x) - E D(x')."""
        return {"distance": -parts["d_loss_data"] - parts["d_loss_made"]}

    def slopes(self, d: nn.Module, x: Tensor, made: Tensor) -> Tensor:
        """Norms of the critic's gradient at random points between data and samples, (B,)."""
        t = torch.rand(len(x), *[1] * (x.dim() - 1), dtype=x.dtype, device=x.device)
        between = torch.lerp(made, x, t).requires_grad_()
        [gradient] = torch.autograd.grad(d(between).sum(), between, create_graph=True)
        return torch.linalg.vector_norm(gradient.flatten(1), dim=1)

    def check(self, d: nn.Module, shape: Sequence[int]) -> None:
        """See ``Loss``; BatchNorm too is refused."""
        super().check(d, shape)
        if any(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in d.modules()):
            raise ObjectiveError(
                "expected a critic without BatchNorm: the penalty holds the slope at each datum, "
                "and BatchNorm makes a score depend on the whole batch; use norm=None"
            )


@dataclass(frozen=True)
class SelfSupervised(Loss):
    """Another loss, and rotations that the discriminator tells apart on the same features.

    L_D + data E CE(r, rotation(T_r x)),   L_G + made E CE(r, rotation(T_r x'))

    T_r turns an image by r times 90 degrees. A quarter of each batch is turned in all four ways;
    the other loss sees upright images only.

    Args:
        loss: the other loss.
        data: weight of the discriminator's rotations of data.
        made: weight of the generator's rotations of samples.

    Raises:
        ObjectiveError: a weight below 0, images that are not square, or a discriminator without
            ``rotation(x) -> (B, 4)``.

    Source: Chen et al. 2019, Self-supervised GANs via auxiliary rotation loss, equation 2 and
    section 3: weights 1 and 0.2.
    """

    loss: Loss = field(default_factory=Hinge)
    data: float = 1.0
    made: float = 0.2

    def __post_init__(self) -> None:
        if not (0 <= self.data < float("inf") and 0 <= self.made < float("inf")):
            raise ObjectiveError(f"expected weights >= 0; got {self.data} and {self.made}")

    @property
    def critic_steps(self) -> int:  # type: ignore[override]
        """Those of the other loss."""
        return self.loss.critic_steps

    def of_discriminator(self, d: nn.Module, x: Tensor, made: Tensor) -> Parts:
        """See ``Loss``."""
        own = {"d_loss_rotation": self.data * _rotation_loss(d, x)}
        return self.loss.of_discriminator(d, x, made) | own

    def of_generator(self, d: nn.Module, made: Tensor) -> Parts:
        """See ``Loss``."""
        own = {"g_loss_rotation": self.made * _rotation_loss(d, made)}
        return self.loss.of_generator(d, made) | own

    def constrain(self, d: nn.Module) -> None:
        """As the other loss does."""
        self.loss.constrain(d)

    def estimates(self, parts: Parts) -> Parts:
        """The other loss's."""
        return self.loss.estimates(parts)

    def optimizer(
        self, parameters: Iterable[nn.Parameter], lr: float | None = None
    ) -> torch.optim.Optimizer:
        """The other loss's."""
        return self.loss.optimizer(parameters, lr)

    def check(self, d: nn.Module, shape: Sequence[int]) -> None:
        """See ``Loss``; images have to be square and the discriminator to have both heads."""
        self.loss.check(d, shape)
        if len(shape) != 3 or shape[1] != shape[2]:
            raise ObjectiveError(f"expected square images to turn; got items of {tuple(shape)}")
        if not hasattr(d, "rotation") or getattr(d, "rotation_head", d) is None:
            raise ObjectiveError(
                "expected a discriminator with rotation(x) -> (B, 4); got one without: "
                "players.conv_discriminator(..., rotations=True)"
            )


def rotations(x: Tensor) -> tuple[Tensor, Tensor]:
    """Each image turned by 0, 90, 180 and 270 degrees, (4 B, C, H, H), and which it was, (4 B,).

    >>> turned, r = rotations(torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]))
    >>> turned[1, 0], r
    (tensor([[2., 4.],
            [1., 3.]]), tensor([0, 1, 2, 3]))
    """
    turned = torch.cat([torch.rot90(x, r, (-2, -1)) for r in range(4)])
    return turned, torch.arange(4, device=x.device).repeat_interleave(len(x))


def _rotation_loss(d: Any, x: Tensor) -> Tensor:
    turned, r = rotations(x[: max(1, len(x) // 4)])
    return cross_entropy(d.rotation(turned), r)


def _squash(d: nn.Module, shape: Sequence[int]) -> str:
    """The squashing function that makes a discriminator's scores, read off its autograd graph.

    It may be followed by functions of its values alone: a constant factor, a mean, another shape.
    """
    like = next(d.parameters(), torch.zeros(()))
    modes = [(part, part.training) for part in d.modules()]
    try:
        with torch.enable_grad():
            x = torch.zeros(2, *shape, dtype=like.dtype, device=like.device, requires_grad=True)
            node: Any = d.eval()(x).grad_fn
    finally:
        for part, training in modes:
            part.training = training
    while node is not None:
        kind = type(node).__name__.partition("Backward")[0]
        if kind in SQUASHES:
            return kind
        before = [n for n, _ in node.next_functions if n is not None]
        node = before[0] if len(before) == 1 else None
    return ""


def _positive(name: str, value: float) -> None:
    if not 0 < value < float("inf"):
        raise ObjectiveError(f"expected {name} > 0 and finite; got {value}")
