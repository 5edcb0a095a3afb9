"""Diffusion as a pair: the forward process is the guide, the reverse process is the model."""

import copy
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Literal

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor, nn
from torch.distributions import constraints
from torch.nn.functional import pad

from probgen.models import noise
from probgen.models.base import (
    ModelError,
    Registered,
    check_count,
    check_data,
    check_range,
    check_unlabelled,
    checked_labels,
    stated,
)
from probgen.models.likelihoods import DiscretizedNormal
from probgen.models.noise import cosine
from probgen.models.samplers import Sampler, dpm_solver, even_in_time, guided
from probgen.nets.coders import dry_run

Predicts = Literal["epsilon", "v", "x0"]
PREDICTS = ("epsilon", "v", "x0")
VARIANCES = ("posterior", "beta")
STEPS = 20


class Diffusion(Registered, nn.Module):
    """x_T ~ N(0, I), x_s ~ p(x_s | x_t) step by step; the guide adds the noise.

    log p(x) >= E log p(x | x_1) - sum_t E KL(q(x_s | x_t, x) || p(x_s | x_t)) - KL(q(x_T | x) ||
    p(x_T)), s = t - 1, t = 2 ... T

    p(x_s | x_t) is q(x_s | x_t, x_0) with the network's estimate for x_0. The sum over time is
    a ``pyro.plate`` over the T steps that takes one for each datum, spread evenly over a batch:
    ``x_t`` is drawn in the guide, ``x_s`` in both with the analytic KL, and at t = 1 ``x`` is
    observed. ``objectives.ELBO`` trains the bound, ``objectives.SimpleELBO`` weighs its steps.
    In evaluation mode the weights are their moving average, and estimates of images are clipped
    to the range of the data, in the bound and in samples alike.

    Args:
        net: module from x_t ``(B, *shape)``, its log-SNR ``(B,)`` and, with classes, labels
            ``(B,)`` to ``(B, *shape)``, e.g. ``denoisers.unet``; label ``classes`` means none.
        schedule: alpha_t^2 for t = 1 ... T, falling from 1 to 0, as ``noise.cosine`` or
            ``noise.linear`` gives it; ``noise.cosine(1000)`` when not given.
        predicts: what the network estimates: "epsilon", the noise; "x0", the data; "v",
            alpha_t noise - sigma_t x_0.
        levels: of data in [0, 1] on an even grid, which are scaled to [-1, 1]; p(x | x_1) is then
            a probability, and nats become bits of a code. None for real data, as they are, with
            a Gaussian density.
        variance: of p(x_s | x_t): "beta", that of q(x_t | x_s), right for data much wider than
            the first noise, or "posterior", that of q(x_s | x_t, x_0), right for data on a point.
            p(x | x_1) has "beta" in both cases.
        unlabelled: share of the labels hidden in training, for guidance.
        decay: of the moving average of the weights, which starts faster; 0 for none.
        shape: of one datum; the network's own where it has one.
        classes: number of classes; the network's own, None without labels.

    Raises:
        ModelError: a network that does not give x_t's shape, a schedule that does not fall,
            labels that are missing or out of range, guidance without labels.

    Source: Ho et al. 2020, Denoising diffusion probabilistic models, equation 5; Kingma et al.
    2021, Variational diffusion models, appendix I.1 (even steps); Salimans & Ho 2022, appendix D
    (v); Ho & Salimans 2022 (guidance).

    >>> from probgen import denoisers, models
    >>> net = denoisers.dense((1, 8, 8), classes=10)
    >>> diffusion = models.Diffusion(net, models.noise.cosine(100))
    >>> diffusion.sample(3, 7, guidance=2.0).shape
    torch.Size([3, 1, 8, 8])
    """

    log_snr: Tensor
    updates: Tensor

    def __init__(
        self,
        net: nn.Module,
        schedule: Tensor | None = None,
        *,
        predicts: Predicts = "v",
        levels: int | None = 256,
        variance: Literal["posterior", "beta"] = "beta",
        unlabelled: float = 0.1,
        decay: float = 0.999,
        shape: Sequence[int] | None = None,
        classes: int | None = None,
    ) -> None:
        super().__init__()
        for name, value, known in (
            ("predicts", predicts, PREDICTS),
            ("variance", variance, VARIANCES),
        ):
            if value not in known:
                raise ModelError(f"expected {name} {', '.join(known)}; got {value!r}")
        for name, share in (("unlabelled", unlabelled), ("decay", decay)):
            if not 0 <= share < 1:
                raise ModelError(f"expected {name} from 0 to below 1; got {share}")
        if levels is not None and not (isinstance(levels, int) and levels >= 2):
            raise ModelError(f"expected whole levels >= 2, or None for real data; got {levels}")
        self.net, self.predicts, self.variance = net, predicts, variance
        self.unlabelled, self.decay = unlabelled, decay
        self.levels = levels
        self.shape = tuple(stated("net", net, "shape", shape))
        own = getattr(net, "classes", classes)
        if classes not in (None, own) or (own is not None and own < 1):
            raise ModelError(f"expected classes >= 1, those of the net, {own}; got {classes}")
        self.classes: int | None = own
        self._check_net()
        alphas = _checked(cosine(1000) if schedule is None else schedule)
        like = next(net.parameters(), torch.zeros(()))
        log_snr = alphas.logit().to(like)
        self.register_buffer("log_snr", log_snr, persistent=False)
        self.register_buffer("updates", torch.zeros((), device=like.device))
        self.average = _frozen(net) if decay else None

    @property
    def steps(self) -> int:
        """T."""
        return len(self.log_snr)

    @property
    def support(self) -> constraints.Constraint:
        """Values a datum may take."""
        return constraints.unit_interval if self.levels is not None else constraints.real

    def model(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """p(x_T), p(x_s | x_t) and p(x | x_1), ``x`` observed."""
        check_data(x, self.shape)
        self._register("net")
        if self.training and torch.is_grad_enabled():
            self._follow()
        labels = self._hidden(self._labels(y, x.shape[:1]))
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("x_T", self._standard(x))
            with self._time(x) as t:
                x_t = pyro.sample("x_t", self._standard(x, mask=False))
                x_0 = self.denoise(x_t, self._noise(t), labels)
                pyro.sample("x_s", self._reverse(x_t, x_0, t))
                observed = self._decoder(x_0, t).mask(t == 0)
                return pyro.sample("x", observed, obs=x, infer=self._step(t))

    def guide(self, x: Tensor, y: Tensor | None = None) -> None:
        """q(x_T | x), q(x_t | x) and q(x_s | x_t, x); the density of x_t counts in no term."""
        check_data(x, self.shape)
        x_0 = self._scaled(x)
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("x_T", self._normal(*noise.marginal(x_0, self.log_snr[-1])))
            with self._time(x) as t:
                mean, scale = noise.marginal(x_0, self._over(self._noise(t)))
                x_t = pyro.sample("x_t", self._normal(mean, scale, False))
                pyro.sample("x_s", self._reverse(x_t, x_0, t, "posterior"), infer=self._step(t))

    def denoise(
        self, x_t: Tensor, log_snr: Tensor, y: Tensor | None = None, guidance: float = 1.0
    ) -> Tensor:
        """Estimate of x_0, shape as x_t, in [-1, 1] for data with levels.

        Args:
            x_t: ``(*batch, *shape)``.
            log_snr: of x_t, broadcast to ``batch``.
            y: labels, broadcast to ``batch``; None for no label.
            guidance: scale of classifier-free guidance, as for ``sample``.
        """
        self._check_guidance(guidance, y)
        log_snr = log_snr.expand(x_t.shape[: x_t.dim() - len(self.shape)])
        x_0 = self._estimate(x_t, log_snr, y)
        if guidance != 1.0:
            x_0 = guided(x_0, self._estimate(x_t, log_snr, None), guidance)
        return x_0.clamp(-1, 1) if self.levels is not None and not self.training else x_0

    @torch.no_grad()
    def sample(
        self,
        n: int,
        y: Tensor | int | None = None,
        *,
        steps: int | None = None,
        sampler: Sampler = dpm_solver,
        guidance: float = 1.0,
    ) -> Tensor:
        """Draws of x, ``(n, *shape)``.

        Draws of the model itself, which the ELBO bounds, take ``steps=diffusion.steps`` and
        ``sampler=partial(samplers.ancestral, variance=diffusion.variance)``; 20 steps of
        DPM-Solver++ come close to them.

        Args:
            n: how many.
            y: one label for all, or one for each; None draws them uniformly.
            steps: evaluations of the network, at most T; 20 when not given, or T if that is less.
            sampler: ``samplers.ancestral``, ``samplers.ddim``, ``samplers.dpm_solver``, or any
                function of (denoise, log-SNRs from noise to data, x_T), with an attribute
                ``spread`` or without.
            guidance: scale of classifier-free guidance: 1 for none, 0 to ignore the label, more
                than 1 to lean towards it.
        """
        check_count(n)
        if not callable(sampler):
            raise ModelError(f"expected a sampler such as samplers.ddim; got {sampler!r}")
        labels = self._wanted(n, y)
        self._check_guidance(guidance, labels)
        path = self.path(min(STEPS, self.steps) if steps is None else steps, sampler)
        denoise = partial(self._denoised, y=labels, guidance=guidance)
        like = next(self.net.parameters(), self.log_snr)
        x_0 = sampler(denoise, path, torch.randn(n, *self.shape).to(like))
        return (x_0 + 1) / 2 if self.levels is not None else x_0

    def path(self, steps: int, sampler: Sampler | None = None) -> Tensor:
        """Log-SNRs (steps + 1,) from noise to data, the last infinite.

        They are spread as the sampler says, ``samplers.even_in_time`` if it does not.

        Raises:
            ModelError: fewer than one step, or more than the model was trained with.
        """
        if not (isinstance(steps, int) and 1 <= steps <= self.steps):
            raise ModelError(
                f"expected steps from 1 to {self.steps}, those of training; got {steps!r}"
            )
        function = getattr(sampler, "func", sampler)  # of a partial
        spread = getattr(function, "spread", even_in_time)
        return pad(self.log_snr[spread(self.log_snr, steps)], (0, 1), value=torch.inf)

    def _denoised(self, x_t: Tensor, log_snr: Tensor, y: Tensor | None, guidance: float) -> Tensor:
        return self.denoise(x_t, log_snr, y, guidance)

    def _time(self, x: Tensor) -> Any:
        """The sum over steps: one for each datum, (1, B), spread evenly over them."""
        size, device = len(x), x.device
        first = torch.randint(self.steps, (1, 1), device=device)
        spacing = torch.randperm(size, device=device) * self.steps // size
        return pyro.plate("time", self.steps, subsample=(first + spacing) % self.steps, dim=-2)

    def _noise(self, t: Tensor) -> Tensor:
        """Log-SNR of x_t; t counts from 0."""
        return self.log_snr[t]

    def _less_noise(self, t: Tensor) -> Tensor:
        """Log-SNR of x_s, infinite for the data themselves."""
        return pad(self.log_snr, (1, 0), value=torch.inf)[t]

    def _step(self, t: Tensor) -> Any:
        """What objectives and evaluators may know of a step: its number, T, and a weight.

        The weighted sum over time is, up to a constant, the mean of the network's squared error,
        summed over a datum.
        """
        now, less = self._noise(t), self._less_noise(t)
        known = less.sigmoid() * noise.share(now, less).square()
        last = noise.step_scale(now, less).square()
        if self.variance == "posterior":
            own = (-less).sigmoid() * noise.share(now, less)
            last = torch.where(t == 0, last, own)
        error = {"epsilon": now.exp(), "v": 1 / (-now).sigmoid(), "x0": torch.ones_like(now)}
        weight = 2 * last * error[self.predicts] / (known * self.steps)
        return {"step": t, "steps": self.steps, "weight": weight}

    def _reverse(self, x_t: Tensor, x_0: Tensor, t: Tensor, variance: str = "") -> Any:
        """q(x_s | x_t, x_0), or p with its own variance; left out at t = 1, where x is x_s."""
        now, less = self._over(self._noise(t)), self._over(self._less_noise(t))
        mean, scale = noise.posterior(x_t, x_0, now, less)
        if (variance or self.variance) == "beta":
            scale = noise.step_scale(now, less)
        scale = torch.where(self._over(t) > 0, scale, 1.0)
        return self._normal(mean, scale, t > 0)

    def _decoder(self, x_0: Tensor, t: Tensor) -> Any:
        """p(x | x_1)."""
        scale = noise.step_scale(self.log_snr[0], torch.full_like(self.log_snr[0], torch.inf))
        if self.levels is None:
            return self._normal(x_0, scale)
        each = DiscretizedNormal((x_0 + 1) / 2, scale / 2, self.levels)
        return each.to_event(len(self.shape))

    def _standard(self, x: Tensor, mask: Any = True) -> Any:
        return self._normal(torch.zeros_like(x), torch.ones_like(x), mask)

    def _normal(self, mean: Tensor, scale: Tensor, mask: Any = True) -> Any:
        return dist.Normal(mean, scale).to_event(len(self.shape)).mask(mask)

    def _over(self, value: Tensor) -> Tensor:
        """A value per datum, in the shape that multiplies data."""
        return value[(..., *[None] * len(self.shape))]

    def _scaled(self, x: Tensor) -> Tensor:
        return 2 * x - 1 if self.levels is not None else x

    def _estimate(self, x_t: Tensor, log_snr: Tensor, y: Tensor | None) -> Tensor:
        """x_0 by the network; ``log_snr`` is of the batch's shape."""
        batch = log_snr.shape
        given: tuple[Tensor, ...] = (x_t.reshape(-1, *self.shape), log_snr.reshape(-1))
        if self.classes is not None:
            none = torch.full((), self.classes, device=x_t.device)
            given += ((none if y is None else y).expand(batch).reshape(-1),)
        net = self.net if self.training or self.average is None else self.average
        out = net(*given).to(x_t.dtype).reshape(x_t.shape)
        alpha, sigma = (self._over(sign * log_snr).sigmoid().sqrt() for sign in (1, -1))
        if self.predicts == "epsilon":
            return (x_t - sigma * out) / alpha
        return alpha * x_t - sigma * out if self.predicts == "v" else out

    def _follow(self) -> None:
        """One step of the moving average."""
        if self.average is None:
            return
        self.updates += 1
        weight = 1 - torch.clamp(self.updates / (self.updates + 9), max=self.decay)
        for mean, value in zip(_tensors(self.average), _tensors(self.net), strict=True):
            if mean.is_floating_point():
                mean.lerp_(value.detach(), weight.to(mean.dtype))
            else:
                mean.copy_(value)

    def _hidden(self, y: Tensor | None) -> Tensor | None:
        """The labels, some of them hidden in training."""
        hides = self.unlabelled and self.training and torch.is_grad_enabled()
        if y is None or self.classes is None or not hides:
            return y
        hidden = torch.rand(y.shape, device=y.device) < self.unlabelled
        return torch.where(hidden, self.classes, y)

    def _labels(self, y: Tensor | None, batch: torch.Size) -> Tensor | None:
        """The labels, one per datum."""
        if self.classes is None:
            return None
        return checked_labels(y, batch, self.classes).expand(batch)

    def _wanted(self, n: int, y: Tensor | int | None) -> Tensor | None:
        """Labels of samples."""
        if self.classes is None:
            check_unlabelled(y)
            return None
        device = self.log_snr.device
        if y is None:
            return torch.randint(self.classes, (n,), device=device)
        labels = checked_labels(torch.as_tensor(y, device=device), torch.Size([n]), self.classes)
        check_range(labels, self.classes)
        return labels.expand(n)

    def _check_guidance(self, guidance: float, y: Tensor | None) -> None:
        if guidance == 1.0:
            return
        if not 0 <= guidance < float("inf"):
            raise ModelError(f"expected guidance >= 0 and finite; got {guidance}")
        if y is None:
            raise ModelError(
                f"expected guidance 1, none, for a model without labels; got {guidance}: train "
                "one with a net of classes=, e.g. denoisers.unet(..., classes=10)"
            )
        if not self.unlabelled:
            raise ModelError(
                f"expected guidance 1, none: this model was trained with unlabelled=0 and knows "
                f"no data without a label; got {guidance}"
            )

    def _check_net(self) -> None:
        like = next(self.net.parameters(), torch.zeros(()))
        x = like.new_zeros(2, *self.shape)
        given: tuple[Tensor, ...] = (x, like.new_zeros(2))
        if self.classes is not None:
            given += (torch.full((2,), self.classes, device=like.device),)
        try:
            found = dry_run(self.net, *given)
        except (RuntimeError, TypeError, IndexError) as error:
            what = "x_t, log-SNRs and labels" if self.classes is not None else "x_t and log-SNRs"
            raise ModelError(f"the net takes no {what} of two data: {error}") from error
        if found.shape != x.shape:
            wanted, got = tuple(x.shape), tuple(found.shape)
            raise ModelError(f"expected the net to give {wanted} for two data; got {got}")


def _checked(schedule: Tensor) -> Tensor:
    if not isinstance(schedule, Tensor):
        raise ModelError(f"expected a schedule such as noise.cosine(1000); got {schedule!r}")
    alphas = schedule.double()  # as_tensor would take it to a device that is set by default
    falls = bool((alphas.diff() < 0).all() and ((alphas > 0) & (alphas < 1)).all())
    if alphas.dim() != 1 or len(alphas) < 1 or not falls:
        raise ModelError(
            "expected a schedule alpha_t^2 (T,), falling between 1 and 0, such as "
            f"noise.cosine(1000); got shape {tuple(alphas.shape)}, first and last "
            f"{alphas.flatten()[[0, -1]].tolist() if alphas.numel() else 'none'}"
        )
    return alphas


def _frozen(net: nn.Module) -> nn.Module:
    """A copy whose parameters are buffers, which no optimiser sees."""
    other = copy.deepcopy(net)
    for module in other.modules():
        for name, parameter in [*module._parameters.items()]:
            del module._parameters[name]
            module.register_buffer(name, None if parameter is None else parameter.detach())
    return other


def _tensors(net: nn.Module) -> Iterator[Tensor]:
    """Buffers and parameters of each module, in the order of a frozen copy's buffers."""
    for module in net.modules():
        for tensor in (*module._buffers.values(), *module._parameters.values()):
            if tensor is not None:
                yield tensor
