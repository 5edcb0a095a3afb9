"""What a run was made with: versions, threads, device, commit."""

import hashlib
import platform
import subprocess
from importlib.metadata import version
from typing import Any

import torch

import probgen


def environment() -> dict[str, Any]:
    """What numbers depend on: versions, threads, build, device, commit."""
    build = hashlib.sha256(torch.__config__.show().encode()).hexdigest()[:16]
    cuda = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "probgen": probgen.__version__,
        "torch": torch.__version__,
        "pyro": version("pyro-ppl"),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "build": build,
        "threads": torch.get_num_threads(),
        "cuda": cuda,
        "commit": _commit(),
    }


def _commit() -> str | None:
    command = ["git", "rev-parse", "HEAD"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None
