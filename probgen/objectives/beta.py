"""The ELBO with a weight on its KL, constant or annealed by a schedule of ``control``."""

import math
from typing import Any

import torch
from torch import Tensor

from probgen.objectives.control import Schedule, ends
from probgen.objectives.decomposition import ObjectiveError, Terms
from probgen.objectives.elbo import ELBO, number


class BetaELBO(ELBO):
    """Weighted ELBO: -loss = E_q log p(x | z) - beta KL(q(z | x) || p(z)).

    Args:
        beta: a number >= 0, or a schedule of ``control`` of the steps that this object
            has taken; a second training goes on where the first stopped unless it has its own.
        settings: of ``ELBO``, such as ``num_particles``.

    Raises:
        ObjectiveError: beta negative or not finite.

    Source: Higgins et al. 2017, beta-VAE, equation 4.

    >>> BetaELBO(4.0).weights()
    {'beta': tensor(4.)}
    """

    step: Tensor

    def __init__(self, beta: float | Schedule = 1.0, **settings: Any) -> None:
        super().__init__(**settings)
        if not all(0 <= end < math.inf for end in ends(beta)):
            raise ObjectiveError(f"expected beta a finite number >= 0 or a schedule; got {beta}")
        self.beta = beta
        self.constant = not callable(beta)
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    def combine(self, terms: Terms) -> Tensor:
        """Loss per datum: beta kl - log_likelihood."""
        return self._penalised(terms, self._beta_now() * terms.total_kl.mean())

    def weights(self) -> dict[str, Tensor]:
        """The beta of the next step."""
        return {"beta": number(self._beta_now(), self.step)}

    def advance(self, terms: Terms) -> None:
        """Count the step."""
        self.step += 1

    def extra_repr(self) -> str:
        """Its settings, for a recipe."""
        beta = getattr(self.beta, "__qualname__", self.beta)
        return ", ".join(filter(None, [f"beta={beta}", super().extra_repr()]))

    def _beta_now(self) -> float | Tensor:
        return self.beta(self.step) if callable(self.beta) else self.beta
