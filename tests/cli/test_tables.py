"""Tables at a terminal that cannot show everything."""

import io
import sys

import pytest

from probgen import cli


def test_a_terminal_that_cannot_show_a_path_ends_no_command(monkeypatch, tmp_path):
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(
        sys, "argv", ["probgen", "data", "show", "digits", "--out", f"{tmp_path}/ü"]
    )
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert not stop.value.code
    out.flush()
    assert out.detach().getvalue().endswith(b"?/report.html\n")
    assert (tmp_path / "ü" / "report.html").exists()
