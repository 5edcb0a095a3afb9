"""Normal samples, and how often intervals of them hold the truth."""

import math

import torch


def normal(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def covered(values, truth, n):
    """How often intervals hold the truth, and that it is 95 % within what n repeats can tell."""
    inside = sum(low <= truth <= high for low, high in values)
    return abs(inside / n - 0.95) < 4 * math.sqrt(0.95 * 0.05 / n)
