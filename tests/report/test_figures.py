"""Figures: colours, legends and names."""

import pytest
import torch
from matplotlib.colors import to_hex
from pages import labelled, read

from probgen import report
from probgen.report import figures
from probgen.run.history import History


def test_dollars_are_not_mathematics():
    tensor = torch.zeros(1, 1, 8, 8)
    svg = figures.to_svg(figures.images({"cost $a_$": tensor, "_": tensor}))
    assert figures.to_svg(figures.images({"cost $a_$": tensor, "_": tensor})) == svg
    assert b"prefers-color-scheme" in svg
    assert figures.INK.encode() not in svg.replace(figures.ADAPTIVE.encode(), b"")


def test_every_run_is_in_the_legend_whatever_its_name():
    histories = {name: History([{"step": 1, "kl": 1, "validation_kl": 2}]) for name in ("_a", "b")}
    legend = figures.curves(histories, "kl").axes[0].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["_a", "b"]


@pytest.mark.parametrize("count", [2, 10, 11, 24])
def test_no_two_runs_share_a_colour(count):
    histories = {f"run {i}": History([{"step": 1.0, "loss": float(i)}]) for i in range(count)}
    figure = figures.curves(histories, "loss")
    assert len({to_hex(line.get_color()) for line in figure.axes[0].lines}) == count
    points = {name: [(1.0, 2.0)] for name in histories}
    assert figures.rate_distortion({"a": (1.0, 2.0), "b": (2.0, 1.0)}, points)


def test_many_runs_have_their_legend_below_the_curves():
    histories = {f"run {i}": History([{"step": 1, "kl": 1}]) for i in range(10)}
    figure = figures.curves(histories, "kl")
    figures.to_svg(figure)
    legend, axes = figure.legends[0], figure.axes[0]
    assert [text.get_text() for text in legend.get_texts()] == list(histories)
    assert legend.get_window_extent().y1 <= axes.get_window_extent().y0


def test_long_names_that_differ_at_their_end_are_told_apart():
    names = [f"fashion_mnist_convolutional_latent_64_beta_{beta}" for beta in (1, 4)]
    histories = {name: History([{"step": 1, "kl": 1}]) for name in names}
    legend = figures.curves(histories, "kl").axes[0].get_legend()
    shown = [text.get_text() for text in legend.get_texts()]
    assert shown[0] != shown[1]
    assert max(map(len, shown)) <= figures.LONGEST


def test_many_classes_are_counted_and_some_shown(tmp_path):
    part = labelled(y=[*range(30), *[60_000] * 10])
    found = read(report.save_data(tmp_path, {"train": part}))
    assert "20 of 31 classes" in found.text
    assert (tmp_path / "report.html").stat().st_size < 2_000_000
    with pytest.raises(report.ReportError, match="at least one set"):
        report.save_data(tmp_path, {})
