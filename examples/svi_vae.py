"""Plain Pyro: probgen's VAE and beta-weighted ELBO in ``pyro.infer.SVI``.

python examples/svi_vae.py --epochs 20 --beta 1 --device cpu
"""

import argparse

import pyro
import torch
from pyro.infer import SVI

from probgen import data, evaluation, models, nets, objectives


def main(epochs: int, beta: float, device: str) -> float:
    pyro.set_rng_seed(0)
    train, test = (part.to(device) for part in data.digits())
    vae = models.VAE(
        nets.dense_encoder(train.shape, latent=8),
        nets.dense_decoder(latent=8, shape=train.shape),
    ).to(device)
    svi = SVI(
        vae.model,
        vae.guide,
        pyro.optim.Adam({"lr": 1e-3}),
        loss=objectives.BetaELBO(beta),
    )
    for epoch in range(epochs):
        order = torch.randperm(len(train), device=device)
        loss = sum(svi.step(train.batch(index)[0]) for index in order.split(100))
        print(f"epoch {epoch + 1}: loss {loss / len(train):.2f} nats per image")
    elbo = evaluation.likelihood.terms(vae, test).elbo.mean().item()
    print(f"test ELBO {elbo:.2f} nats per image ({len(test)} images)")
    return elbo


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--beta", type=float, default=4.0)
    parser.add_argument("--device", default="cpu")
    main(**vars(parser.parse_args()))
