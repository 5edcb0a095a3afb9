"""A history: its table and its copy in TensorBoard."""

import pytest
from digit_vae import DIGITS, vae

from probgen import objectives, training
from probgen.run.history import History, HistoryError, tensorboard

ELBO = objectives.ELBO


def test_tensorboard_gets_each_record(tmp_path):
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    log = tensorboard(tmp_path)
    history = training.fit(vae(), ELBO(), DIGITS, steps=3, log_every=1, log=log)
    found = events.EventAccumulator(str(tmp_path)).Reload()
    for name in ("loss", "kl"):
        scalars = [(event.step, event.value) for event in found.Scalars(name)]
        assert scalars == [(r["step"], pytest.approx(r[name])) for r in history.records]


def test_a_history_survives_its_table():
    records = [{"step": 1.0, "loss": -0.1, "kl": 1e-9}, {"step": 2.0, "beta": 3.0}]
    assert History.from_csv(History(records).to_csv()).records == records
    for text in ("step,loss\n1,inf\n", "step\nx\n", "loss\n1\n", "step\n1,2\n"):
        with pytest.raises(HistoryError):
            History.from_csv(text)
