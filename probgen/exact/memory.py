"""How much memory a call may take unless told otherwise."""

import os
from contextlib import suppress
from functools import cache
from pathlib import Path

SHARE = 0.5
"""Of what is available at the first question."""
FALLBACK = 4 << 30
"""Bytes taken as available where the system does not say."""
_GROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
    ),
)


@cache
def allowance() -> int:
    """Half of the bytes that are available to this process, read once.

    Available is what the system calls so, less if the process is in a container that may take
    less.
    """
    return int(SHARE * available())


def available() -> int:
    """The bytes that this process could take now."""
    return min(_of_system(), *(_of_group(*paths) for paths in _GROUPS))


def _of_system() -> int:
    with suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text().splitlines()
        line = next(line for line in lines if line.startswith("MemAvailable:"))
        return int(line.split()[1]) << 10
    with suppress(AttributeError, OSError, ValueError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return FALLBACK


def _of_group(most: str, taken: str) -> int:
    """What a container's group may still take; no bound where there is none."""
    with suppress(OSError, ValueError):
        return max(0, int(Path(most).read_text()) - int(Path(taken).read_text()))
    return 1 << 62
