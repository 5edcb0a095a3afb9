"""Tables of codes and factors, and every score of them with its settings."""

import numpy as np

from probgen.evaluation import disentanglement

SMALL = {"train_size": 300, "test_size": 200}
SCORES = {
    "mig": (disentanglement.mig, {}),
    "modularity": (disentanglement.modularity, {}),
    "mig_aggregate": (
        lambda codes, factors, **settings: disentanglement.mig_aggregate(
            codes, np.full(np.shape(codes), -4.0), factors, **settings
        ),
        {},
    ),
    "sap": (disentanglement.sap, SMALL),
    "dci": (disentanglement.dci, {"train_size": 80, "test_size": 60}),
    "explicitness": (disentanglement.explicitness, SMALL),
    "factor_vae": (disentanglement.factor_vae, SMALL),
    "beta_vae": (disentanglement.beta_vae, SMALL),
}


def table(n=400, noise=0.0, sizes=(3, 4), latents=3, seed=0):
    """Latents that show one factor each, then such that show none."""
    rng = np.random.default_rng(seed)
    factors = np.stack([rng.integers(size, size=n) for size in sizes], 1)
    codes = rng.normal(size=(n, latents))
    shown = min(latents, len(sizes))
    codes[:, :shown] = factors[:, :shown] + noise * codes[:, :shown]
    return codes, factors


def close(found, expected, tolerance=1e-8):
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)
