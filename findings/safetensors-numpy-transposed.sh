#!/bin/sh
# safetensors 0.8.0 with NumPy 2.4.6: a transposed array is saved with its values in another order.
#
# Guess before the run: `safetensors.numpy.save` copies a view that is not contiguous, or refuses it as
# `safetensors.torch.save` does ("You are trying to save a non contiguous tensor").
# Seen: neither. The shape of the view is written with the memory of its base, without a word:
# [[0, 3], [1, 4], [2, 5]] comes back as [[0, 1], [2, 3], [4, 5]], an array in Fortran order likewise.
# What to do: numpy.ascontiguousarray before saving.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet safetensors==0.8.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
from safetensors.numpy import load, save

view = np.arange(6, dtype=np.float32).reshape(2, 3).T
back = load(save({"x": view}))["x"]
print("saved", view.tolist(), "read", back.tolist())
fortran = np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3))
again = load(save({"x": fortran}))["x"]
print("saved", fortran.tolist(), "read", again.tolist())
assert back.tolist() == [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]
assert again.tolist() == [[0.0, 3.0, 1.0], [4.0, 2.0, 5.0]]
PYTHON
