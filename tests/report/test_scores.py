"""Scores side by side: which share a table."""

from dataclasses import replace
from typing import NamedTuple

from pages import read

from probgen import checkpoint, recipe, report
from probgen.evaluation import Score


def test_two_protocols_never_share_a_table(runs):
    loaded = [report.load(folder) for folder in runs]
    protocol = loaded[1].scores.protocol | {"num_particles": 9}
    loaded[1] = loaded[1]._replace(scores=loaded[1].scores._replace(protocol=protocol))
    path = report.compare(runs[0].parent / "two", loaded)
    assert path.read_text().count("Protocol:") == 2


class Scored(NamedTuple):
    name: str
    metrics: list


def test_a_score_that_one_of_two_runs_has_names_its_run():
    scored, other = Scored("scored", [Score("FID", 3.0, (9, 9))]), Scored("other", [])
    assert [table.header[1] for table in report.metric_tables([scored, other])] == ["scored"]
    assert [table.header[1] for table in report.metric_tables([scored])] == ["value"]


def test_scores_got_alike_stand_in_one_row_and_those_of_other_data_in_another_table():
    fid, kid = Score("FID", 3.0, (9, 9), data="here"), Score("KID", 1.0, (9, 9), data="here")
    few, other = replace(fid, n=(5, 5), value=4.0), replace(fid, data="there", value=5.0)
    runs = [
        Scored("a", [fid, kid]), Scored("b", [fid]), Scored("c", [few]), Scored("d", [other])
    ]  # fmt: skip
    here, there = report.metric_tables(runs)
    assert list(here.header) == ["score", "a", "b", "c", "n", "variant"]
    assert [row[1:5] for row in here.rows] == [
        ["3", "3", "–", "9, 9"], ["1", "–", "–", "9, 9"], ["–", "–", "4", "5, 5"]
    ]  # fmt: skip
    assert (there.header[1], there.rows[0][1]) == ("d", "5")


def test_a_word_that_an_older_recipe_lacks_is_no_difference(runs, tmp_path):
    first, second = (report.load(folder) for folder in runs)
    older = {name: value for name, value in first.facts["recipe"].items() if name != "binarize"}
    first = first._replace(facts=first.facts | {"recipe": older})
    found = read(report.compare(tmp_path / "both", [first, second]))
    assert "binarize no" in found.text.partition("The same in all:")[2]


def test_evaluate_reproduces_a_studys_scores(probgen, tmp_path):
    from probgen import study

    words = recipe.Recipe(limit=200, hidden=8, epochs=1, binarize=True)
    [run] = study.train({"a run": words}, tmp_path)
    scores = (tmp_path / "a run" / "scores.json").read_bytes()
    assert checkpoint.read_json(tmp_path / "a run" / "scores.json")["scores"] == run.scores.values
    (tmp_path / "a run" / "scores.json").unlink()
    assert probgen("evaluate", tmp_path / "a run")[0] == 0
    assert (tmp_path / "a run" / "scores.json").read_bytes() == scores
