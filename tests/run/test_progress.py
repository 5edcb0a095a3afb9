"""Progress: a bar at a terminal, lines elsewhere."""

from digit_vae import DIGITS, vae

from probgen import objectives, training
from probgen.run import progress

ELBO = objectives.ELBO


def test_a_progress_bar_shows_the_terms(capsys):
    training.fit(vae(), ELBO(), DIGITS, steps=3, show=True)
    shown = capsys.readouterr().err
    assert "VAE on digits" in shown
    assert "3/3" in shown


def test_without_a_terminal_progress_is_lines_now_and_then(capsys, monkeypatch):
    training.fit(vae(), ELBO(), DIGITS, steps=3, log_every=1)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(progress, "EVERY", 0.0)
    training.fit(vae(), ELBO(), DIGITS, steps=3, log_every=1)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert lines[1].startswith("VAE on digits  2 of 3  loss ")
    training.fit(vae(), ELBO(), DIGITS, steps=3, log_every=1, show=False)
    assert capsys.readouterr().err == ""
