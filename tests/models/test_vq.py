"""The codebook, and the prior over its codes."""

import pytest
import torch
from torch import nn

from probgen import data, models, nets, objectives, training
from probgen.run import Folder


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
