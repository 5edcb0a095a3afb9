"""Why a program, or a part of it, is not lowered: every reason, as the sentence that is said.

A recording stands for later calls only where its inputs alone decide what is computed, where all
that it changes is a tensor, and where its replay gives what the program gives. Each way to fall
short of that is a member here, and a row of the tables in docs/lowering.md.
"""

from enum import Enum, unique


@unique
class Reason(Enum):
    """What is said of a program that runs slower than asked; ``say`` fills in the fields.

    ``where`` is the program's line, as `` (model.py, line 12)``, or nothing if none is known.

    >>> Reason.ASKS_HOST.say(where=" (model.py, line 12)")
    'it asks the host for a value (model.py, line 12)'
    """

    # It cannot be recorded: Python decides, or something is used that no operation shows.
    ASKS_HOST = "it asks the host for a value{where}"
    ASKS_HOST_FOR_WRITTEN = "it asks the host for a value that it changes itself"
    OWN_GENERATOR = "it draws from a generator of its own{where}"
    PYTHON_NOISE = "it draws from Python's or NumPy's generator, not from PyTorch's"
    OTHER_STORAGE = "it makes a tensor of another's storage{where}"
    OTHER_MEMORY = "it puts other memory in a tensor{where}: write to it in place, as x.copy_(y)"
    COMPUTED_BEFORE = "it uses what was computed before, or in another thread{where}"
    LAYOUT = "it uses a tensor of layout {layout}{where}"
    PADDING = (
        "PyTorch leaves padded positions out of a TransformerEncoder{where}: make it with "
        "enable_nested_tensor=False"
    )
    TRACED_LOSS = "PyTorch's tracer compiles its loss: give it a {plain}"
    RECORDING_FAILED = "recording it failed: {error}: {message}"

    # Its arguments cannot be told from others, or not be put in.
    ARGUMENT_KIND = (
        "expected arguments of tensors, numbers, strings, functions, modules and objects of your "
        "own; got {kind}"
    )
    ARGUMENT_LAYOUT = "expected dense arguments; got one of layout {layout}"
    ARGUMENT_GRADIENT = "an argument requires gradients: make it a parameter"
    ARGUMENT_WRITTEN = "it writes to an argument: let it write to a copy"

    # It keeps a state that a replay would leave where it is.
    HIDDEN_STATE = (
        "it keeps a {kind}, whose state cannot be seen: give what it yields as an argument"
    )
    COUNTS = "{name} changes in every call: keep it in a buffer"
    REPLACES = "{name} is replaced in every call: write to it in place, as to a buffer"
    REPLACES_PARAM = "pyro.param {name!r} is replaced in every call"
    KEEPS_TENSOR = "it uses a tensor made outside PyTorch, or kept from the call before, as state"

    # Two of its calls, or a call and its replay, are not one computation.
    TWO_PROGRAMS = (
        "two calls do different things: its sites or its shapes depend on chance or state"
    )
    OTHER_NUMBERS = "its recording gives other numbers"
    CATCHES_ERRORS = "it raises errors by values that change, and catches them"

    # It is recorded, but not for every call.
    CHANGES = (
        "its arguments or what they meet{changed} change in every step; new ones run eagerly, "
        "unless what changes comes as an argument that is a tensor"
    )
    TOO_MANY_KINDS = "it has more than {kinds} kinds of calls in turn; the others run eagerly"

    # Its recording is not compiled.
    NO_COMPILER = "inductor does not compile it, its graph is replayed: {error}"
    COMPILED_NUMBERS = "compiled, it gives other numbers"
    COMPILED_MEMORY = "compiled, its gradients share memory"
    COMPILED_LAYOUT = "compiled, its results have another layout"

    # Its updates are not captured in a CUDA graph.
    HOST_DECIDES = "Python decides by values of its inputs"
    HOST_CHECKS = "Python checks values in every step"
    HOST_NOISE = "it draws noise on the {there}: make its distributions of tensors on {here}"
    HOST_TENSOR = (
        "it uses a tensor on the {there}: move it to {here}, as a module does its buffers"
    )
    HOST_ARGUMENT = "an argument is on the {there}: give it on {here}"
    HOST_WAITS = "it makes the host wait for the device"
    HOST_COUNTS = "{optimizer} counts on the host: give it fused=True or capturable=True"
    HOST_COUNTS_ALWAYS = "{optimizer} counts on the host: Adam does not"
    RESULT_KIND = "its result is a {kind}, expected one tensor"
    CAPTURE_FAILED = "its capture failed: {error}"
    CAPTURED_NUMBERS = "captured, it gives other numbers"

    def say(self, **fields: object) -> str:
        """The sentence, with its fields filled in."""
        return self.value.format(**fields)


class Unrecordable(Exception):  # noqa: N818
    """Why a program has to stay eager.

    Attributes:
        reason: the kind of it.
    """

    def __init__(self, reason: Reason, **fields: object) -> None:
        super().__init__(reason.say(**fields))
        self.reason = reason
