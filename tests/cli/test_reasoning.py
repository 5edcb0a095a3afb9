"""The commands that reason: d-separation and exact inference."""

import csv
import json

import pytest

PHARMACY = "M -> I <- S; I -> T <- F; I -> D <- T"


@pytest.mark.parametrize(
    ("arguments", "status", "line"),
    [
        (["dsep", PHARMACY, "M", "F", "--given", "T"], 1, "open at T, an observed collider"),
        (["dsep", "pharmacy", "M", "T", "-g", "D,I", "--trails"], 0, "all 2 trails"),
        (["dsep", "pharmacy", "M,S", "F", "-g", "T", "-g", "I"], 0, "M, S and F are independent"),
        (["dsep", "pharmacy", "M", "Q"], 2, "as y; got 'Q'"),
        (["dsep", "A -> A", "A", "B"], 2, "self-loop"),
        (["dsep", "pharmacy", "M"], 2, "Missing argument"),
        (["dsep", "pharmacy", "M", "F", "--html", "no/folder/x.html"], 2, "x.html: cannot be wr"),
        (["graph", "show", "pharmacy", "--svg", "no/folder/x.svg"], 2, "x.svg: cannot be written"),
        (["graph", "show", "pharmacy"], 0, "T  drug chosen  {cheap, dear}  <- I, F"),
        (["graph", "show"], 0, "pharmacy"),
        (["graph", "show", "farmacy"], 2, "did you mean 'pharmacy'"),
    ],
)
def test_command_line(probgen, arguments, status, line):
    found, out, err = probgen(*arguments)
    assert found == status
    assert line in out + err
    assert not (out and status == 2)


def test_infer_prints_posteriors(probgen):
    status, out, _ = probgen("infer", "asia", "lung", "--given", "smoke=yes", "--do", "tub=no")
    assert status == 0
    assert "lung  yes    0.100000" in out
    assert "probability of what is given: 0.5" in out
    assert len(probgen("infer", "asia")[1].splitlines()) == 1 + 16 + 1


def test_infer_shows_names_as_they_are(probgen, tmp_path):
    path = tmp_path / "odd.bif"
    path.write_text(
        "network n { } variable [red]x { type discrete [ 2 ] { [bold]a, b }; }"
        "probability ( [red]x ) { table 0.25, 0.75; }"
    )
    status, out, _ = probgen("infer", path, "--given", "[red]x=b")
    assert status == 0
    assert "[red]x  [bold]a  0.000000" in out


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (("asia", "bron"), "did you mean 'bronc'"),
        (("asia", "--given", "smoke"), "expected NODE=STATE; got 'smoke'"),
        (("asia", "--given", "smoke=yess"), "did you mean 'yes'"),
        (("asia", "--given", "tub=yes", "--given", "either=no"), "probability zero"),
        (("asia", "--memory", "1e-9"), "at most 1 bytes; got width 2"),
    ],
)
def test_infer_refuses_in_one_line(probgen, words, match):
    status, _, err = probgen("infer", *words)
    assert (status, err.count("\n")) == (2, 1)
    assert match in err


ODD = '"age=>=65" -> "x=1, y" <- p<0.05; "x=1, y" -> z'


@pytest.mark.parametrize("name", ["x=1, y", '"x=1, y"', '"x=1, y",z'])
def test_dsep_takes_names_with_signs_and_commas(probgen, name):
    status, out, _ = probgen("dsep", ODD, "age=>=65", "p<0.05", "--given", name)
    assert status == 1
    assert "age=>=65 -> x=1, y <- p<0.05 is open" in out
    assert probgen("dsep", ODD, "age=>=65", "p<0.05")[0] == 0


def test_dsep_in_json(probgen):
    status, out, _ = probgen("dsep", PHARMACY, "M", "F", "-g", "T", "--json", "--trails")
    answer = json.loads(out)
    assert (status, out.count("\n")) == (1, 1)
    assert (answer["x"], answer["y"], answer["given"]) == (["M"], ["F"], ["T"])
    assert not answer["independent"]
    assert answer["complete"]
    assert answer["trails"][0]["nodes"] == ["M", "I", "T", "F"]
    assert [trail["open"] for trail in answer["trails"]] == [True, False]
    assert "trails" not in json.loads(probgen("dsep", "A; B", "A", "B", "--json")[1])


def test_dsep_in_csv(probgen):
    rows = list(csv.reader(probgen("dsep", ODD, "age=>=65", "p<0.05", "--csv")[1].splitlines()))
    assert rows[0] == ["x", "y", "given", "independent", "why"]
    assert rows[1][:4] == ["age=>=65", "p<0.05", "", "true"]
    _, out, _ = probgen("dsep", ODD, "age=>=65", "p<0.05", "-g", "z", "--csv", "--trails")
    trails = list(csv.reader(out.splitlines()))
    assert trails[0] == ["trail", "open", "why"]
    assert trails[1][:2] == ["age=>=65 -> x=1, y <- p<0.05", "true"]


def test_dsep_says_where_csv_is_cut_short(probgen):
    wide = "; ".join(f"x -> m{i} -> y" for i in range(101))
    status, out, err = probgen("dsep", wide, "x", "y", "--csv", "--trails")
    assert (status, len(out.splitlines())) == (1, 101)
    assert "the 100 shortest trails; there are more" in err
    status, _, err = probgen("dsep", "A; B", "A", "B", "--csv", "--json")
    assert status == 2
    assert "--json or --csv; got both" in err


def test_dsep_prints_long_names_whole(probgen):
    names = [f"{letter}{'-long' * 60}" for letter in "abc"]
    for words in ([], ["--json"], ["--csv"], ["--trails"]):
        out = probgen("dsep", " -> ".join(names), names[0], names[2], *words)[1]
        assert all(name in out for name in names)


def test_dsep_never_answers_for_another_graph(probgen):
    assert probgen("dsep", "A-->B; B-->C; C-->D", "A", "B")[0] == 1
    assert probgen("dsep", "A<--B; B<--C; C<--D", "A", "D", "-g", "C")[0] == 0
    status, _, err = probgen("dsep", "A ~> B; B ~> C", "A", "B")
    assert status == 2
    assert "got '~>'" in err
