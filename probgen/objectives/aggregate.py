"""The aggregate posterior q(z) = 1/N sum_n q(z | x_n), seen from the rows of a batch."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import pyro.distributions as dist
import torch
from torch import Tensor

from probgen.objectives.decomposition import Datum, ObjectiveError, Site, sites


class BatchPosterior(NamedTuple):
    """q(z | x) of every row of a batch: its factors per latent site, and which rows count.

    Attributes:
        factors: one for each latent site that has a value per datum.
        counts: 1 for a row, 0 where it is masked, shape (rows,).
        datum: what the plates say of the rows.
    """

    factors: "list[Factors]"
    counts: Tensor
    datum: Datum

    @classmethod
    def of(
        cls, model_trace: Any, guide_trace: Any, data_size: int | None = None
    ) -> "BatchPosterior":
        """The rows of a pair of traces.

        Raises:
            ObjectiveError: not one plate over the data, no latent in it, or a latent whose
                q(z | x) does not factorise, is scaled, or is masked within a row.
        """
        _, latent, datum = sites(model_trace, guide_trace, data_size)
        if len(datum.plates) != 1:
            raise ObjectiveError(
                "expected one pyro.plate over the data, shared by what is observed and latent; "
                f"got {', '.join(sorted(datum.names)) or 'none'}"
            )
        local = [site for site in latent if datum.holds(site)]
        if not local:
            raise ObjectiveError(f"expected a latent site in the plate {next(iter(datum.names))}")
        factors = [Factors.of(site, datum) for site in local]
        counts = torch.stack([_counts(site, datum) for site in local]).prod(0)
        return cls(factors, counts.to(factors[0].value), datum)

    def values(self) -> list[Tensor]:
        """The guide's sample at each site."""
        return [factors.value for factors in self.factors]

    def at(self, index: Tensor) -> list[Tensor]:
        """The guide's sample at each site, of these rows."""
        return [factors.value.index_select(factors.row, index) for factors in self.factors]

    def log_density(self, values: Sequence[Tensor]) -> Tensor:
        """Log q(z_i | x_j) per dimension, ``(particles, i, j, d)``, of another batch's z."""
        pairs = zip(self.factors, values, strict=True)
        return torch.cat([factors.log_density(value) for factors, value in pairs], -1)

    def own(self) -> Tensor:
        """Log q(z_i | x_i) per dimension, ``(particles, i, d)``."""
        return torch.cat([factors.own() for factors in self.factors], -1)

    def means(self) -> Tensor:
        """Means of q(z | x_i), ``(i, d)``."""
        return torch.cat([factors.means() for factors in self.factors], -1)


class Factors(NamedTuple):
    """q(z | x) of one latent site, one factor per dimension, and a sample of it.

    ``each`` and ``value`` have the rows along ``row`` and particles, if any, along ``particle``.
    """

    name: str
    each: Any
    value: Tensor
    row: int
    particle: int | None

    @classmethod
    def of(cls, site: Site, datum: Datum) -> "Factors":
        """The factors of a latent site."""
        each, batch = site["fn"], len(site["fn"].batch_shape)
        while isinstance(each, dist.Independent):
            each = each.base_dist
        if each.event_shape or isinstance(each, dist.Delta):
            raise ObjectiveError(
                f"expected a density that factorises over the dimensions of {site['name']!r}; "
                f"got {type(each).__name__} of event shape {tuple(each.event_shape)}"
            )
        if not datum.scales(site):
            raise ObjectiveError(
                f"the site {site['name']!r} is scaled beyond its plate: weight the terms in the "
                "objective, not by poutine.scale"
            )
        (row,) = datum.plates
        particles = datum.of_each_particle(site).plates.keys() - {row}
        particle = min(particles) + batch if particles else None
        return cls(site["name"], each, site["value"], row + batch, particle)

    def log_density(self, value: Tensor) -> Tensor:
        """Log-density of value_i given x_j, ``(particles, i, j, d)``, of others' values."""
        crossed = value.movedim(self.row, 0).unsqueeze(self.row + 1)
        return self._arranged(self.each.log_prob(crossed), 1, 0, self.row + 1)

    def own(self) -> Tensor:
        """Log-density of value_i given x_i, ``(particles, i, d)``."""
        return self._arranged(self.each.log_prob(self.value), 0, self.row)

    def means(self) -> Tensor:
        """Means of q(z | x_i), ``(i, d)``."""
        return self._arranged(self.each.mean, 0, self.row)[0]

    def _arranged(self, values: Tensor, shift: int, *rows: int) -> Tensor:
        """Particles first, then the rows, then all that belongs to a row as one dimension."""
        if self.particle is None:
            values, front = values.unsqueeze(0), [0, *(row + 1 for row in rows)]
        else:
            front = [self.particle + shift, *rows]
        values = values.movedim(front, list(range(len(front))))
        return values.reshape(*values.shape[: len(front)], -1)


def _counts(site: Site, datum: Datum) -> Tensor:
    ((row, size),) = datum.plates.items()
    mask, device = site["mask"], site["value"].device
    if not isinstance(mask, Tensor):
        mask = torch.full((), mask is not False, device=device)
    if mask.numel() != (mask.shape[row] if mask.dim() >= -row else 1):
        raise ObjectiveError(
            f"expected rows masked as a whole at the site {site['name']!r}; got a mask of shape "
            f"{tuple(mask.shape)}"
        )
    return mask.reshape(-1).to(device).expand(size)
