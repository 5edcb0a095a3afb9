"""Pictures of reconstructions, traversals and interpolations."""

import torch
from pages import fitted, labelled

from probgen import data
from probgen.report import exploration, pictures


def test_traversals_are_ordered_by_kl_and_centred_on_the_code():
    part = labelled()
    vae, _ = fitted(part)
    first = pictures.items(vae, part, 1)
    rows = pictures.traversal(vae, first, torch.tensor([0.1, 0.3, 0.2]), rows=2, steps=3)
    assert list(rows) == ["z2, 0.30 nats", "z3, 0.20 nats"]
    code = vae.encode(first.x).mean.detach().clone()
    code[0, 1] = -3
    assert torch.allclose(rows["z2, 0.30 nats"][0], vae.decode(code).mean[0])


def test_interpolation_begins_and_ends_at_reconstructions():
    part = labelled()
    vae, _ = fitted(part)
    few = pictures.items(vae, part, 4)
    lines = pictures.interpolation(vae, few, steps=5)
    assert torch.allclose(lines[:, 0], vae.reconstruct(few.x[:2]), atol=1e-6)
    assert torch.allclose(lines[:, -1], vae.reconstruct(few.x[2:]), atol=1e-6)


def test_sheets_and_levels_are_those_of_the_whole_set(monkeypatch):
    """A sorted set shows only its first factor class, or one level, at its start."""
    x = torch.arange(100, dtype=torch.uint8)[:, None, None, None].expand(100, 1, 8, 8)
    shown = []
    monkeypatch.setattr(exploration.figures, "images", lambda rows: shown.append(rows))
    exploration._classes(data.arrays(x, [0] * 100))
    tiles = torch.cat(list(shown[0].values()))[:, 0, 0, 0] * 255
    assert tiles.round()[:32].tolist() == torch.linspace(0, 99, 32).round().tolist()
    part = data.arrays(torch.cat([torch.zeros(6_000, 1), torch.arange(6_000.0)[:, None] % 7]))
    counts = exploration._values(part)[0].figure.axes[0].patches[0].get_data().values
    assert counts.tolist() == [6_858, *[857] * 6]


def test_a_way_from_noise_ends_in_a_sample(generators):
    ways = pictures.denoising(generators[1].pair, n=3, stages=5)
    assert ways.shape == (3, 5, 1, 8, 8)
    assert torch.equal(ways[:, -1], pictures.samples(generators[1].pair, 3).clamp(0, 1))
