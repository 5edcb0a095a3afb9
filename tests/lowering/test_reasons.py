"""Every reason why a program stays slower is said somewhere, and is documented."""

import re
from pathlib import Path
from string import Formatter

import pytest
import torch

from probgen import lowering
from probgen.lowering import LoweringWarning
from probgen.lowering.reasons import Reason, Unrecordable
from probgen.lowering.recording import record

ROOT = Path(__file__).parents[2]
SOURCE = "".join(path.read_text("utf-8") for path in (ROOT / "probgen/lowering").glob("*.py"))
DOCS = " ".join((ROOT / "docs/lowering.md").read_text("utf-8").split())


def fields(reason):
    return {name for _, name, *_ in Formatter().parse(reason.value) if name}


@pytest.mark.parametrize("reason", Reason, ids=lambda reason: reason.name)
def test_a_reason_is_used_and_takes_the_fields_that_its_sentence_has(reason):
    assert re.search(rf"\bReason\.{reason.name}\b", SOURCE)
    said = reason.say(**{name: f"<{name}>" for name in fields(reason) - {"name"}}, name="<name>")
    assert all(f"<{name}>" in said for name in fields(reason))
    assert not said.endswith(".")  # it goes on with where to read more


@pytest.mark.parametrize("reason", Reason, ids=lambda reason: reason.name)
def test_a_reason_is_in_the_documentation(reason):
    pieces = [text.split(": ")[0] for text, *_ in Formatter().parse(reason.value)]
    longest = max((piece.strip(" :,;") for piece in pieces), key=len)
    assert longest in DOCS


def test_what_cannot_be_recorded_says_its_reason_and_line():
    with pytest.raises(Unrecordable, match=r"host for a value \(test_reasons.py, line") as raised:
        record(lambda x: [x * float(torch.rand(()))], [torch.ones(2)])
    assert raised.value.reason is Reason.ASKS_HOST


def test_no_line_of_a_warning_is_the_librarys():
    lowered = lowering.Lowered(
        lambda x: x * float(torch.rand(())), list, name="it", roots=(), how="graph"
    )
    lowered(torch.ones(2))
    with pytest.warns(LoweringWarning, match="it runs eagerly: it asks the host") as said:
        lowered(torch.ones(2))
    assert said[0].filename == __file__
