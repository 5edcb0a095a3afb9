"""Objectives that steer a weight until a term of the ELBO meets its target."""

import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from probgen.objectives.control import PI, Controlled, Schedule, ends
from probgen.objectives.decomposition import ObjectiveError, Terms
from probgen.objectives.elbo import ELBO

Target = float | Schedule


class _Controlled(ELBO):
    """A weight for each target, moved at each step by what that step measured.

    ``weight``, ``integral`` and ``step`` are its state.
    """

    constant = False
    weight: Tensor
    integral: Tensor
    step: Tensor

    def __init__(
        self, targets: Target | Mapping[str, Target], pi: PI, start: float, settings: Any
    ) -> None:
        super().__init__(**settings)
        self.pi, self.start = pi, start
        self.sites = tuple(targets) if isinstance(targets, Mapping) else ()
        self.targets = [*targets.values()] if isinstance(targets, Mapping) else [targets]
        if not 0 <= start < math.inf:
            raise ObjectiveError(f"expected the first weight >= 0 and finite; got {start}")
        shape = (len(self.sites),) if self.sites else ()
        state = pi.start(torch.full(shape, float(start)))
        self.register_buffer("weight", state.weight)
        self.register_buffer("integral", state.integral)
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    @abstractmethod
    def measured(self, terms: Terms) -> Tensor:
        """What the weights hold at the targets, of their shape, in nats per datum."""

    def steer(self, terms: Terms) -> None:
        """Move the weights by the error of this step."""
        measured = self.measured(terms).detach()
        if self.weight.device != measured.device:
            self.to(measured.device)
        now = self.pi(Controlled(self.integral, self.weight), measured, self.target())
        self.integral.copy_(now.integral)
        self.weight.copy_(now.weight)

    def advance(self, terms: Terms) -> None:
        """Count the step."""
        self.step += 1

    def target(self) -> Tensor:
        """The targets of the next step, of the weights' shape."""
        like = self.weight.new_zeros(())
        now = [like + (t(self.step) if callable(t) else t) for t in self.targets]
        return torch.stack(now).reshape(self.weight.shape)

    def _named(self, name: str, values: Tensor) -> dict[str, Tensor]:
        """One 0-d tensor per target for the history, named as its terms are."""
        if not self.sites:
            return {name: values}
        return {f"{name}.{s}": v for s, v in zip(self.sites, values.unbind(), strict=True)}

    def _settings(self, name: str) -> str:
        pi, targets = self.pi, dict(zip(self.sites, self.targets, strict=False))
        words: dict[str, Any] = {name: targets or self.targets[0], "kp": pi.kp, "ki": pi.ki}
        words |= {"bounds": (pi.low, pi.high), "start": self.start}
        said = [f"{word}={value}" for word, value in words.items()]
        return ", ".join(filter(None, [*said, super().extra_repr()]))


class ControlledELBO(_Controlled):
    """ELBO whose beta a PI controller moves until the KL meets its target, in nats per datum.

    -loss = E_q log p(x | z) - beta KL, beta from ``control.PI`` on the training batches' mean KL

    Args:
        target_kl: nats >= 0; or a schedule of the steps taken; or {site: number or schedule},
            a beta for each of these latent sites (the others keep the weight 1).
        kp: proportional gain.
        ki: integral gain.
        beta_min: least beta.
        beta_max: greatest beta.
        start: beta of the first step, brought within the bounds.
        settings: of ``ELBO``, such as ``num_particles``.

    Raises:
        ObjectiveError: a target that is negative or not finite, or of a site that is not there.
        ControlError: negative gains, bounds out of order.

    Source: Shao et al. 2020, ControlVAE, section 4; the controller is ``control.PI``.

    >>> ControlledELBO(target_kl=14.0).weights()
    {'beta': tensor(1.), 'target_kl': tensor(14.)}
    """

    def __init__(
        self,
        target_kl: Target | Mapping[str, Target],
        kp: float = 1.0,
        ki: float = 0.02,
        beta_min: float = 0.0,
        beta_max: float = 100.0,
        *,
        start: float = 1.0,
        **settings: Any,
    ) -> None:
        targets = target_kl if isinstance(target_kl, Mapping) else {"": target_kl}
        if not targets:
            raise ObjectiveError("expected a target or {site: target}; got no site")
        for site, target in targets.items():
            if not all(0 <= end < math.inf for end in ends(target)):
                of = f" of the site {site!r}" if site else ""
                raise ObjectiveError(f"expected a target_kl{of} >= 0 and finite; got {target}")
        super().__init__(target_kl, PI(kp, ki, beta_min, beta_max), start, settings)

    def measured(self, terms: Terms) -> Tensor:
        """Mean KL of the batch per datum, in all or of each site."""
        if not self.sites:
            return terms.total_kl.mean()
        for site in self.sites:
            if site not in terms.kl:
                raise ObjectiveError(
                    f"expected latent sites to control, of {sorted(terms.kl)}; got {site!r}"
                )
        return torch.stack([terms.kl[site].mean() for site in self.sites])

    def combine(self, terms: Terms) -> Tensor:
        """Loss per datum: beta kl - log_likelihood."""
        weighted = (self.weight.clone() * self.measured(terms)).sum()
        others = [kl.mean() for site, kl in terms.kl.items() if site not in self.sites]
        return self._penalised(terms, weighted + sum(others) if self.sites else weighted)

    def weights(self) -> dict[str, Tensor]:
        """Beta and the target of the next step; ``beta.SITE`` where there is one per site."""
        return self._named("beta", self.weight) | self._named("target_kl", self.target())

    def extra_repr(self) -> str:
        """Its settings, for a recipe."""
        return self._settings("target_kl")


class GECO(_Controlled):
    """The least KL at a reconstruction error of at most ``tolerance``, in nats per datum.

    loss = KL + lambda (error - tolerance), error = -E_q log p(x | z)

    lambda comes from ``control.PI``: it rises while the batch's error exceeds the tolerance and
    falls below it. A Gaussian's sum of squares S is in the error S / (2 sigma^2) +
    D log(sigma sqrt(2 pi)) for D values per datum.

    Args:
        tolerance: nats per datum, of either sign; or a schedule of the steps taken.
        kp: proportional gain.
        ki: integral gain.
        lambda_min: least lambda.
        lambda_max: greatest lambda.
        start: lambda of the first step, brought within the bounds.
        settings: of ``ELBO``, such as ``num_particles``.

    Raises:
        ObjectiveError: a tolerance that is not finite.
        ControlError: negative gains, bounds out of order.

    Source: Rezende & Viola 2018, Taming VAEs, equation 2 and algorithm 1, where lambda is
    multiplied by the exponential of a moving average of the constraint instead.

    >>> GECO(tolerance=100.0).weights()
    {'lambda': tensor(1.), 'target_log_likelihood': tensor(-100.)}
    """

    def __init__(
        self,
        tolerance: Target,
        kp: float = 1.0,
        ki: float = 0.02,
        lambda_min: float = 0.0,
        lambda_max: float = 100.0,
        *,
        start: float = 1.0,
        **settings: Any,
    ) -> None:
        if not all(map(math.isfinite, ends(tolerance))):
            raise ObjectiveError(f"expected a finite tolerance in nats; got {tolerance}")
        super().__init__(tolerance, PI(kp, ki, lambda_min, lambda_max), start, settings)

    def measured(self, terms: Terms) -> Tensor:
        """Mean reconstruction error of the batch per datum."""
        return -terms.log_likelihood.mean()

    def combine(self, terms: Terms) -> Tensor:
        """Loss per datum: kl + lambda (error - tolerance)."""
        excess = self.measured(terms) - self.target()
        return terms.total_kl.mean() + self._penalty(terms) + self.weight.clone() * excess

    def weights(self) -> dict[str, Tensor]:
        """Lambda, and the tolerance of the next step as a log-likelihood."""
        return {"lambda": self.weight, "target_log_likelihood": -self.target()}

    def extra_repr(self) -> str:
        """Its settings, for a recipe."""
        return self._settings("tolerance")
