"""What can change within an object, by its type: attributes, items, globals, closures, states.

A Python program reads values through names. What a name refers to is found from the objects that
the program is made of: a function reaches the globals that it names and its closure, an object its
attributes, a container its items. Each such place is an *entry*: how to read it, and how to put
back what it held. How a type is taken apart is a row of ``_ROWS``.
"""

import random
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, cached_property, partial
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

SCALARS = (bool, int, float, complex, str, bytes, type(None))
"""Types that are compared by value."""
LEAVES = (*SCALARS, Tensor, ModuleType, BuiltinFunctionType)
"""Types that nothing is reached through."""
_LIBRARIES = {"torch", "pyro", "numpy", "builtins", "functools", "weakref"}
_PARTS = {"training", "_parameters", "_buffers", "_modules"}
_INTERNAL = vars(nn.Module()).keys() - _PARTS
_CODE = (FunctionType, staticmethod, classmethod, property, cached_property)
_CACHED = type(cache(len))
_HANDLERS = (
    ConditionMessenger, DoMessenger, MaskMessenger, ScaleMessenger, SubstituteMessenger
)  # fmt: skip
"""Pyro's handlers that keep nothing of what they meet."""
_CONTAINERS = (list, deque, dict, set, frozenset, tuple)
"""Types whose subclasses may keep attributes beside their items."""
_LARGEST = 100
"""Items of a container that are followed at most."""


class Entry(NamedTuple):
    """A place where a program reads a value.

    Attributes:
        get: what reads it, called with ``key``.
        put: what puts a value there, called with ``key`` and the value.
        key: which attribute or item of its owner it is.
        value: what was there.
        name: what a warning calls it.
        free: may be changed by the programs themselves.
    """

    get: Callable[[Any], Any]
    put: Callable[[Any, Any], None]
    key: Any
    value: Any
    name: str
    free: bool = False

    def holds(self) -> bool:
        """Whether the value is what it was."""
        try:
            now = self.get(self.key)
        except Exception:  # whatever a class of the user's raises
            return False
        if now is self.value:
            return True
        same = type(now) is type(self.value) and isinstance(now, SCALARS)
        return same and repr(now) == repr(self.value)  # 0.0 is not -0.0


def entries(value: Any) -> Iterator[Entry]:
    """What can change within an object, by the first row that it is of."""
    rows = (taken_apart for kind, taken_apart in _ROWS if isinstance(value, kind))
    taken_apart = next(rows, None)
    if taken_apart is not None:
        yield from taken_apart(value)
    if (taken_apart is None or isinstance(value, _CONTAINERS)) and _is_followed(value):
        yield from _of_object(value)


def is_watched(value: Any) -> bool:
    """Whether a change within an object is seen: a function, a module, one of an own class."""
    kinds = (FunctionType, MethodType, partial, BuiltinFunctionType, nn.Module, type)
    kind = type(value)
    holds_attributes = hasattr(value, "__dict__") and kind.__module__ in ("argparse", "types")
    return isinstance(value, kinds) or holds_attributes or _is_own(kind.__module__)


def is_hidden(value: Any) -> bool:
    """Whether it has a state that cannot be seen: an iterator, noise of the system's."""
    built_in = type(value).__module__ in ("builtins", "itertools")
    return isinstance(value, random.SystemRandom) or (built_in and isinstance(value, Iterator))


def _of_function(function: Any) -> Iterator[Entry]:
    scope = function.__globals__
    if not _is_library(scope.get("__name__", "")):
        yield from _named(scope, set(_names(function.__code__)), [])
    yield from _attributes(function, "__code__", "__defaults__", "__kwdefaults__")
    free = function.__code__.co_freevars
    for name, cell in zip(free, function.__closure__ or (), strict=True):
        yield from _of_cell(cell, name)
    if "__wrapped__" in vars(function):
        yield from _attributes(function, "__wrapped__")


def _named(scope: dict[str, Any], names: set[str], above: Sequence[ModuleType]) -> Iterator[Entry]:
    """What the names of a function refer to, as ``BETA`` or as ``settings.BETA``."""
    for name in sorted(scope.keys() & names):
        value = scope[name]
        yield _item(scope, name, name)
        if isinstance(value, ModuleType) and value not in above and _is_own(value.__name__):
            yield from _named(vars(value), names, [*above, value])


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _of_cell(cell: CellType, name: str) -> Iterator[Entry]:
    for entry in _attributes(cell, "cell_contents"):
        yield entry._replace(name=name)


def _of_class(kind: type) -> Iterator[Entry]:
    for one in kind.__mro__:
        if _is_own(one.__module__):
            yield _size(vars(one), one.__name__)
            for key, value in vars(one).items():
                if isinstance(value, _CODE) or not key.startswith("__"):
                    get, put = vars(one).__getitem__, partial(setattr, one)
                    yield Entry(get, put, key, value, f"{one.__name__}.{key}")


def _of_generator(generator: np.random.Generator) -> Iterator[Entry]:
    bits = generator.bit_generator
    yield _state(lambda: bits.state, partial(setattr, bits, "state"))


def _of_pythons_generator(generator: random.Random) -> Iterator[Entry]:
    yield _state(generator.getstate, generator.setstate)


def _of_numpys_generator(generator: np.random.RandomState) -> Iterator[Entry]:
    yield _state(generator.get_state, generator.set_state)


def _state(read: Callable[[], Any], write: Callable[[Any], None]) -> Entry:
    state, name = read(), "a generator's state"
    return Entry(lambda _: str(read()), lambda *_: write(state), None, str(state), name)


def _of_array(array: np.ndarray) -> Iterator[Entry]:
    if array.size <= _LARGEST and not array.dtype.hasobject:
        put = partial(_refill, array)
        yield Entry(lambda _: array.tobytes(), put, None, array.tobytes(), "an array")


def _refill(array: np.ndarray, _: None, content: bytes) -> None:
    array[...] = np.frombuffer(content, array.dtype).reshape(array.shape)


def _of_list(items: list[Any] | deque[Any]) -> Iterator[Entry]:
    yield Entry(len, _truncate, items, len(items), "the length of a list")
    if len(items) <= _LARGEST:
        yield from _items(items, range(len(items)), "list")


def _truncate(items: list[Any] | deque[Any], length: int) -> None:
    while len(items) > length:
        items.pop()


def _of_dict(items: Any) -> Iterator[Entry]:
    yield _size(items, "a dict")
    if len(items) <= _LARGEST:
        keys = list(items)
        yield from _members(keys)
        yield from _items(items, keys, "dict")


def _of_set(members: set[Any]) -> Iterator[Entry]:
    def put(one: Any, there: bool) -> None:
        members.add(one)

    yield _size(members, "a set")
    if len(members) <= _LARGEST:
        for one in members:
            name = f"whether a set holds {_as_text(one)}"
            yield Entry(members.__contains__, put, one, True, name)
        yield from _members(members)


def _of_frozenset(members: frozenset[Any]) -> Iterator[Entry]:
    if len(members) <= _LARGEST:
        yield from _members(members)


def _of_tuple(items: tuple[Any, ...]) -> Iterator[Entry]:
    if len(items) <= _LARGEST:
        yield from _items(list(items), range(len(items)), "tuple")


def _members(values: Iterable[Any]) -> Iterator[Entry]:
    """Objects in a set, or keys of a dict, for what may change within them."""
    for one in values:
        if not isinstance(one, LEAVES):
            yield Entry({None: one}.__getitem__, _kept, None, one, "a member")


def _items(container: Any, keys: Iterable[Any], name: str) -> Iterator[Entry]:
    for key in keys:
        yield _item(container, key, f"{name}[{_as_text(key)}]")


def _item(container: Any, key: Any, name: str) -> Entry:
    put = getattr(container, "__setitem__", _kept)  # a view of a dict has none
    return Entry(container.__getitem__, put, key, container[key], name)


def _size(value: Any, name: str) -> Entry:
    """How much there is, which a program may add to: what it made in one call it has in others."""
    return Entry(len, _kept, value, len(value), f"what {name} holds", free=True)


def _kept(*_: Any) -> None:
    """Undo nothing."""


def _as_text(key: Any) -> str:
    return repr(key) if isinstance(key, SCALARS) else f"a {type(key).__name__}"


def _of_object(value: Any) -> Iterator[Entry]:
    attributes = getattr(value, "__dict__", {})
    hidden = _INTERNAL if isinstance(value, nn.Module) else ()
    yield _size(attributes, f"a {type(value).__name__}")
    for key in [key for key in attributes if key not in hidden]:
        yield _item(attributes, key, f"{type(value).__name__}.{key}")
    if any(_is_own(kind.__module__) for kind in type(value).__mro__):
        yield from _attributes(value, "__class__", *_slots(type(value)))


def _attributes(value: Any, *names: str) -> Iterator[Entry]:
    for name in names:
        if hasattr(value, name):
            get, put = partial(getattr, value), partial(setattr, value)
            yield Entry(get, put, name, getattr(value, name), name)


def _named_attributes(*names: str) -> Callable[[Any], Iterator[Entry]]:
    return lambda value: _attributes(value, *names)


_ROWS: tuple[tuple[Any, Callable[[Any], Iterator[Entry]]], ...] = (
    (FunctionType, _of_function),
    (type, _of_class),
    ((staticmethod, classmethod, property), _named_attributes("__func__", "fget")),
    ((_CACHED, cached_property), _named_attributes("__wrapped__", "func")),
    (MethodType, _named_attributes("__self__", "__func__")),
    (partial, _named_attributes("func", "args", "keywords")),
    (np.random.Generator, _of_generator),
    (random.Random, _of_pythons_generator),
    (np.random.RandomState, _of_numpys_generator),
    (np.ndarray, _of_array),
    ((list, deque), _of_list),
    ((dict, MappingProxyType), _of_dict),
    (set, _of_set),
    (frozenset, _of_frozenset),
    (tuple, _of_tuple),
    (nn.Module, _of_object),
)
"""How the objects of a type are taken apart. The first row that fits is taken."""


def _is_followed(value: Any) -> bool:
    """Whether it is of a class that no library brings, a loss, or a handler that keeps nothing."""
    module = type(value).__module__ or ""
    known = module.startswith("pyro.infer") or isinstance(value, _HANDLERS)
    brought = _is_library(module) and not known
    return (hasattr(value, "__dict__") or bool(_slots(type(value)))) and not brought


def _slots(kind: type) -> list[str]:
    given = [vars(one).get("__slots__", ()) for one in kind.__mro__ if _is_own(one.__module__)]
    return [name for names in given for name in ([names] if isinstance(names, str) else names)]


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
