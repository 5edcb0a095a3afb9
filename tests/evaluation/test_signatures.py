"""The same words mean the same in every signature of ``evaluation``, and in old files."""

import importlib
import inspect
import json
import pkgutil

import pytest
import torch

from probgen import evaluation, objectives, report
from probgen.evaluation import EvaluationError, Score, fid, memorization
from probgen.run.folder import FORMAT

REFUSED = {
    "interval": "level, the confidence asked for; an interval is what comes out",
    "particles": "num_particles",
    "fake": "generated",
    "samples": "n or num_particles: samples are images",
    "limit": "a name that says of what",
}
NEIGHBOURS = {"prdc.score"}
SECOND = {"real": "generated", "original": "reconstruction"}
COMMON = ["extractor", "level", "resamples", "seed"]


def functions():
    found = {}
    for module in pkgutil.walk_packages(evaluation.__path__, "probgen.evaluation."):
        for name, value in vars(importlib.import_module(module.name)).items():
            own = getattr(value, "__module__", "") == module.name
            if own and inspect.isfunction(value) and not name.startswith("_"):
                found[f"{module.name.removeprefix('probgen.evaluation.')}.{name}"] = value
    return found


FUNCTIONS = functions()
METRICS = {
    name: one for name, one in FUNCTIONS.items()
    if inspect.signature(one).return_annotation in (Score, "Score")
}  # fmt: skip


def parameters(function):
    return inspect.signature(function).parameters


def test_the_walk_sees_the_metrics():
    assert {"fid.score", "disentanglement.information.mig", "features.classifier.accuracy"} <= {
        *METRICS
    }
    assert len(METRICS) > 20 < len(FUNCTIONS)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_word_has_one_meaning(name):
    for word in parameters(FUNCTIONS[name]):
        assert word not in REFUSED, f"{name}({word}): say {REFUSED[word]}"
        assert word != "k" or name in NEIGHBOURS, f"{name}(k): k counts nearest neighbours"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_has_a_default_is_given_by_keyword(name):
    for one in parameters(FUNCTIONS[name]).values():
        assert one.default is one.empty or one.kind is one.KEYWORD_ONLY, f"{name}({one})"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_real_set_comes_first_and_the_generated_one_second(name):
    words = [*parameters(FUNCTIONS[name])]
    for first, second in SECOND.items():
        if second in words:
            assert words[:2] in ([first, second], ["train", second]), f"{name}({words})"


@pytest.mark.parametrize("name", METRICS)
def test_a_level_is_none_unless_given_and_seeds_come_last(name):
    found = parameters(METRICS[name])
    known = {word: one for word, one in found.items() if one.kind is not one.VAR_KEYWORD}
    assert "level" not in known or known["level"].default in (None, known["level"].empty)
    common = [word for word in known if word in COMMON]
    assert common == [word for word in COMMON if word in known]
    assert [*known][len(known) - len(common) :] == common


def test_objectives_share_their_words():
    for name in objectives.__all__:
        kind = getattr(objectives, name)
        if inspect.isclass(kind) and issubclass(kind, objectives.ELBO):
            words = {*parameters(kind.__init__)}
            assert not words & {"k", "particles", *REFUSED}, name
            assert "num_particles" in words or "settings" in words or kind is objectives.SimpleELBO


X = torch.randn(12, 3, generator=torch.Generator().manual_seed(0))


def test_a_metric_states_its_direction():
    assert fid.score(X, X + 1).better == "lower"
    assert memorization.score(X, X, test=X).better is None
    with pytest.raises(EvaluationError, match="'lower', 'higher' or None; got 'up'"):
        Score("FID", 1.0, (2,), better="up")


def facts(**others):
    """Of a FID as scores.json held it before scores stated their direction."""
    return {"name": "FID", "value": 2.5, "n": [12, 12], "variant": "float64, ddof 1", "unit": "",
            "extractor": "Classifier digits 0123", "data": "digits test 4567", "seed": None,
            "interval": [2.0, 3.0], "level": 0.95} | others  # fmt: skip


@pytest.mark.parametrize(
    ("name", "better"), [("FID", "lower"), ("IS", "higher"), ("memorization", None)]
)
def test_the_direction_of_a_former_score_is_known_by_its_name(name, better):
    assert Score.read(facts(name=name)).better == better


def test_a_stated_direction_is_kept_with_the_score():
    score = Score.read(facts(name="mine", better="higher"))
    assert score.better == "higher"
    assert Score.read(json.loads(json.dumps(score.facts))).facts == score.facts
    assert Score.read(facts(better=None)).better is None
    with pytest.raises(EvaluationError, match="facts of a score"):
        Score.read(facts(better="up"))


def test_a_former_nll_compares_with_a_new_one():
    former = "importance sampling, k = 1000, no dequantisation"
    new = "importance sampling, num_particles = 1000, no dequantisation"
    assert Score.read(facts(name="NLL", variant=former)).variant == new
    assert Score.read(facts(name="NLL", variant=former)) == Score.read(
        facts(name="NLL", variant=new)
    )


def written(folder, particles, metrics):
    """A run's scores.json and the run.json that it belongs to."""
    folder.mkdir()
    protocol = {"data": "digits", "data_sha256": "01", "part": "test", "n": 12, particles: 1,
                "seed": 0, "per": "item"}  # fmt: skip
    means = {name: {"mean": 1.0, "standard_error": 0.1, "unit": "nats"} for name in ("ELBO", "KL")}
    content = {"protocol": protocol, "scores": means,
               "metrics": {"weights_sha256": "ab", "scores": metrics}}  # fmt: skip
    (folder / "scores.json").write_text(json.dumps(content))
    (folder / "run.json").write_text(json.dumps({"format": FORMAT, "weights_sha256": "ab"}))
    return folder


def test_a_former_scores_json_lies_beside_a_new_one(tmp_path):
    former = written(tmp_path / "former", "particles", [facts()])
    new = written(tmp_path / "new", "num_particles", [facts(better="lower")])
    means, metrics = report.side_by_side([former, new])
    assert [row[0] for row in means.rows] == ["ELBO ↑", "KL"]
    assert [row[0] for row in metrics.rows] == ["FID ↓"]
    rows = report.tidy([former, new])
    assert {(row["run"], row["score"], row["better"]) for row in rows} == {
        (run, *score)
        for run in ("former", "new")
        for score in (("ELBO", "higher"), ("KL", None), ("FID", "lower"))
    }
