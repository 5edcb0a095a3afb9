"""ELBOs whose KL has a target or a floor instead of a weight alone."""

import math
from typing import Any, Literal

import torch
from torch import Tensor

from probgen.objectives.control import Schedule, ends
from probgen.objectives.decomposition import ObjectiveError, Terms
from probgen.objectives.elbo import ELBO, number


class CapacityELBO(ELBO):
    """ELBO that holds the KL at a capacity: -loss = E_q log p(x | z) - gamma |KL - C|.

    The KL is the batch's mean per datum. At C = 0 it is ``BetaELBO(gamma)`` as long as that mean
    is positive, which a sampled KL may miss.

    Args:
        gamma: weight >= 0 of the distance; the KL stays at C only where gamma is above the beta
            that would lead there.
        capacity: nats per datum >= 0, or a schedule of the steps that this object has taken.
        settings: of ``ELBO``, such as ``num_particles``.

    Raises:
        ObjectiveError: gamma or capacity negative or not finite.

    Source: Burgess et al. 2018, Understanding disentangling in beta-VAE, equation 8.

    >>> from probgen.objectives.control import Linear
    >>> CapacityELBO(100.0, Linear(0.0, 25.0, steps=100_000)).weights()
    {'target_kl': tensor(0.)}
    """

    step: Tensor

    def __init__(self, gamma: float, capacity: float | Schedule, **settings: Any) -> None:
        super().__init__(**settings)
        for name, value in (("gamma", gamma), ("capacity", capacity)):
            if not all(0 <= end < math.inf for end in ends(value)):
                raise ObjectiveError(f"expected {name} >= 0 and finite; got {value}")
        self.gamma, self.capacity = gamma, capacity
        self.constant = not callable(capacity)
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    def combine(self, terms: Terms) -> Tensor:
        """Loss per datum: gamma |kl - C| - log_likelihood."""
        distance = (terms.total_kl.mean() - self._capacity_now()).abs()
        return self._penalised(terms, self.gamma * distance)

    def weights(self) -> dict[str, Tensor]:
        """The capacity of the next step, the KL's target."""
        return {"target_kl": number(self._capacity_now(), self.step)}

    def advance(self, terms: Terms) -> None:
        """Count the step."""
        self.step += 1

    def extra_repr(self) -> str:
        """Its settings, for a recipe."""
        words = f"gamma={self.gamma}, capacity={self.capacity}"
        return ", ".join(filter(None, [words, super().extra_repr()]))

    def _capacity_now(self) -> float | Tensor:
        return self.capacity(self.step) if callable(self.capacity) else self.capacity


class FreeBitsELBO(ELBO):
    """ELBO whose KL costs nothing below a floor: KL -> sum_j max(lambda, KL_j).

    KL_j is the batch's mean of one group of latent dimensions, per datum: below the floor it has
    no gradient, so that the group is free to use lambda nats. With lambda = 0 it is ``ELBO``,
    but for the samples of a KL that come out negative.

    Args:
        lambda_: nats per group >= 0.
        per: what a group is: a "dimension", a "group" of dimensions or a latent "site". The first
            two need sites whose KL factorises, with the prior and the guide Normal ``to_event``.
        group_size: dimensions per "group", consecutive ones of a site (of an event (C, H, W),
            H W make a feature map a group).
        settings: of ``ELBO``, such as ``num_particles``.

    Raises:
        ObjectiveError: lambda_ negative or not finite, ``per`` unknown, or a site whose KL has no
            dimensions or not a multiple of ``group_size``.

    Source: Kingma et al. 2016, Improved variational inference with inverse autoregressive flow,
    equation 15.

    >>> FreeBitsELBO(0.5)
    FreeBitsELBO(lambda_=0.5, per=dimension)
    """

    def __init__(
        self,
        lambda_: float,
        per: Literal["dimension", "group", "site"] = "dimension",
        *,
        group_size: int | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        if not 0 <= lambda_ < math.inf:
            raise ObjectiveError(f"expected lambda_ >= 0 and finite; got {lambda_}")
        if per not in ("dimension", "group", "site"):
            raise ObjectiveError(f"expected per dimension, group or site; got {per!r}")
        if (per == "group") != (group_size is not None) or (group_size or 1) < 1:
            raise ObjectiveError(
                f"expected group_size >= 1 for per='group' alone; got {group_size} for {per!r}"
            )
        self.lambda_, self.per, self.group_size = lambda_, per, group_size

    def combine(self, terms: Terms) -> Tensor:
        """Loss per datum: the sum of max(lambda, kl_j), less log_likelihood."""
        groups = torch.cat([self._groups(terms, site) for site in terms.kl] or [torch.zeros(0)])
        return self._penalised(terms, groups.clamp(min=self.lambda_).sum())

    def extra_repr(self) -> str:
        """Its settings, for a recipe."""
        words = [f"lambda_={self.lambda_}", f"per={self.per}"]
        size = "" if self.group_size is None else f"group_size={self.group_size}"
        return ", ".join(filter(None, [*words, size, super().extra_repr()]))

    def _groups(self, terms: Terms, site: str) -> Tensor:
        """Mean KL per datum of each group of a site, (groups,)."""
        if self.per == "site":
            return terms.kl[site].mean().reshape(1)
        if site not in terms.kl_per_dim:
            raise ObjectiveError(
                f"expected a KL per dimension at the site {site!r}; it has one for the whole "
                "site only: use per='site'"
            )
        per_dim = terms.kl_per_dim[site]
        size = self.group_size or 1
        if per_dim.shape[-1] % size:
            raise ObjectiveError(
                f"expected the dimensions of the site {site!r} in groups of {size}; got "
                f"{per_dim.shape[-1]}"
            )
        return per_dim.flatten(0, -2).mean(0).unflatten(0, (-1, size)).sum(-1)
