"""The commands that reason: d-separation and exact inference."""

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
