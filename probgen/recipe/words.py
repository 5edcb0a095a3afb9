"""The words of a recipe: their defaults, types and owners."""

from typing import Any

from probgen import ProbgenError

DATA = ("digits", "dsprites", "mnist", "fashion-mnist", "cifar10")
LARGEST = 10**9
Recipe = dict[str, Any]

DEFAULTS: Recipe = {
    "model": "vae", "data": "digits", "side": None, "limit": None, "binarize": False,
    "validation": 0.0, "net": "dense", "latent": 16, "hidden": 400, "likelihood": "bernoulli",
    "sigma": 1.0, "prior": "normal", "components": 50, "codes": 512, "penalty": 0.1, "noise": 0.0,
    "noise_steps": 1000, "schedule": "cosine", "predicts": "v", "width": 32, "blocks": 1,
    "patch": 1, "by_class": False,
    "objective": "elbo", "beta": 1.0, "warmup": 0, "target_kl": None, "tolerance": None,
    "kp": 1.0, "ki": 0.02, "beta_min": 0.0, "beta_max": 100.0, "gamma": None, "capacity": None,
    "free_bits": None, "per": "dimension", "k": None, "loss": "non-saturating",
    "critic_steps": None, "epochs": 20, "batch_size": 128, "lr": None,
    "clip_norm": None, "patience": None, "precision": "float32", "seed": 0,
}  # fmt: skip
_OPTIONAL = {
    "side": int, "limit": int, "clip_norm": float, "patience": int, "target_kl": float,
    "tolerance": float, "gamma": float, "capacity": float, "free_bits": float, "k": int,
    "lr": float, "critic_steps": int,
}  # fmt: skip
OWNERS: dict[str, tuple[str, ...]] = {
    "codes": ("vq",), "penalty": ("sparse",), "noise": ("autoencoder",),
    "prior": ("vae", "conditional"),
    **dict.fromkeys(("loss", "critic_steps"), ("gan",)),
    **dict.fromkeys(
        ("noise_steps", "schedule", "predicts", "width", "blocks", "patch", "by_class"),
        ("diffusion",),
    ),
}  # fmt: skip
"""Words that few models take."""
_WITHOUT: dict[str, tuple[str, ...]] = {
    "gan": ("objective", "clip_norm", "patience", "likelihood"),
    "diffusion": ("likelihood", "latent"),
    "autoencoder": ("objective",),
    "vq": ("hidden", "net"), "sparse": ("hidden", "net"),
}  # fmt: skip
"""Words that a few models do not take."""
LR = 1e-3


class RecipeError(ProbgenError, ValueError):
    """Words that name no data, no network or no objective, or do not go together."""


def _option(word: str) -> str:
    return f"--{word.replace('_', '-')}"


def _kind(name: str) -> type:
    return _OPTIONAL.get(name) or type(DEFAULTS[name])


def _fits(name: str, value: Any) -> bool:
    kind = _kind(name)
    whole = kind is float and type(value) is int
    return type(value) is kind or whole or (value is None and name in _OPTIONAL)
