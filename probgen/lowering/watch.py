"""What Python keeps beside the tensors of a program: numbers, flags and what names refer to.

A recording reads none of it again, so it holds only as long as all of it is what it was. What a
program can reach is found once, when it is recorded, and compared before each replay: by identity,
and numbers and strings by value.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

from torch import Tensor, nn
from torch.nn.modules import module
from torch.utils.hooks import RemovableHandle

from probgen.lowering.entries import LEAVES, SCALARS, Entry, entries, is_hidden
from probgen.lowering.reasons import Reason, Unrecordable

_HOOKS = [key for key in vars(nn.Module()) if key.endswith("_hooks")]


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
        self.replaced: list[Entry] = []
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
            raise Unrecordable(Reason.HIDDEN_STATE, kind=self.hidden[0])

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
        numbers = [entry.name for entry in changed if isinstance(entry.value, SCALARS)]
        if numbers:
            raise Unrecordable(Reason.COUNTS, name=numbers[0])

    def check_used(self, tensors: Sequence[Tensor]) -> None:
        """Raise if a call used a tensor and then put another in its place."""
        used = set(map(id, tensors))
        for entry in self.replaced:
            if id(entry.value) in used:
                raise Unrecordable(Reason.REPLACES, name=entry.name)

    def _walk(self, value: Any) -> Iterator[Entry]:
        for hooks in _hooks_of(value):
            yield from self._walk(hooks)
        if isinstance(value, LEAVES) or id(value) in self._seen:
            return
        self._seen[id(value)] = value
        if isinstance(value, nn.Module):
            self.modules.append(value)
        if is_hidden(value):
            self.hidden.append(type(value).__name__)
            return
        for entry in entries(value):
            yield entry
            yield from self._walk(entry.value)


def _hooks_of(value: Any) -> list[Any]:
    """What is called when a module is, or when a tensor gets a gradient."""
    if isinstance(value, Tensor):
        return [h for h in (value._backward_hooks, value._post_accumulate_grad_hooks) if h]
    own = vars(value) if isinstance(value, nn.Module) else {}
    return [hooks for key in _HOOKS if (hooks := own.get(key))]


def _hooks(modules: Iterable[nn.Module]) -> list[list[int]]:
    """The numbers of all hooks; no two ever have the same."""
    of_all = [hooks for key, hooks in vars(module).items() if key.endswith("_hooks") and hooks]
    return [[*hooks] for hooks in [*of_all, *chain.from_iterable(map(_hooks_of, modules))]]
