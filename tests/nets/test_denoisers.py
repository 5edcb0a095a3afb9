"""The U-Net sees noise, labels and every pixel, and trains recorded."""

import pytest
import torch
from torch import nn

from probgen import data, denoisers, models, objectives, training
from probgen.models import noise


def test_the_unet_sees_noise_labels_and_every_pixel():
    torch.manual_seed(0)
    net = denoisers.unet((1, 8, 12), (8, 16), blocks=2, attention=(4,), heads=2, classes=3)
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.1)  # what begins at zero would hide the rest
    x = torch.randn(2, 1, 8, 12, requires_grad=True)
    label, level = torch.tensor([0, 3]), torch.tensor([1.0, -2.0])
    out = net(x, level, label)
    assert out.shape == x.shape
    assert not torch.allclose(out, net(x, level + 1, label))
    assert not torch.allclose(out[0], net(x, level, label + torch.tensor([1, 0]))[0])
    out[0].square().sum().backward()
    assert (x.grad[0] != 0).all()
    assert not x.grad[1].any()
    without = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()]
    assert not without


@pytest.mark.parametrize(("patch", "shape"), [(1, (3, 8, 8)), (2, (1, 28, 28))])
def test_a_unet_trains_recorded(patch, shape):
    torch.manual_seed(0)
    net = denoisers.unet(shape, (8, 8), blocks=1, attention=(shape[1] // patch // 2,), patch=patch)
    pair = models.Diffusion(net, noise.cosine(10))
    losses = []
    images = data.arrays(torch.rand(8, *shape).mul(255).round() / 255)
    for how in ("eager", "graph"):
        one = models.Diffusion(net, noise.cosine(10))
        one.load_state_dict(pair.state_dict())
        one.net = denoisers.unet(shape, (8, 8), blocks=1, patch=patch,
                                 attention=(shape[1] // patch // 2,))  # fmt: skip
        one.net.load_state_dict(net.state_dict())
        history = training.fit(one, objectives.SimpleELBO(), images, batch_size=8, steps=3,
                               log_every=1, lower=how)  # fmt: skip
        losses.append(history.series("loss")[1])
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
