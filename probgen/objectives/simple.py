"""The reweighted bound that diffusion models are trained with."""

from typing import Any

from torch import Tensor

from probgen.objectives.decomposition import (
    ObjectiveError,
    Program,
    Terms,
    of_traces,
    sample_sites,
)
from probgen.objectives.elbo import ELBO


class SimpleELBO(ELBO):
    """The ELBO with each step of a sum over time weighted as the pair states: L_simple.

    loss = sum_t w_t KL_t - w_1 log p(x | x_1)

    Sites in the plate over time state w_t by ``infer={"weight": w}``, of the plate's shape;
    sites without count as they are outside of it: not at all, as the KL of x_T. With the
    weights of ``models.Diffusion`` the loss is, up to a constant, the squared error of what the
    network predicts, summed over a datum, its mean over the steps. The terms themselves stay
    those of the ELBO.

    Source: Ho et al. 2020, Denoising diffusion probabilistic models, equation 14.

    >>> import torch
    >>> from probgen import denoisers, models
    >>> diffusion = models.Diffusion(denoisers.dense((2,)), levels=None)
    >>> loss = SimpleELBO().loss(diffusion.model, diffusion.guide, torch.zeros(500, 2))
    >>> float(loss) / 500 < 4
    True
    """

    def combine(self, terms: Terms) -> Tensor:
        """Loss per datum: the weighted terms and the penalties."""
        return terms.estimates["weighted"].mean() + self._penalty(terms)

    def terms(self, model: Program, guide: Program, *args: Any, **kwargs: Any) -> Terms:
        """The ELBO's terms, and the loss per datum as the estimate "weighted"."""
        parts = []
        for model_trace, guide_trace in self.traces(model, guide, *args, **kwargs):
            found = of_traces(model_trace, guide_trace, self.data_size)
            weighted = of_traces(*_weighted(model_trace, guide_trace), self.data_size)
            parts.append(found._replace(estimates={"weighted": -weighted.elbo}))
        return Terms.averaged(parts)


def _weighted(model_trace: Any, guide_trace: Any) -> tuple[Any, Any]:
    """Copies with the weights in the scales; sites that state none have weight 0."""
    sites = [*sample_sites(model_trace), *sample_sites(guide_trace)]
    stated = {site["name"]: w for site in sites if (w := site["infer"].get("weight")) is not None}
    if not stated:
        raise ObjectiveError(
            "expected sites that state infer={'weight': ...}, as models.Diffusion's do; got "
            "none: use objectives.ELBO"
        )
    copies, scales = (model_trace.copy(), guide_trace.copy()), dict[str, Any]()
    for trace in copies:
        for site in sample_sites(trace):
            name = site["name"]
            scale = scales.setdefault(name, site["scale"] * stated.get(name, 0.0))
            trace.nodes[name] = site | {"scale": scale}
    return copies
