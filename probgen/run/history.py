"""What a run records: terms on the device step by step, read once per interval."""

import csv
import io
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from probgen.run.errors import HistoryError, NonFiniteError

Record = dict[str, float]


@dataclass
class History:
    """What a run recorded: one dict of numbers per logging interval or validation.

    Terms are means per datum over the interval's batches, in nats; ``seconds`` since the start.
    """

    records: list[Record] = field(default_factory=list)

    def __repr__(self) -> str:
        """How many records, and the last.

        >>> History([{"step": 50, "loss": 30.1234}, {"step": 100, "loss": 28.5678}])
        <History of 2 records; the last: step 100, loss 28.57>
        """
        last = self.records[-1] if self.records else {}
        words = ", ".join(f"{name} {value:.4g}" for name, value in last.items())
        return f"<History of {len(self.records)} records; the last: {words or 'none'}>"

    def series(self, name: str) -> tuple[list[float], list[float]]:
        """Steps and values of the records that have ``name``; empty where none has."""
        found = [(r["step"], r[name]) for r in self.records if name in r]
        return [step for step, _ in found], [value for _, value in found]

    def to_csv(self) -> str:
        """One row per record, an empty cell where a record has no such number."""
        names = list(dict.fromkeys(name for record in self.records for name in record))
        text = io.StringIO()
        writer = csv.DictWriter(text, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.records)
        return text.getvalue()

    @classmethod
    def from_csv(cls, text: str) -> "History":
        r"""What ``to_csv`` wrote.

        Raises:
            HistoryError: a cell that is no finite number, or rows without a step.

        >>> History.from_csv("step,loss,beta\n10,2.5,\n").records
        [{'step': 10.0, 'loss': 2.5}]
        """
        rows = list(csv.DictReader(io.StringIO(text), restkey="", restval=""))
        try:
            records = [{k: float(v) for k, v in row.items() if v} for row in rows]
        except (ValueError, TypeError) as error:
            raise HistoryError(f"expected a number in every cell: {error}") from None
        if not all("step" in r and all(map(math.isfinite, r.values())) for r in records):
            raise HistoryError("expected finite numbers and a step in every row")
        return cls(records)


class Measured(NamedTuple):
    """Names and values of a step's terms, and the sites that some are of; values on the device."""

    names: list[str]
    sites: dict[str, str]
    values: Tensor


class Meter:
    """Terms of the steps since the last record, kept on the device until read once."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.sites: dict[str, str] = {}
        self.rows: list[Tensor] = []

    def add(self, step: Measured) -> None:
        """One more step; nothing is asked of the device."""
        self.names, self.sites, values = step
        self.rows.append(values)

    def read(self, step: int) -> Record:
        """Means over the interval that ends with ``step``."""
        rows = torch.stack(self.rows).double().cpu()
        self.rows = []
        if not rows.isfinite().all():
            row = int((~rows.isfinite()).any(1).nonzero()[0])
            first = step - len(rows) + row + 1
            raise NonFiniteError(f"{self._culprit(rows[row])} at step {first}", first)
        return dict(zip(self.names, rows.mean(0).tolist(), strict=True))

    def _culprit(self, row: Tensor) -> str:
        """The first term that is not finite; a latent site's KL before what follows from it."""
        values = dict(zip(self.names, row, strict=True))
        bad = [name for name, value in values.items() if not value.isfinite()]
        name = next((name for name in bad if name in self.sites), bad[0])
        said = f"the kl of the site {self.sites[name]!r}" if name in self.sites else name
        return f"{said} is {values[name].item()}"


def tensorboard(folder: str | Path) -> Callable[[Record], None]:
    """A ``log`` for ``fit`` that writes TensorBoard events (the ``tensorboard`` extra).

    Raises:
        HistoryError: the extra is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise HistoryError("TensorBoard is missing: pip install 'probgen[tensorboard]'") from None
    writer = SummaryWriter(str(folder))

    def log(record: Record) -> None:
        for name in record.keys() - {"step"}:
            writer.add_scalar(name, record[name], int(record["step"]))
        writer.flush()

    return log
