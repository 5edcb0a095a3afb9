"""A feature extractor that counts the images it sees."""

import torch
from torch import nn

RAW = torch.rand(30, 1, 8, 8, generator=torch.Generator().manual_seed(0))


class Counting(nn.Module):
    """Mean and greatest pixel by a linear layer; counts the images it has seen."""

    seen = 0

    def __init__(self, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.net = nn.Linear(64, 3)

    def forward(self, x):
        Counting.seen += len(x)
        return self.net(x.flatten(1))
