"""A run on disk: safetensors and strict JSON, verified before use, never pickle.

Whatever lies in a run folder is untrusted: sizes are bounded before anything is read, names,
shapes and dtypes are compared with the model before anything is allocated, and no file name is
ever taken from a file.
"""

import errno
import hashlib
import itertools
import json
import math
import os
import re
import secrets
import shutil
import stat
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import safetensors.torch
import torch
from torch import Tensor

from probgen.run.errors import CheckpointError

KEPT = 2
HEADER_LIMIT = 8 * 2**20
JSON_LIMIT = 64 * 2**20
DEPTH_LIMIT = 32
TENSORS, STATE, MANIFEST = "state.safetensors", "state.json", "manifest.json"
_DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8,
    "U8": torch.uint8, "BOOL": torch.bool,
}  # fmt: skip


class Spec(NamedTuple):
    """Shape and dtype of a stored tensor."""

    shape: tuple[int, ...]
    dtype: torch.dtype

    @classmethod
    def of(cls, tensor: Tensor) -> "Spec":
        """That of a tensor at hand."""
        return cls(tuple(tensor.shape), tensor.dtype)


Expectation = Mapping[str, Spec] | Callable[[str, Spec], bool]


def save(folder: Path, step: int, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> Path:
    """Write one generation beside the others, then let it appear at once; keep the last two.

    A generation is a folder named by its step (``-1``, ``-2`` ... if it was saved before), with
    the tensors, the state and a manifest of sha256 sums. A process killed at any moment leaves
    the earlier generations as they were.

    Raises:
        CheckpointError: the disk is full or the folder cannot be written; nothing is left half
            done.
    """
    temporary = folder / f".saving-{secrets.token_hex(8)}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(folder)
        temporary.mkdir()
        contents = {TENSORS: pack(tensors), STATE: to_json(state)}
        sums = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
        for name, content in {**contents, MANIFEST: to_json(sums)}.items():
            _write(temporary / name, content)
        _fsync(temporary)
        target = _free_name(folder, step)
        temporary.rename(target)
        _fsync(folder)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise CheckpointError(
            f"could not save step {step} to {folder}: {error.strerror or error}; "
            f"{_what_is_kept(folder)}"
        ) from error
    others = [generation for generation in generations(folder) if generation != target]
    for old in others[: 1 - KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    return target


def load(folder: Path, expected: Expectation) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The newest generation that is whole and fits, with the older one as a reserve.

    Args:
        folder: where ``save`` wrote.
        expected: what the tensors must be: {name: Spec}, or a test of each name and Spec.

    Raises:
        CheckpointError: no generation is whole, or none fits.
    """
    errors = []
    for generation in reversed(generations(folder)):
        try:
            return _load_generation(generation, expected)
        except CheckpointError as error:
            errors.append(error)
    if errors:
        raise CheckpointError(f"no usable checkpoint in {folder}: {errors[0]}") from errors[0]
    raise CheckpointError(f"no checkpoint in {folder}")


def generations(folder: Path) -> list[Path]:
    """The generations in a folder, oldest first."""
    if not folder.is_dir():
        return []
    found = [p for p in folder.iterdir() if re.fullmatch(r"\d{9,18}(-\d{1,9})?", p.name)]
    return sorted(found, key=lambda path: [int(number) for number in path.name.split("-")])


def remove_after(folder: Path, step: int) -> None:
    """Remove the generations of later steps."""
    for generation in generations(folder):
        if step_of(generation) > step:
            shutil.rmtree(generation, ignore_errors=True)


def step_of(generation: Path) -> int:
    """The step that a generation was saved at."""
    return int(generation.name.partition("-")[0])


def pack(tensors: Mapping[str, Tensor]) -> bytes:
    """Tensors as the bytes of a safetensors file."""
    row_major = torch.contiguous_format  # the format holds no strides, as of channels_last
    copies = {
        name: tensor.detach().cpu().clone(memory_format=row_major)
        for name, tensor in tensors.items()
    }
    return safetensors.torch.save(copies)


def read_tensors(
    path: Path, expected: Expectation, sha256: str | None = None
) -> dict[str, Tensor]:
    """Tensors of a safetensors file, if they are the expected ones.

    Raises:
        CheckpointError: the file is missing, damaged, too large, or of another model.
    """
    try:
        with _open(path) as file:
            length = _check_header(file, path, expected)
            file.seek(0)
            content = file.read(length + 1)
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror or error}") from error
    _check_sum(path, content, sha256)
    try:
        return safetensors.torch.load(content)
    except safetensors.SafetensorError as error:
        raise CheckpointError(f"{path} is not a safetensors file: {error}") from error


def read_json(path: Path, sha256: str | None = None) -> dict[str, Any]:
    """A JSON object: at most 64 MiB and 32 levels, no NaN, no infinity, no duplicate key.

    Raises:
        CheckpointError: the file is missing or anything else.
    """
    try:
        with _open(path) as file:
            content = file.read(JSON_LIMIT + 1)
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror or error}") from error
    if len(content) > JSON_LIMIT:
        raise CheckpointError(f"{path} is larger than {JSON_LIMIT} bytes")
    _check_sum(path, content, sha256)
    try:
        value = json.loads(
            content, parse_constant=_no_number, parse_float=_finite, object_pairs_hook=_unique
        )
        _check_depth(value)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is not strict JSON: {error}") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"expected an object in {path}; got {type(value).__name__}")
    return value


def write(path: Path, content: bytes) -> None:
    """Replace a file at once: write beside, fsync, rename, fsync the folder.

    Raises:
        CheckpointError: the disk is full or the folder cannot be written; the old file stays.
    """
    beside = path.with_name(f".saving-{path.name}-{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(beside, content)
        beside.replace(path)
        _fsync(path.parent)
    except OSError as error:
        with suppress(OSError):
            beside.unlink()
        raise CheckpointError(f"could not write {path}: {error.strerror or error}") from error


def to_json(value: Mapping[str, Any]) -> bytes:
    """JSON that ``read_json`` takes back.

    Raises:
        CheckpointError: a value that strict JSON has no form for.
    """
    try:
        return json.dumps(value, indent=1, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"expected finite numbers, text, lists, dicts: {error}") from error


def _load_generation(
    generation: Path, expected: Expectation
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    sums = read_json(generation / MANIFEST)
    if set(sums) != {TENSORS, STATE} or not all(isinstance(s, str) for s in sums.values()):
        raise CheckpointError(f"{generation / MANIFEST} does not list the generation's files")
    state = read_json(generation / STATE, sums[STATE])
    return read_tensors(generation / TENSORS, expected, sums[TENSORS]), state


def _check_header(file: BinaryIO, path: Path, expected: Expectation) -> int:
    """Length the file must have, once its header has been found to be the expected one."""
    size = os.fstat(file.fileno()).st_size
    length = int.from_bytes(file.read(8), "little")
    if size < 8 or length > min(HEADER_LIMIT, size - 8):
        raise CheckpointError(f"{path} is not a safetensors file, or it is cut short")
    try:
        header = json.loads(file.read(length), object_pairs_hook=_unique)
        header.pop("__metadata__", None)
        found = {name: Spec(tuple(e["shape"]), _DTYPES[e["dtype"]]) for name, e in header.items()}
        total = 8 + length + sum(_nbytes(spec) for spec in found.values())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{path} has no safetensors header: {error}") from error
    _compare(found, expected, path)
    if size != total:
        raise CheckpointError(f"expected {total} bytes in {path}; got {size}")
    return total


def _compare(found: Mapping[str, Spec], expected: Expectation, path: Path) -> None:
    if callable(expected):
        wrong = [name for name, spec in found.items() if not expected(name, spec)]
    else:
        names = [*expected, *(name for name in found if name not in expected)]
        wrong = [name for name in names if found.get(name) != expected.get(name)]
    if wrong:
        name = wrong[0]
        wanted = "no such tensor" if callable(expected) else _describe(expected.get(name))
        raise CheckpointError(
            f"{path} is of another model: expected {name} {wanted}; "
            f"got {_describe(found.get(name))} ({len(wrong)} of {len(found)} tensors differ)"
        )


def _describe(spec: Spec | None) -> str:
    return "nothing" if spec is None else f"{tuple(spec.shape)} {spec.dtype}"


def _nbytes(spec: Spec) -> int:
    if not all(isinstance(side, int) and side >= 0 for side in spec.shape):
        raise ValueError(f"shape {spec.shape}")
    return math.prod(spec.shape) * spec.dtype.itemsize


def _check_sum(path: Path, content: bytes, sha256: str | None) -> None:
    if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
        raise CheckpointError(f"{path} is damaged: its sha256 is not the recorded one")


def _check_depth(value: Any, depth: int = 0) -> None:
    if depth > DEPTH_LIMIT:
        raise ValueError(f"more than {DEPTH_LIMIT} levels")
    children = value.values() if isinstance(value, dict) else value
    for child in children if isinstance(value, dict | list) else ():
        _check_depth(child, depth + 1)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number")


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _no_number(text)


def _open(path: Path) -> BinaryIO:
    """A regular file for reading; a pipe or a device would wait or never end."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file")
    return path.open("rb")


def _free_name(folder: Path, step: int) -> Path:
    names = itertools.chain([f"{step:09d}"], (f"{step:09d}-{n}" for n in itertools.count(1)))
    return next(folder / name for name in names if not (folder / name).exists())


def _write(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _fsync(folder: Path) -> None:
    if os.name == "nt":
        return  # Windows cannot open a folder
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove_leftovers(folder: Path) -> None:
    for path in folder.glob(".saving-*"):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _what_is_kept(folder: Path) -> str:
    kept = generations(folder)
    return f"step {step_of(kept[-1])} is kept" if kept else "nothing was saved before"
