"""Recorded programs through TorchInductor: fused kernels, compiled by the C++ compiler.

Compiling costs seconds once and saves microseconds a step: what is not handed from Python to a
kernel, and what fused operations do not write. Both are estimated from the recording alone.
"""

import logging
import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx

from probgen.lowering.recording import WRITES

logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # no GPU is no news
logging.getLogger("torch._inductor.standalone_compile").setLevel(logging.ERROR)  # nor that
OPTIONS = {"config_patches": {"fallback_random": True, "cpp.min_chunk_size": 4096}}
"""Noise from PyTorch's generators, so that a compiled step draws what an eager one would; a thread
is woken for 4,096 elements or more, as fewer take less time than waking it (measured)."""
SECONDS, SECONDS_PER_OPERATION = 2.0, 5e-3
"""What compiling costs: PyTorch's compiler to load, and 5 ms per recorded operation."""
SAVED_PER_OPERATION, SAVED_PER_BYTE = 2.2e-6, 6e-11
"""What a compiled step saves: handing operations to kernels, and writing what can be fused.

Fitted to the committed runs of ``benchmarks/training.py`` and ``svi_step.py`` on two CPU cores,
from 125 operations (an MLP VAE) to 13,369 (a hidden Markov model); see docs/lowering.md.
"""


class CompileError(Exception):
    """A program that inductor does not compile here, whose graph is replayed instead."""


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

    Infinite where compiling was not measured, or measured to save nothing: off the CPU, and
    where convolutions take the time.
    """
    nodes = [node for node in module.graph.nodes if node.op == "call_function"]
    convolves = any("convolution" in str(node.target) for node in nodes)
    if convolves or any(tensor.device.type != "cpu" for tensor in tensors):
        return math.inf
    cost = SECONDS + SECONDS_PER_OPERATION * len(nodes)
    written = sum(node.meta.get(WRITES, 0) for node in nodes)
    saved = SAVED_PER_OPERATION * (1 + len(nodes)) + SAVED_PER_BYTE * written
    return math.ceil(cost / saved)
