"""Nets and model/guide pairs."""

import math

import pyro.distributions as dist
import pytest
import torch
from torch import nn

from probgen import data, models, nets, objectives, training
from probgen.models.priors import GaussianMixture
from probgen.run import Folder

SHAPES = [(1, 8, 8), (3, 9, 15), (1, 28, 28), (2, 64, 33)]
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


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("net", ENCODERS)
def test_nets_take_any_shape_and_decoders_any_batch(net, shape):
    encoder, decoder = ENCODERS[net](shape, 3), DECODERS[net](3, shape)
    loc, log_scale = encoder(torch.zeros(5, *shape))
    assert loc.shape == log_scale.shape == (5, 3)
    for batch in [(), (5,), (2, 5), (2, 1, 5)]:
        assert decoder(torch.zeros(*batch, 3)).shape == (*batch, *shape)


@pytest.mark.parametrize("net", ENCODERS)
def test_particles_are_decoded_as_one_by_one(net):
    decoder, z = DECODERS[net](3, (1, 9, 8)), torch.randn(4, 2, 3)
    torch.testing.assert_close(decoder(z), torch.stack([decoder(row) for row in z]))


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("net", ENCODERS)
def test_gradients_reach_every_parameter(net, likelihood):
    from probgen import objectives

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


def test_bernoulli_is_the_cross_entropy_in_value_and_gradient():
    logits = torch.cat([torch.linspace(-200, 200, 401), torch.tensor([1e-8])]).requires_grad_()
    x = torch.rand(402)
    exact = logits.detach().double().requires_grad_()
    reference = nn.functional.binary_cross_entropy_with_logits
    expected = -reference(exact, x.double(), reduction="none")
    found = models.Bernoulli()(logits).log_prob(x)
    rounding = torch.finfo(torch.float32).eps * (1 + logits.abs())
    assert ((found - expected).abs() <= rounding).all()
    (ours,) = torch.autograd.grad(found.sum(), logits)
    (theirs,) = torch.autograd.grad(expected.sum(), exact)
    torch.testing.assert_close(ours.double(), theirs, rtol=1e-6, atol=1e-7)


def test_bernoulli_is_differentiable_twice_and_vectorised():
    logits = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    x = torch.rand(3, 4, dtype=torch.float64, requires_grad=True)

    def log_prob(logits, x):
        return models.Bernoulli()(logits).log_prob(x)

    assert torch.autograd.gradcheck(log_prob, (logits, x))
    assert torch.autograd.gradgradcheck(log_prob, (logits, x))
    torch.testing.assert_close(torch.func.vmap(log_prob)(logits, x), log_prob(logits, x))


def test_gaussian_of_half_variance_is_the_sum_of_squares():
    mean, x = torch.randn(4, 5), torch.randn(4, 5)
    log_prob = models.Gaussian(math.sqrt(0.5))(mean).log_prob(x).sum()
    expected = -(x - mean).square().sum() - 10 * math.log(math.pi)
    torch.testing.assert_close(log_prob, expected)


def test_optimal_sigma_is_the_maximum_likelihood_one():
    likelihood = models.OptimalGaussian(momentum=0.5)
    mean, x = torch.zeros(1000), 3 * torch.randn(1000)
    in_training = likelihood(mean, x)
    torch.testing.assert_close(in_training.stddev[0], x.square().mean().sqrt())
    for sigma in (0.9 * in_training.stddev, 1.1 * in_training.stddev):
        other = torch.distributions.Normal(mean, sigma)
        assert in_training.log_prob(x).sum() > other.log_prob(x).sum()
    torch.testing.assert_close(likelihood.variance, x.square().mean())
    likelihood.eval()
    torch.testing.assert_close(likelihood(mean, 5 * x).stddev, in_training.stddev)


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
    ("make", "match"),
    [
        (lambda: nets.dense_encoder((1, 8, 8), 0), "latent >= 1; got 0"),
        (lambda: nets.dense_decoder(3, (1, 0, 8)), "shape of positive sizes"),
        (lambda: nets.dense_encoder((4,), 2, hidden=(-1,)), "hidden of positive sizes"),
        (lambda: nets.conv_encoder((1, 7, 8), 2), "sides >= 8; got .1, 7, 8."),
        (lambda: nets.conv_encoder((8, 8), 2), "channels, height, width"),
        (lambda: nets.conv_decoder(2, (1, 8, 8), channels=(4, 4, 4, 4)), "1 to 3 channels"),
        (lambda: nets.conv_encoder((1, 8, 8), 2, channels=()), "1 to 3 channels; got 0"),
        (lambda: nets.Encoder((4,), 2, nn.Unflatten(1, (2, 2))), "features"),
        (lambda: nets.Decoder(2, (5,), nn.Linear(2, 4)), r"got \(2, 4\)"),
        (lambda: nets.dense_encoder((4,), 2)(torch.zeros(3, 5)), r"got \(3, 5\)"),
        (lambda: nets.dense_decoder(2, (4,))(torch.zeros(3, 5)), r"got \(3, 5\)"),
        (lambda: nets.dense_encoder((4,), 2)(torch.zeros(3, 4).byte()), "floats; got torch.uint8"),
        (lambda: nets.dense_encoder((4,), 2, hidden=100), "hidden a tuple, .* got 100"),
    ],
)
def test_impossible_nets_are_refused(make, match):
    with pytest.raises(nets.NetError, match=match):
        make()


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


def test_continuous_bernoulli_is_a_density():
    x = torch.linspace(0, 1, 20_001, dtype=torch.float64)
    for logit in (-5.0, 0.0, 1e-4, 3.0):
        logits = torch.tensor(logit, dtype=torch.float64)
        density = models.ContinuousBernoulli()(logits).log_prob(x).exp()
        torch.testing.assert_close(torch.trapezoid(density, x).item(), 1.0, rtol=0, atol=1e-6)


@pytest.mark.parametrize("loc", [-0.2, 0.0, 0.31, 1.1])
@pytest.mark.parametrize("scale", [0.002, 0.05, 1.0])
def test_discretized_logistic_is_a_distribution_over_the_levels(loc, scale):
    levels = torch.arange(256, dtype=torch.float64) / 255
    likelihood = models.DiscretizedLogistic(scale).double()
    found = likelihood(torch.tensor(loc, dtype=torch.float64))
    p = found.log_prob(levels).exp()
    torch.testing.assert_close(p.sum().item(), 1.0, rtol=0, atol=1e-6)
    assert abs((p * levels).sum() - found.mean) <= 0.5 / 255
    torch.manual_seed(0)
    draws = found.sample((20_000,))
    torch.testing.assert_close(draws * 255, (draws * 255).round())
    assert abs(draws.mean() - (p * levels).sum()) < 5 * draws.std() / 20_000**0.5 + 1e-4


def test_a_flow_prior_is_a_density_and_a_sampler_of_it():
    torch.manual_seed(0)
    flow = models.FlowPrior(2, layers=3, hidden=8)
    for coupling in flow.couplings:
        nn.init.normal_(coupling.net[-1].weight, std=0.1)
    side = torch.linspace(-9, 9, 361)
    grid = torch.cartesian_prod(side, side)
    mass = flow().log_prob(grid).exp()
    torch.testing.assert_close((mass.sum() * 0.05**2).item(), 1.0, rtol=0, atol=2e-3)
    z = flow().sample((20_000,))
    torch.testing.assert_close(
        z.mean(0), (mass[:, None] * grid).sum(0) * 0.05**2, rtol=0, atol=0.05
    )


def test_a_flow_prior_starts_at_the_normal_one_and_keeps_no_old_density():
    torch.manual_seed(0)
    flow, z = models.FlowPrior(5), torch.randn(100, 5)
    torch.testing.assert_close(
        flow().log_prob(z), models.StandardNormal(5)().log_prob(z), atol=0.2, rtol=0
    )
    before = flow().log_prob(z)
    before.sum().backward()
    torch.optim.SGD(flow.parameters(), lr=1e-3).step()
    assert (flow().log_prob(z) != before).all()


def test_a_mixture_is_its_components_summed():
    """Also far from the origin with small scales, where expanded squares cancel."""
    torch.manual_seed(0)
    loc, log_scale, logits = 20 + torch.randn(6, 3), torch.randn(6, 3) - 3, torch.randn(6)
    ours = GaussianMixture(loc, log_scale, logits)
    parts = dist.Normal(loc.double(), log_scale.double().exp()).to_event(1)
    exact = dist.MixtureSameFamily(dist.Categorical(logits=logits.double()), parts)
    z = exact.sample((50, 4)).float()
    torch.testing.assert_close(ours.log_prob(z).double(), exact.log_prob(z), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(ours.expand((4,)).log_prob(z), ours.log_prob(z))
    many = ours.sample((200_000,)).double()
    torch.testing.assert_close(many.mean(0), exact.mean, rtol=0, atol=0.02)
    torch.testing.assert_close(many.var(0), exact.variance, rtol=0.02, atol=0)


def test_a_prior_per_class_is_that_classes_mixture():
    torch.manual_seed(0)
    prior, y = models.MixturePrior(2, 3, classes=4), torch.tensor([2, 0, 2])
    torch.nn.init.normal_(prior.logits)
    z = torch.randn(3, 2)
    for row, label, found in zip(z, y, prior(y).log_prob(z), strict=True):
        own = slice(3 * label, 3 * label + 3)
        alone = GaussianMixture(prior.loc[own], prior.log_scale[own], prior.logits[own])
        torch.testing.assert_close(found, alone.log_prob(row))
    drawn = prior(torch.tensor(2)).expand((50_000,)).sample()
    weights = prior.logits[6:9].softmax(0)
    torch.testing.assert_close(drawn.mean(0), weights @ prior.loc[6:9], rtol=0, atol=0.03)


def test_the_vampprior_is_the_mixture_of_the_posteriors():
    u, z = torch.rand(5, 1, 8, 8), torch.randn(7, 3)
    vae = models.VampPriorVAE(
        nets.dense_encoder((1, 8, 8), 3), nets.dense_decoder(3, (1, 8, 8)), pseudo_inputs=u
    )
    each = torch.stack([vae.encode(vae.latent_prior()).log_prob(row) for row in z])
    torch.testing.assert_close(vae.prior().log_prob(z), each.logsumexp(1) - math.log(5))
    torch.testing.assert_close(vae.latent_prior(), u.clamp(0.02, 0.98))
    assert vae.encode(1e4 * torch.rand(2, 1, 8, 8)).base_dist.scale.log().abs().max() <= 3.0


def test_ista_converges_to_the_lasso():
    from sklearn.linear_model import Lasso

    torch.manual_seed(0)
    ista = models.UnrolledISTA((30,), atoms=50, steps=10_000, penalty=0.3).double().eval()
    x = torch.randn(4, 30, dtype=torch.float64)
    code = ista(x)[0].detach()
    dictionary = ista.dictionary.detach().numpy()
    for row, found in zip(x, code, strict=True):
        lasso = Lasso(alpha=0.3 / 30, fit_intercept=False, tol=1e-12, max_iter=100_000)
        expected = torch.as_tensor(lasso.fit(dictionary, row.numpy()).coef_)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
        assert torch.equal(found == 0, expected == 0)


def test_the_step_of_ista_stays_where_it_converges():
    torch.manual_seed(0)
    ista = models.UnrolledISTA((30,), atoms=50)
    for free in (-50.0, 0.0, 50.0):
        nn.init.constant_(ista.free_step, free)
        bound = ista._bound(ista.dictionary)
        assert bound > 0.499 * torch.linalg.matrix_norm(ista.dictionary, 2) ** 2


def test_the_codebook_is_a_moving_average_and_revives_the_dead():
    from probgen.models.vq import Codebook

    torch.manual_seed(0)
    book = Codebook(8, 2, decay=0.9, revive=0.05)
    features = torch.randn(500, 2) + 3
    for _ in range(200):
        book.follow(features, book.nearest(features))
    codes = book.nearest(features)
    assert book.perplexity > 6
    for k in range(8):
        torch.testing.assert_close(book.vectors[k], features[codes == k].mean(0), rtol=0, atol=0.1)
    dead = Codebook(8, 2, revive=0.0)
    for _ in range(50):
        dead.follow(features, dead.nearest(features))
    assert dead.perplexity < book.perplexity


def test_revived_codes_count_as_used_only_where_features_are_near_them():
    from probgen.models.vq import Codebook

    torch.manual_seed(0)
    book = Codebook(8, 2, decay=0.5, revive=0.5)
    features = torch.cat([torch.zeros(99, 2), torch.ones(1, 2)])
    for _ in range(30):
        codes = torch.zeros(100, dtype=torch.long)
        book.follow(features, codes)
    assert book.perplexity == 1
    assert book.counts.min() > 0


def test_a_code_that_was_never_used_stays_where_it_was():
    from probgen.models.vq import Codebook

    book = Codebook(4, 2, revive=0.0)
    start = book.vectors.clone()
    book.follow(torch.ones(10, 2), torch.zeros(10, dtype=torch.long))
    torch.testing.assert_close(book.vectors[1:], start[1:])
    torch.testing.assert_close(book.vectors[0], torch.ones(2), rtol=0, atol=1e-3)


def test_a_collapsed_codebook_is_warned_of():
    torch.manual_seed(0)
    encoder, decoder = nets.grid_encoder((1, 8, 8), 4), nets.grid_decoder(4, (1, 8, 8))
    vq = models.VQVAE(encoder, decoder, codes=64, revive=0.0)
    nn.init.zeros_(encoder.trunk[-1].weight)
    with pytest.warns(UserWarning, match=r"step 20: .* of 64 codes 1\.\d are in use"):
        training.fit(vq, objectives.ELBO(), data.digits()[0], batch_size=32, steps=20, lr=1e-9)
    assert vq.codebook.perplexity < 1.5


def test_vq_passes_the_decoders_gradient_straight_through():
    encoder, decoder = nets.grid_encoder((1, 8, 8), 4), nets.grid_decoder(4, (1, 8, 8))
    vq = models.VQVAE(encoder, decoder, codes=5, commitment=0.0)
    x = torch.rand(3, 1, 8, 8)
    z = vq.encoder(x).detach().requires_grad_()
    quantised = vq._quantised(z)[0].detach().requires_grad_()
    through = z + (vq._quantised(z)[0] - z).detach()
    for start, point in ((z, through), (quantised, quantised)):
        vq.likelihood(vq.decoder(point)).log_prob(x).sum().backward(inputs=[start])
    torch.testing.assert_close(z.grad, quantised.grad)


def test_codes_before_a_position_alone_decide_its_probability():
    torch.manual_seed(0)
    net = nets.code_transformer(5, (2, 3), 8, 2, 2).eval()
    codes = torch.randint(5, (1, 2, 3))
    for position in range(6):
        other = codes.clone().flatten()
        other[position:] = (other[position:] + 1) % 5
        found = net(other.reshape(1, 2, 3)).flatten(1, 2)[:, : position + 1]
        torch.testing.assert_close(found, net(codes).flatten(1, 2)[:, : position + 1])


def test_the_prior_over_codes_sums_to_one_and_gives_its_own_samples():
    torch.manual_seed(0)
    prior = models.CodePrior(nets.code_transformer(3, (2, 2), 8, 1, 2), (2, 2))
    every = torch.cartesian_prod(*[torch.arange(3)] * 4).reshape(-1, 2, 2)
    p = prior().log_prob(every).exp()
    torch.testing.assert_close(p.sum().item(), 1.0)
    drawn = prior.sample(20_000).flatten(1) @ torch.tensor([27, 9, 3, 1])
    share = drawn.bincount(minlength=81) / 20_000
    assert (share - p).abs().max() < 0.01


def test_the_density_of_codes_is_that_of_a_gaussian_where_they_are_one():
    torch.manual_seed(0)
    codes = torch.randn(5_000, 2) @ torch.tensor([[2.0, 0.5], [0.0, 0.3]]) + 1
    density = models.autoencoder.Density(2, 1).fit(codes)
    drawn = density().sample((5_000,))
    torch.testing.assert_close(drawn.mean(0), codes.mean(0), rtol=0, atol=0.15)
    torch.testing.assert_close(drawn.T.cov(), codes.T.cov(), rtol=0.1, atol=0.05)


def test_training_ends_with_the_density_of_the_codes(tmp_path):
    train, _ = data.digits()
    torch.manual_seed(0)
    encoder = nets.dense_encoder(train.shape, 4, parts=1)
    pair = models.Autoencoder(encoder, nets.dense_decoder(4, train.shape), components=3)
    with pytest.raises(models.ModelError, match="no density of codes"):
        pair.sample(2)
    training.fit(pair, objectives.ELBO(), train, epochs=2, checkpoint=tmp_path, device="cpu")
    codes = pair.encode(train.batch(slice(None))[0]).mean.detach()
    again = models.autoencoder.Density(4, 3).fit(codes, seed=0)
    torch.testing.assert_close(pair.density().log_prob(codes), again().log_prob(codes))
    kept = Folder(tmp_path).read_weights(pair)
    assert torch.equal(kept["latent_prior.loc"], pair.density.loc)
