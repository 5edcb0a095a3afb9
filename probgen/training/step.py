"""What both trainings do to weights: gradients of a program, then a step of an optimiser."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from probgen.lowering import HOW, Captured, How, Lowered
from probgen.run.history import Measured


class Update:
    """Calls of ``program`` and the step after it, recorded once; on CUDA captured whole.

    Args:
        program: gives gradients to the parameters, and what it measured.
        parameters: what it trains.
        optimizer: of these parameters.
        name: what a warning calls it.
        roots: objects that the program is made of.
        lower: as for ``training.fit``.
        steps: number of calls to come.
        keep: results that stay valid at a time.
        clip_norm: greatest norm of all gradients together.
        after: what follows the step, by tensor operations alone.
        moved: tensors that ``after`` writes to, beside the parameters.
    """

    def __init__(
        self,
        program: Callable[..., Measured],
        parameters: Sequence[nn.Parameter],
        optimizer: torch.optim.Optimizer,
        *,
        name: str,
        roots: Sequence[Any],
        lower: How,
        steps: int,
        keep: int = 1,
        clip_norm: float | None = None,
        after: Callable[[], object] = lambda: None,
        moved: Callable[[], Sequence[Tensor]] = list,
    ) -> None:
        self.parameters, self.optimizer = parameters, optimizer
        self.clip_norm, self.after = clip_norm, after
        self.gradients = Lowered(
            program, lambda: [*parameters], name=f"training {name}", roots=roots, how=lower,
            steps=steps,
        )  # fmt: skip
        self.whole = Captured(
            self.gradients, self._finish, lambda: [optimizer], keep=keep, moved=moved
        )

    def prepare(self, *args: Any) -> None:
        """Record these arguments' kind now, without any effect."""
        self.gradients.prepare(*args)

    @property
    def facts(self) -> dict[str, Any]:
        """How its calls ran."""
        return {"lowered": self.gradients.used, "captured": self.whole.used}

    def run_as(self, lowered: Any) -> None:
        """Go on as a saved run did, where "auto" leaves that open."""
        if lowered not in HOW:
            raise ValueError(f"lowered {lowered!r}")
        if self.gradients.how == "auto":
            self.gradients.how = lowered

    def __call__(self, *args: Any) -> Measured:
        """Update the parameters; what was measured before."""
        values = self.whole(*args)
        return self.measured._replace(values=values)

    def _finish(self, measured: Measured) -> Tensor:
        if self.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.parameters, self.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.after()
        self.measured = measured
        return measured.values
