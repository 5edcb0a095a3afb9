"""What Python keeps beside the tensors of a program: numbers, flags and what names refer to."""

import random
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, cached_property, partial
from itertools import chain
from pathlib import Path
from types import (
    BuiltinFunctionType,
    CellType,
    CodeType,
    FunctionType,
    MappingProxyType,
    MethodType,
    ModuleType,
)
from typing import Any, NamedTuple

import numpy as np
from pyro.poutine.condition_messenger import ConditionMessenger
from pyro.poutine.do_messenger import DoMessenger
from pyro.poutine.mask_messenger import MaskMessenger
from pyro.poutine.scale_messenger import ScaleMessenger
from pyro.poutine.substitute_messenger import SubstituteMessenger
from torch import Tensor, nn
from torch.nn.modules import module
from torch.utils.hooks import RemovableHandle

from probgen.lowering.recording import Unrecordable

_SCALARS = (bool, int, float, complex, str, bytes, type(None))
_LEAVES = (*_SCALARS, Tensor, ModuleType, BuiltinFunctionType)
_LIBRARIES = {"torch", "pyro", "numpy", "builtins", "functools", "weakref"}
_PARTS = {"training", "_parameters", "_buffers", "_modules"}
_INTERNAL = vars(nn.Module()).keys() - _PARTS
_HOOKS = [key for key in vars(nn.Module()) if key.endswith("_hooks")]
_CODE = (FunctionType, staticmethod, classmethod, property, cached_property)
_CACHED = type(cache(len))
_HANDLERS = (
    ConditionMessenger, DoMessenger, MaskMessenger, ScaleMessenger, SubstituteMessenger
)  # fmt: skip
_LARGEST = 100


class _Entry(NamedTuple):
    get: Callable[[Any], Any]
    put: Callable[[Any, Any], None]
    key: Any
    value: Any
    name: str
    free: bool = False  # to be changed by the programs themselves

    def holds(self) -> bool:
        """Whether the value is what it was."""
        try:
            now = self.get(self.key)
        except Exception:  # whatever a class of the user's raises
            return False
        if now is self.value:
            return True
        same = type(now) is type(self.value) and isinstance(now, _SCALARS)
        return same and repr(now) == repr(self.value)  # 0.0 is not -0.0


class Watch:
    """The values that programs reach through attributes, globals, closures and containers.

    A recording is valid as long as they are what they were, and no attribute or key is added; so
    are the hooks of modules. Not seen: the contents of arrays, lists, sets and dicts longer than
    100, the attributes of modules and classes that are installed, of distributions, and of
    handlers that keep what they meet. Where iterators stand cannot be seen either: a program
    that keeps one is refused.

    Args:
        roots: functions, methods, modules, objects.

    >>> class Model:
    ...     scale = 1.0
    ...     def __init__(self): self.depth = 2
    >>> model = Model()
    >>> watch = Watch(model)
    >>> model.depth = 3
    >>> watch.holds()
    False
    """

    def __init__(self, *roots: Any) -> None:
        self._seen: dict[int, Any] = {}
        self.modules: list[nn.Module] = []
        self.hidden: list[str] = []
        self.entries = [entry for root in roots for entry in self._walk(root)]
        self.quick = [(entry.get, entry.key, entry.value, entry) for entry in self.entries]
        self.replaced: list[_Entry] = []
        self.handles, self.hooks = RemovableHandle.next_id, _hooks(self.modules)

    def holds(self) -> bool:
        """Whether nothing has changed."""
        for get, key, value, entry in self.quick:  # in every step, so identity before any call
            try:
                same = get(key) is value
            except Exception:  # whatever a class of the user's raises
                return False
            if not same and not entry.holds():
                return False
        unhooked = self.handles == RemovableHandle.next_id and not any(self.hooks)
        return unhooked or self.hooks == _hooks(self.modules)

    @property
    def changed(self) -> str:
        """The name of something that has changed, if any."""
        return next((entry.name for entry in self.entries if not entry.holds()), "")

    def check_seen(self) -> None:
        """Raise if there is something that nobody sees change."""
        if self.hidden:
            raise Unrecordable(
                f"it keeps {self.hidden[0]}, whose state cannot be seen: give what it yields as "
                "an argument"
            )

    def restore(self) -> None:
        """Put back what a run of the programs has changed; what it has created stays.

        Raises:
            Unrecordable: a number was changed, by which the next run may decide.
        """
        found = [e for e in self.entries if e.value is not None and not e.holds()]
        changed = [entry for entry in found if not entry.free]
        for entry in changed:
            entry.put(entry.key, entry.value)
        self.entries = [entry for entry in self.entries if entry not in found]
        self.quick = [one for one in self.quick if one[-1] not in found]
        self.replaced = [entry for entry in changed if isinstance(entry.value, Tensor)]
        numbers = [entry.name for entry in changed if isinstance(entry.value, _SCALARS)]
        if numbers:
            raise Unrecordable(f"{numbers[0]} changes in every call: keep it in a buffer")

    def check_used(self, tensors: Sequence[Tensor]) -> None:
        """Raise if a call used a tensor and then put another in its place."""
        used = set(map(id, tensors))
        for entry in self.replaced:
            if id(entry.value) in used:
                raise Unrecordable(
                    f"{entry.name} is replaced in every call: write to it in place, as to a buffer"
                )

    def _walk(self, value: Any) -> Iterator[_Entry]:
        for hooks in _hooks_of(value):
            yield from self._walk(hooks)
        if isinstance(value, _LEAVES) or id(value) in self._seen:
            return
        self._seen[id(value)] = value
        if isinstance(value, nn.Module):
            self.modules.append(value)
        if _is_hidden(value):
            self.hidden.append(f"a {type(value).__name__}")
            return
        for entry in _entries(value):
            yield entry
            yield from self._walk(entry.value)


def is_watched(value: Any) -> bool:
    """Whether a change within an object is seen: a function, a module, one of an own class."""
    kinds = (FunctionType, MethodType, partial, BuiltinFunctionType, nn.Module, type)
    kind = type(value)
    holds_attributes = hasattr(value, "__dict__") and kind.__module__ in ("argparse", "types")
    return isinstance(value, kinds) or holds_attributes or _is_own(kind.__module__)


def _hooks_of(value: Any) -> list[Any]:
    """What is called when a module is, or when a tensor gets a gradient."""
    if isinstance(value, Tensor):
        return [h for h in (value._backward_hooks, value._post_accumulate_grad_hooks) if h]
    own = vars(value) if isinstance(value, nn.Module) else {}
    return [hooks for key in _HOOKS if (hooks := own.get(key))]


def _is_hidden(value: Any) -> bool:
    """Whether it has a state that cannot be seen: an iterator, noise of the system's."""
    built_in = type(value).__module__ in ("builtins", "itertools")
    return isinstance(value, random.SystemRandom) or (built_in and isinstance(value, Iterator))


def _entries(value: Any) -> Iterator[_Entry]:
    if isinstance(value, FunctionType):
        yield from _of_function(value)
    elif isinstance(value, type):
        yield from _of_class(value)
    elif isinstance(value, staticmethod | classmethod | property):
        yield from _attributes(value, "__func__", "fget")
    elif isinstance(value, _CACHED | cached_property):
        yield from _attributes(value, "__wrapped__", "func")
    elif isinstance(value, MethodType):
        yield from _attributes(value, "__self__", "__func__")
    elif isinstance(value, partial):
        yield from _attributes(value, "func", "args", "keywords")
    elif isinstance(value, np.random.Generator):
        bits = value.bit_generator
        yield _state(lambda: bits.state, partial(setattr, bits, "state"))
    elif isinstance(value, random.Random):
        yield _state(value.getstate, value.setstate)
    elif isinstance(value, np.random.RandomState):
        yield _state(value.get_state, value.set_state)
    elif isinstance(value, np.ndarray):
        if value.size <= _LARGEST and not value.dtype.hasobject:
            put = partial(_refill, value)
            yield _Entry(lambda _: value.tobytes(), put, None, value.tobytes(), "an array")
    elif isinstance(value, list | deque):
        yield _Entry(len, _truncate, value, len(value), "the length of a list")
        yield from _of_container(value, "list")
    elif isinstance(value, dict | MappingProxyType):
        yield _size(value, "a dict")
        yield from _of_container(value, "dict")
    elif isinstance(value, set):
        yield from _of_set(value)
    elif isinstance(value, frozenset) and len(value) <= _LARGEST:
        yield from _members(value)
    elif isinstance(value, tuple):
        yield from _of_container(list(value), "tuple")
    elif isinstance(value, nn.Module) or _is_users(value):
        yield from _of_object(value)


def _of_function(function: Any) -> Iterator[_Entry]:
    scope = function.__globals__
    if not _is_library(scope.get("__name__", "")):
        yield from _named(scope, set(_names(function.__code__)), [])
    yield from _attributes(function, "__code__", "__defaults__", "__kwdefaults__")
    free = function.__code__.co_freevars
    for name, cell in zip(free, function.__closure__ or (), strict=True):
        yield from _of_cell(cell, name)
    if "__wrapped__" in vars(function):
        yield from _attributes(function, "__wrapped__")


def _named(
    scope: dict[str, Any], names: set[str], above: Sequence[ModuleType]
) -> Iterator[_Entry]:
    """What the names of a function refer to, as ``BETA`` or as ``settings.BETA``."""
    for name in sorted(scope.keys() & names):
        value = scope[name]
        yield _item(scope, name, name)
        if isinstance(value, ModuleType) and value not in above and _is_own(value.__name__):
            yield from _named(vars(value), names, [*above, value])


def _of_class(kind: type) -> Iterator[_Entry]:
    for one in kind.__mro__:
        if _is_own(one.__module__):
            yield _size(vars(one), one.__name__)
            for key, value in vars(one).items():
                if isinstance(value, _CODE) or not key.startswith("__"):
                    get, put = vars(one).__getitem__, partial(setattr, one)
                    yield _Entry(get, put, key, value, f"{one.__name__}.{key}")


def _of_cell(cell: CellType, name: str) -> Iterator[_Entry]:
    for entry in _attributes(cell, "cell_contents"):
        yield entry._replace(name=name)


def _state(read: Callable[[], Any], write: Callable[[Any], None]) -> _Entry:
    state, name = read(), "a generator's state"
    return _Entry(lambda _: str(read()), lambda *_: write(state), None, str(state), name)


def _size(value: Any, name: str) -> _Entry:
    """How much there is, which a program may add to: what it made in one call it has in others."""
    return _Entry(len, _kept, value, len(value), f"what {name} holds", free=True)


def _kept(*_: Any) -> None:
    """Undo nothing."""


def _members(values: Iterable[Any]) -> Iterator[_Entry]:
    """Objects in a set, or keys of a dict, for what may change within them."""
    for one in values:
        if not isinstance(one, _LEAVES):
            yield _Entry({None: one}.__getitem__, _kept, None, one, "a member")


def _of_set(value: set[Any]) -> Iterator[_Entry]:
    def put(one: Any, there: bool) -> None:
        value.add(one)

    yield _size(value, "a set")
    if len(value) <= _LARGEST:
        for one in value:
            yield _Entry(value.__contains__, put, one, True, f"whether a set holds {_word(one)}")
        yield from _members(value)


def _truncate(value: list[Any] | deque[Any], length: int) -> None:
    while len(value) > length:
        value.pop()


def _refill(value: np.ndarray, _: None, content: bytes) -> None:
    value[...] = np.frombuffer(content, value.dtype).reshape(value.shape)


def _of_container(value: Any, name: str) -> Iterator[_Entry]:
    if len(value) <= _LARGEST:
        keyed = isinstance(value, dict | MappingProxyType)
        keys = list(value) if keyed else range(len(value))
        yield from _members(value if keyed else ())
        for key in keys:
            yield _item(value, key, f"{name}[{_word(key)}]")


def _word(key: Any) -> str:
    return repr(key) if isinstance(key, _SCALARS) else f"a {type(key).__name__}"


def _of_object(value: Any) -> Iterator[_Entry]:
    attributes = getattr(value, "__dict__", {})
    hidden = _INTERNAL if isinstance(value, nn.Module) else ()
    yield _size(attributes, f"a {type(value).__name__}")
    for key in [key for key in attributes if key not in hidden]:
        yield _item(attributes, key, f"{type(value).__name__}.{key}")
    if any(_is_own(kind.__module__) for kind in type(value).__mro__):
        yield from _attributes(value, "__class__", *_slots(type(value)))


def _attributes(value: Any, *names: str) -> Iterator[_Entry]:
    for name in names:
        if hasattr(value, name):
            get, put = partial(getattr, value), partial(setattr, value)
            yield _Entry(get, put, name, getattr(value, name), name)


def _item(container: Any, key: Any, name: str) -> _Entry:
    put = getattr(container, "__setitem__", _kept)  # a view of a dict has none
    return _Entry(container.__getitem__, put, key, container[key], name)


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _is_users(value: Any) -> bool:
    """Whether it is of a class that no library brings, a loss, or a handler that keeps nothing."""
    module = type(value).__module__ or ""
    known = module.startswith("pyro.infer") or isinstance(value, _HANDLERS)
    brought = _is_library(module) and not known
    return (hasattr(value, "__dict__") or bool(_slots(type(value)))) and not brought


def _slots(kind: type) -> list[str]:
    given = [vars(one).get("__slots__", ()) for one in kind.__mro__ if _is_own(one.__module__)]
    return [name for names in given for name in ([names] if isinstance(names, str) else names)]


def _hooks(modules: Iterable[nn.Module]) -> list[list[int]]:
    """The numbers of all hooks; no two ever have the same."""
    of_all = [hooks for key, hooks in vars(module).items() if key.endswith("_hooks") and hooks]
    return [[*hooks] for hooks in [*of_all, *chain.from_iterable(map(_hooks_of, modules))]]


def _is_library(module: str) -> bool:
    return module.partition(".")[0] in _LIBRARIES


@cache
def _is_own(module: str) -> bool:
    """Whether it is the user's code, whose globals and classes change while a process runs."""
    top = module.partition(".")[0]
    if _is_library(top) or top == "probgen" or top in sys.stdlib_module_names - {"__main__"}:
        return False
    file = getattr(sys.modules.get(top), "__file__", None) or ""
    return not {"site-packages", "dist-packages"} & {*Path(file).parts}
