"""Three exercises on independence, worked through: every textbook claim graded, with pictures.

python examples/independence.py --out runs/independence
"""

import argparse
from pathlib import Path

from probgen import dsep, graph, markov
from probgen.reasoning import drawing


def pharmacy():
    """Who is independent of whom when a drug is chosen by severity and by means."""
    print("1. The pharmacy:", markov.factorisation("pharmacy"))
    claims = {
        "M _||_ T | D, I": False,  # circulates as false: D is said to open M -> I -> D <- T
        "F _||_ D": False,
        "S _||_ D | I": True,
        "M _||_ F": True,
        "M _||_ F | T": False,
    }
    print(dsep.grade("pharmacy", claims), end="\n\n")
    print(dsep.check("pharmacy", "M", "T", ["D", "I"]).trails, end="\n\n")


def seven_nodes():
    """A directed graph, the undirected graph usually drawn for it, and why that one is wrong."""
    print("2. Seven nodes:", markov.factorisation("abcmost"))
    drawn = "O - S; O - T; A - T; S - B; A - M; B - M; T - M; O - A; T - B; C"
    claims = {
        "MB(T) = {O, A, M, B}": True,
        f"moral graph: {drawn}": True,  # circulates: A - B is missing
        f"I-map: {drawn}": True,
        f"I-map: {drawn}; A - B": True,
        f"perfect map: {drawn}; A - B": True,
        "chordal": False,
    }
    print(dsep.grade("abcmost", claims))
    moral = dsep.index(markov.moral("abcmost"))
    independences = list(dsep.independencies("abcmost").pairwise())
    lost = [s for s in independences if not moral.separated(*s)]
    counts = f"of {len(independences)} independences the moral graph loses {len(lost)}"
    print(f"{counts}: {lost[0]}, ...", end="\n\n")


def undirected():
    """Maximal cliques, a junction tree and separation in an undirected graph."""
    print("3. Undirected:", markov.factorisation("abcdefg"))
    claims = {
        "cliques = {A,B,C}, {B,D,E}, {C,D,F}, {E,G}": True,  # circulates: {B,C,D} is missing
        "chordal": True,
        "G _||_ A": False,
        "F _||_ A | C, D": True,
        "G _||_ C | E": True,
        "A _||_ E | B, C": True,
    }
    print(dsep.grade("abcdefg", claims))
    tree = markov.junction_tree("abcdefg")
    for a, b, separator in tree.edges(data="separator"):
        print("  ", " - ".join("".join(sorted(s)) for s in (a, separator, b)))
    print(f"treewidth {tree.graph['width']}; {markov.running_intersection(tree)}")


def pictures(folder):
    """One SVG per graph, and the page of one verdict."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("pharmacy", "abcmost", "abcdefg"):
        picture = drawing.picture(graph.load(name))
        (folder / f"{name}.svg").write_text(drawing.svg(picture), "utf-8")
    verdict = dsep.check("pharmacy", "M", "F", given=["T"])
    page = f"<!doctype html><meta charset='utf-8'>{verdict._repr_html_()}"
    (folder / "pharmacy_M_F_given_T.html").write_text(page, "utf-8")
    print(f"pictures: {folder}")


def main(arguments):
    """Run the three exercises."""
    pharmacy()
    seven_nodes()
    undirected()
    if arguments.out:
        pictures(arguments.out)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, help="folder for the pictures")
    parser.add_argument("--quick", action="store_true", help="the same: it takes a second")
    main(parser.parse_args())
