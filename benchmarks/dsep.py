"""d-separation, triangulation and BIF reading beside networkx and pgmpy, as paired ratios.

Run `python benchmarks/dsep.py`; the results go to `benchmarks/results/dsep.json`.
"""

import argparse
import gc
import gzip
import importlib.util
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path

import networkx as nx

from probgen import dsep, graph, markov

HERE = Path(__file__).parent
DATA = Path(os.environ.get("PROBGEN_DATA", HERE.parents[1] / "shared" / "data")) / "bif"
ROUNDS = 5


def uniform_edges(n, rng):
    """2 n edges between uniformly random pairs: in-degree 2 on average, few ancestors."""
    return [sorted(rng.sample(range(n), 2)) for _ in range(2 * n)]


def two_parents(n, rng):
    """Every node has two uniformly random earlier parents: many ancestors, all in common."""
    return [(p, v) for v in range(2, n) for p in rng.sample(range(v), 2)]


def dag(kind, n, shuffled):
    """A random graph with string names, parents inserted first or in random order."""
    rng = random.Random(0)
    edges = kind(n, rng)
    order = rng.sample(range(n), n) if shuffled else range(n)
    made = nx.DiGraph()
    made.add_nodes_from(f"v{i}" for i in range(n))
    made.add_edges_from((f"v{order[a]}", f"v{order[b]}") for a, b in edges)
    return made


def seconds(function, queries):
    """Seconds per query, and the answers."""
    started = time.perf_counter()
    answers = [bool(function(*query)) for query in queries]
    return (time.perf_counter() - started) / len(queries), answers


def paired(rivals, queries):
    """Median seconds of each, and the median over rounds of the first's time over each other's."""
    times = {name: [] for name in rivals}
    answers = {}
    for _ in range(ROUNDS):
        for name, (function, count) in rivals.items():
            taken, answers[name] = seconds(function, queries[:count])
            times[name].append(taken)
    base = next(iter(rivals))
    few = len(answers[base])
    assert all(a[:few] == answers[base][: len(a)] for a in answers.values())
    ratios = {
        name: statistics.median(a / b for a, b in zip(times[base], t, strict=True))
        for name, t in times.items()
    }
    return {k: statistics.median(t) for k, t in times.items()}, ratios


def separation(kind, n, slow, shuffled):
    """One row: queries with ten observed nodes on one random graph."""
    g = dag(kind, n, shuffled)
    rng = random.Random(1)
    picks = (rng.sample(sorted(g), 12) for _ in range(1000))
    queries = [(s[0], s[1], s[2:]) for s in picks]
    plain = dsep.index(g, compiled=False)
    rivals = {
        "networkx": (lambda x, y, z: nx.is_d_separator(g, {x}, {y}, set(z)), slow),
        "check": (lambda x, y, z: dsep.check(g, x, y, z), slow),
        "index": (plain.separated, 1000),
    }
    if importlib.util.find_spec("numba"):
        rivals["index, numba"] = (dsep.index(g, compiled=True).separated, 1000)
    gc.collect()
    times, ratios = paired(rivals, queries)
    independent = statistics.mean(seconds(plain.separated, queries)[1])
    order = "shuffled" if shuffled else "parents first"
    row = {"graph": f"{kind.__name__}, {order}", "nodes": n, "independent": independent}
    for name in rivals:
        row[f"{name}: microseconds"] = round(times[name] * 1e6, 2)
        if name != "networkx":
            row[f"{name}: times faster"] = round(ratios[name], 1)
    return row


def triangulation(name):
    """Width and seconds of ours, networkx's min-fill and its chordal completion."""
    moral = markov.moral(DATA / f"{name}.bif.gz")
    row = {"network": name}
    for label, function in {
        "ours": lambda: markov.triangulate(moral).graph["width"],
        "networkx min-fill": lambda: nx.approximation.treewidth_min_fill_in(moral)[0],
        "networkx chordal": lambda: _width(nx.complete_to_chordal_graph(moral)[0]),
    }.items():
        started = time.perf_counter()
        row[f"{label}: width"] = function()
        row[f"{label}: seconds"] = round(time.perf_counter() - started, 4)
    return row


def _width(chordal):
    return max(map(len, nx.chordal_graph_cliques(chordal))) - 1


def reading(path):
    """Milliseconds to read one BIF file, beside pgmpy's reader on the text in memory."""
    from pgmpy.readwrite import BIFReader

    text = gzip.open(path, "rt").read()
    ours, theirs = [], []
    for _ in range(3):
        started = time.perf_counter()
        graph.load(path)
        between = time.perf_counter()
        BIFReader(string=text).get_model()
        ours.append(between - started)
        theirs.append(time.perf_counter() - between)
    ratio = statistics.median(b / a for a, b in zip(ours, theirs, strict=True))
    return {
        "file": path.name,
        "ours: milliseconds": round(1e3 * statistics.median(ours), 2),
        "pgmpy: milliseconds": round(1e3 * statistics.median(theirs), 1),
        "times faster": round(ratio),
    }


def importing():
    """Seconds that `from probgen import dsep` takes in a fresh process above networkx."""
    code = (
        "import time; import networkx; t = time.perf_counter();"
        "from probgen import dsep; dsep.check; print(time.perf_counter() - t)"
    )
    runs = [subprocess.check_output([sys.executable, "-c", code], text=True) for _ in range(5)]
    return round(statistics.median(map(float, runs)), 4)


def machine():
    """The machine and the versions, in general words."""
    found = [f"{os.cpu_count()} cores", platform.machine().replace("_", "-")]
    found += [f"Python {platform.python_version()}", f"networkx {nx.__version__}"]
    return ", ".join(found)


def main(out):
    """Measure everything, print each row when it is measured, write all of them down."""
    results = told({"machine": machine(), "import: seconds above networkx": importing()})
    results["separation"] = [
        told(separation(kind, n, slow, shuffled))
        for kind in (uniform_edges, two_parents)
        for shuffled in (False, True)
        for n, slow in ((1_000, 100), (10_000, 20), (100_000, 3))
    ]
    if DATA.is_dir():
        results["triangulation"] = [told(triangulation(name)) for name in ("munin1", "link")]
        if importlib.util.find_spec("pgmpy"):
            results["reading"] = [told(reading(path)) for path in sorted(DATA.glob("*.bif.gz"))]
    else:
        results["skipped"] = "no bif networks: triangulation and reading were not measured"
    out.write_text(json.dumps(results, indent=1) + "\n")
    print(f"results: {out}")


def told(row):
    """The row, printed as one line."""
    print(", ".join(f"{key} {value}" for key, value in row.items()), flush=True)
    return row


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=HERE / "results" / "dsep.json")
    main(parser.parse_args().out)
