#!/bin/sh
# torch 2.14.1: the KL divergence of a distribution from itself is NaN or infinite where it is certain.
#
# Guess before the run: NaN for Poisson(0), whose formula has 0 * (log 0 - log 0); 0 for the others, as
# Bernoulli, Binomial and Categorical treat their corners.
# Seen: Poisson(0) NaN, and Geometric(1) infinite; Bernoulli(0), Binomial(5, 0) and Categorical([0, 1])
# give 0. Both parameters pass validation. A guide that becomes certain ends a run with NaN.
# What to do: keep the rate above 0 and the probability below 1 by a softplus or a clamp.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.14.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import math

from torch import tensor
from torch.distributions import Bernoulli, Binomial, Categorical, Geometric, Poisson
from torch.distributions import kl_divergence as kl

certain = {
    "Poisson": Poisson(tensor(0.0)),
    "Geometric": Geometric(tensor(1.0)),
    "Bernoulli": Bernoulli(tensor(0.0)),
    "Binomial": Binomial(5, tensor(0.0)),
    "Categorical": Categorical(tensor([0.0, 1.0])),
}
seen = {name: kl(one, one).item() for name, one in certain.items()}
print(seen)
assert math.isnan(seen["Poisson"])
assert seen["Geometric"] == math.inf
assert all(abs(seen[name]) < 1e-6 for name in ("Bernoulli", "Binomial", "Categorical"))
PYTHON
