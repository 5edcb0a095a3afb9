"""Recorded programs through TorchInductor: fused kernels, compiled by the C++ compiler."""

import logging
import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx

logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # no GPU is no news
OPTIONS = {"config_patches": {"fallback_random": True}}
"""Noise from PyTorch's generators, so that a compiled step draws what an eager one would."""
SECONDS, SECONDS_PER_OPERATION, SAVED_PER_OPERATION = 3.0, 0.02, 4e-6
"""Time to compile and time saved per step, rough figures for two CPU cores."""


class CompileError(ValueError):
    """A program that inductor does not compile here."""


def compiled(module: fx.GraphModule, inputs: Sequence[Tensor]) -> Callable[..., Any]:
    """The same program, compiled for inputs of these shapes; kept on disk between processes.

    Raises:
        CompileError: no C++ compiler, or an operation that inductor does not know.
    """
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what PyTorch tells itself
            detached: list[Any] = [tensor.detach() for tensor in inputs]
            return torch._inductor.standalone_compile(
                module, detached, dynamic_shapes="from_example_inputs", options=OPTIONS
            )
    except Exception as error:
        raise CompileError(str(error).strip().splitlines()[0]) from error


def break_even(module: fx.GraphModule, tensors: Sequence[Tensor]) -> float:
    """Number of steps that save as much time as compiling takes; the same on every machine.

    Infinite where ``tensors`` are not on the CPU: nothing was measured there.
    """
    if any(tensor.device.type != "cpu" for tensor in tensors):
        return math.inf
    operations = 1 + sum(node.op == "call_function" for node in module.graph.nodes)
    cost = SECONDS + SECONDS_PER_OPERATION * operations
    return math.ceil(cost / (SAVED_PER_OPERATION * operations))
