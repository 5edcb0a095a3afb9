"""Runs and generators that the tests of reports share."""

from dataclasses import replace

import pytest

from probgen import recipe, report


@pytest.fixture
def runs(tmp_path):
    """Two runs by recipe, one of them with a name that is nobody's friend."""
    words = recipe.Recipe(limit=200, hidden=8, latent=4, epochs=2, objective="beta")
    folders = [tmp_path / "plain", tmp_path / "<i>b <script> A[b] cost $a_$"]
    for beta, folder in enumerate(folders, 1):
        recipe.train(replace(words, beta=beta), folder)
    return folders


@pytest.fixture(scope="session")
def generators(tmp_path_factory):
    """A GAN and a diffusion model, which have no codes."""
    folder = tmp_path_factory.mktemp("generators")
    small = {"limit": 100, "hidden": 8, "latent": 2, "batch_size": 50, "epochs": 4}
    diffusion = {"model": "diffusion", "objective": "simple", "noise_steps": 50, "latent": 16}
    made = {"game": {"model": "gan"}, "noisy": diffusion}
    for name, words in made.items():
        recipe.train(recipe.Recipe(**(small | words)), folder / name)
    return [report.load(folder / name) for name in made]
