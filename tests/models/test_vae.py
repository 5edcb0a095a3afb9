"""The VAE: any net, any likelihood, and what does not fit."""

import pyro.distributions as dist
import pytest
import torch
from torch import nn

from probgen import models, nets, objectives

ENCODERS = {"dense": nets.dense_encoder, "conv": nets.conv_encoder}
DECODERS = {"dense": nets.dense_decoder, "conv": nets.conv_decoder}
LIKELIHOODS = {
    "bernoulli": models.Bernoulli,
    "fixed": lambda: models.Gaussian(0.5),
    "learned": lambda: models.Gaussian(0.5, learned=True),
    "optimal": models.OptimalGaussian,
}


def pair(net="dense", shape=(1, 8, 8), latent=3, likelihood=None):
    torch.manual_seed(0)
    return models.VAE(ENCODERS[net](shape, latent), DECODERS[net](latent, shape), likelihood)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("net", ENCODERS)
def test_gradients_reach_every_parameter(net, likelihood):

    vae = pair(net, likelihood=LIKELIHOODS[likelihood]())
    objectives.ELBO().loss_and_grads(vae.model, vae.guide, torch.rand(4, 1, 8, 8))
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in vae.parameters())


def test_samples_come_from_the_prior_through_the_decoder():
    vae = pair()
    torch.manual_seed(3)
    images = vae.sample(5)
    torch.manual_seed(3)
    expected = vae.decode(torch.randn(5, 3)).mean
    torch.testing.assert_close(images, expected)
    assert vae.reconstruct(images).shape == images.shape


def test_a_pair_survives_saving_and_loading(tmp_path):
    from safetensors.torch import load_model, save_model

    vae, other = (
        pair(likelihood=models.OptimalGaussian()),
        pair(likelihood=models.OptimalGaussian()),
    )
    nn.init.normal_(other.encoder.head.weight)
    save_model(vae, str(tmp_path / "vae.safetensors"))
    load_model(other, str(tmp_path / "vae.safetensors"))
    x = torch.rand(2, 1, 8, 8)
    torch.testing.assert_close(vae.reconstruct(x), other.reconstruct(x))


class Bare(nn.Module):
    """An encoder that does not state its shape."""

    def forward(self, x):
        return x.flatten(1)[:, :2], x.flatten(1)[:, 2:4]


def test_any_encoder_serves_once_its_shape_is_given():
    vae = models.VAE(Bare(), nets.dense_decoder(2, (4,)), shape=(4,))
    assert vae.sample(3).shape == (3, 4)
    with pytest.raises(models.ModelError, match="shape="):
        models.VAE(Bare(), nets.dense_decoder(2, (4,)))


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (
            lambda: models.VAE(nets.dense_encoder((4,), 2), nets.dense_decoder(3, (4,))),
            models.ModelError,
            r"does not take latents \(3, 2, 2\)",
        ),
        (
            lambda: models.VAE(nets.dense_encoder((4,), 2), nets.dense_decoder(2, (5,))),
            models.ModelError,
            r"to give \(\*batch, 4\); got \(3, 2, 5\)",
        ),
        (lambda: pair().model(torch.zeros(2, 1, 8, 9)), models.ModelError, r"got \(2, 1, 8, 9\)"),
        (lambda: pair().sample(0), models.ModelError, "n >= 1"),
        (lambda: pair().sample(2, y=3), models.ModelError, "no label, for an unconditional"),
        (
            lambda: models.VAE(nets.dense_encoder((4,), 2), nets.dense_decoder(2, (4,)), "gauss"),
            models.ModelError,
            "a likelihood such as Gaussian.0.1.; got 'gauss'",
        ),
        (
            lambda: models.VAE(
                nets.dense_encoder((4,), 2), nets.dense_decoder(2, (4,)), prior=dist.Normal(0, 1)
            ),
            models.ModelError,
            "a module that gives p.z. when called; got Normal",
        ),
        (lambda: models.Gaussian(-1.0), ValueError, "sigma from"),
        (lambda: models.OptimalGaussian(momentum=0.0), ValueError, "momentum"),
    ],
)
def test_what_does_not_fit_is_named(make, error, match):
    with pytest.raises(error, match=match):
        make()


def test_a_decoder_that_ends_with_a_sigmoid_is_warned_about():
    decoder = nn.Sequential(nets.dense_decoder(2, (1, 8, 8)), nn.Sigmoid())
    with pytest.warns(UserWarning, match="the likelihood takes logits"):
        models.VAE(nets.dense_encoder((1, 8, 8), 2), decoder)
    models.VAE(nets.dense_encoder((1, 8, 8), 2), decoder, models.Gaussian())


def test_channels_last_weights_train_under_plain_svi():
    import pyro
    from pyro.infer import SVI, Trace_ELBO

    vae = pair("conv").to(memory_format=torch.channels_last)
    before = [p.detach().clone() for p in vae.parameters()]
    svi = SVI(vae.model, vae.guide, pyro.optim.Adam({"lr": 1e-2}), Trace_ELBO())
    svi.step(torch.rand(4, 1, 8, 8))
    assert all(not torch.equal(a, b) for a, b in zip(vae.parameters(), before, strict=True))
