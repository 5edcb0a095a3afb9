"""Exact inference beside pgmpy and pyAgrum, as paired ratios in one run.

Run `python benchmarks/exact.py`; the results go to `benchmarks/results/exact.json`. pyAgrum (C++)
is measured where it is installed.
"""

import argparse
import importlib.util
import json
import multiprocessing
import os
import platform
import statistics
import sys
import time
import warnings
from pathlib import Path

import networkx as nx
import numpy as np
import torch

from probgen import exact, graph

HERE = Path(__file__).parent
DATA = Path(os.environ.get("PROBGEN_DATA", HERE.parents[1] / "shared" / "data")) / "bif"
QUESTIONS = 20
FRESH = 25
BOTH = (
    "asia", "cancer", "earthquake", "survey", "sachs", "child", "insurance", "alarm",
    "hailfinder", "win95pts", "pigs",
)  # fmt: skip
ROUNDS = 5
ROWS = 1000


def say(text):
    print(text, file=sys.stderr, flush=True)


def evidences(network, nodes, n):
    """N different rows of evidence on as many random nodes each, drawn from the network."""
    rng = np.random.default_rng(0)
    rows = exact.sample(network, n, seed=0)
    for i in range(n):
        picked = rng.permutation(len(network))[:nodes]
        yield {rows.nodes[k]: rows.states[k][rows.codes[i, k]] for k in picked}


def ours(network):
    return lambda evidence: exact.marginals(network, evidence)


def by_torch(network):
    """Posteriors as gradients that autograd takes, with respect to the tables."""

    def answer(evidence):
        tables = {
            v: torch.tensor(data["table"], requires_grad=True)
            for v, data in network.nodes(data=True)
        }
        exact.log_likelihood(network, [evidence], tables).sum().backward()
        return {
            v: dict(zip(network.nodes[v]["states"], _row(table), strict=True))
            for v, table in tables.items()
        }

    return answer


def _row(table):
    counts = table.detach() * table.grad
    return counts.reshape(-1, counts.shape[-1]).sum(0).tolist()


def by_pgmpy(network):
    from pgmpy.inference import VariableElimination

    engine = VariableElimination(graph.to_pgmpy(network))

    def answer(evidence):
        found = {}
        for v in network:
            if v not in evidence:
                table = engine.query([v], evidence=evidence, show_progress=False)
                found[v] = dict(zip(table.state_names[v], table.values.tolist(), strict=True))
        return found

    return answer


def by_pyagrum(network):
    """Lazy propagation in pyAgrum, on one thread, on the tables that we have."""
    import pyagrum

    made = pyagrum.BayesNet()
    for v, data in network.nodes(data=True):
        made.add(pyagrum.LabelizedVariable(v, v, [str(state) for state in data["states"]]))
    for v, data in network.nodes(data=True):
        for parent in data["parents"]:
            made.addArc(parent, v)
    for v, data in network.nodes(data=True):
        cpt, family = made.cpt(v), [*data["parents"], v]
        axes = [family.index(u) for u in reversed(cpt.names)]
        table = data["table"] / data["table"].sum(-1, keepdims=True)
        cpt[:] = np.ascontiguousarray(table.transpose(axes))
    engine = pyagrum.LazyPropagation(made)
    engine.setNumberOfThreads(1)
    labels = {v: made.variable(v).labels() for v in made.names()}

    def answer(evidence):
        engine.setEvidence(evidence)
        engine.makeInference()
        return {v: dict(zip(labels[v], engine.posterior(v).tolist(), strict=True)) for v in labels}

    return answer


def posteriors(name):
    """All posteriors given five observed nodes: the best of five rounds, medians of questions."""
    path = DATA / f"{name}.bif.gz"
    network = graph.load(path)
    rivals = {"ours": ours(network), "ours by torch autograd": by_torch(network)}
    if importlib.util.find_spec("pgmpy"):
        rivals["pgmpy VariableElimination"] = by_pgmpy(network)
    if importlib.util.find_spec("pyagrum"):
        rivals["pyAgrum LazyPropagation"] = by_pyagrum(network)
    times = {rival: [] for rival in rivals}
    for k, evidence in enumerate(evidences(network, 5, QUESTIONS)):
        say(f"{name}: question {k + 1} of {QUESTIONS}")
        answers = {}
        for rival, answer in rivals.items():
            answer(evidence)
            best = []
            for _ in range(ROUNDS):
                started = time.perf_counter()
                answers[rival] = answer(evidence)
                best.append(time.perf_counter() - started)
            times[rival].append(min(best))
        _require_equal(answers, evidence)
    row = {"network": name, "questions": QUESTIONS, "observed nodes": 5}
    for rival, taken in times.items():
        row[f"{rival}: milliseconds"] = round(1e3 * statistics.median(taken), 3)
        if rival != "ours":
            ratio = statistics.median(t / o for t, o in zip(taken, times["ours"], strict=True))
            row[f"{rival}: times slower"] = round(ratio, 1)
    return row


def _require_equal(answers, evidence):
    """Rows that are off 1 in the file are normalised here and not there: 1e-6."""
    for v, row in answers["ours"].items():
        for found in answers.values():
            assert v in evidence or all(abs(found[v][s] - p) < 1e-6 for s, p in row.items())


def fresh(name):
    """All posteriors given a new set of five observed nodes each time: planning and inference.

    No set is asked twice, so that nothing is planned before; each question is a paired ratio.
    """
    say(f"{name}: {FRESH} new sets of observed nodes")
    network = graph.load(DATA / f"{name}.bif.gz")
    ask, other = ours(network), by_pyagrum(network)
    row = {"network": name, "nodes": len(network), "questions": FRESH}
    for answer, rival in ((ask, "ours"), (other, "pyAgrum")):
        started = time.perf_counter()
        answer({})
        row[f"{rival}, first question, nothing observed: milliseconds"] = round(
            1e3 * (time.perf_counter() - started), 2
        )
    times = []
    for k, evidence in enumerate(evidences(network, 5, FRESH)):
        pair = {}
        for answer in (ask, other)[:: 1 if k % 2 else -1]:
            started = time.perf_counter()
            pair[answer] = answer(evidence), time.perf_counter() - started
        _require_equal({"ours": pair[ask][0], "pyAgrum": pair[other][0]}, evidence)
        times.append((pair[ask][1], pair[other][1]))
    ratios = [mine / theirs for mine, theirs in times]
    row["ours: milliseconds"] = round(1e3 * statistics.median(mine for mine, _ in times), 2)
    row["pyAgrum: milliseconds"] = round(1e3 * statistics.median(theirs for _, theirs in times), 2)
    row["ours by pyAgrum: median"] = round(statistics.median(ratios), 2)
    row["ours by pyAgrum: quartiles"] = [round(q, 2) for q in statistics.quantiles(ratios)[::2]]
    return row


def dynamic_network(slices):
    """A dynamic network of five nodes a slice, unrolled."""
    rng, cards = np.random.default_rng(0), {"A": 2, "B": 3, "C": 2, "O": 4, "P": 2}
    made, shared = nx.DiGraph(), {}
    for t in range(slices):
        made.add_nodes_from(f"{v}{t}" for v in cards)
        within = [("A", "B"), ("B", "O"), ("C", "O"), ("A", "P")]
        made.add_edges_from((f"{a}{t}", f"{b}{t}") for a, b in within)
        between = [("A", "A"), ("B", "B"), ("C", "C"), ("A", "C")] if t else []
        made.add_edges_from((f"{a}{t - 1}", f"{b}{t}") for a, b in between)
    for v, data in made.nodes(data=True):
        parents = tuple(made.pred[v])
        key = v[0], *(u[0] for u in parents)
        if key not in shared:
            shape = [cards[u] for u in key[1:]]
            shared[key] = rng.dirichlet(np.ones(cards[v[0]]), shape or None)
        states = tuple(f"s{k}" for k in range(cards[v[0]]))
        data.update(states=states, parents=parents, table=shared[key])
    return made


def dynamic(slices):
    """Seconds and memory of each rival in a process of its own, on an unrolled network."""
    say(f"a dynamic network of {slices} slices")
    rivals = ["ours"] + ["pyAgrum"] * bool(importlib.util.find_spec("pyagrum"))
    row = {"slices": slices, "nodes": 5 * slices, "observed": "every seventh O"}
    for rival in rivals:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            first, later, peak = pool.apply(_dynamic, (rival, slices))
        row[f"{rival}: first question, seconds"] = round(first, 3)
        row[f"{rival}: new evidence, seconds"] = round(later, 3)
        row[f"{rival}: MiB above the graph"] = round(peak, 1)
    return row


def _dynamic(rival, slices):
    network = dynamic_network(slices)
    before = _peak()
    answer = ours(network) if rival == "ours" else by_pyagrum(network)
    started = time.perf_counter()
    answer({})
    first, later = time.perf_counter() - started, []
    for k in range(5):
        evidence = {f"O{t}": f"s{(t + k) % 4}" for t in range(k, slices, 7)}
        started = time.perf_counter()
        answer(evidence)
        later.append(time.perf_counter() - started)
    return first, statistics.median(later), _peak() - before


def _peak():
    """The most memory that this process has had, in MiB; getrusage keeps its parent's."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) / 1024


def chains():
    """Processor seconds of `exact.cost` for chains of binary nodes, read and planned."""
    found = []
    for n in (4_000, 16_000, 17_000, 64_000):
        chain = nx.path_graph(n, create_using=nx.DiGraph)
        table = np.array([[0.9, 0.1], [0.2, 0.8]])
        for v, data in chain.nodes(data=True):
            data.update(
                states=(0, 1), parents=tuple(chain.pred[v]), table=table if v else table[0]
            )
        started = time.process_time()
        exact.cost(chain)
        found.append({"nodes": n, "seconds": round(time.process_time() - started, 3)})
    return found


def rows(name):
    """Microseconds per row of evidence, together and one by one."""
    network = graph.load(DATA / f"{name}.bif.gz")
    drawn = exact.sample(network, ROWS, seed=1)
    picked = np.random.default_rng(1).permutation(len(network))[:5]
    together = exact.Rows(
        tuple(drawn.nodes[k] for k in picked),
        tuple(drawn.states[k] for k in picked),
        drawn.codes[:, picked],
    )
    columns = {v: together[v] for v in together.nodes}
    single = [{v: column[i] for v, column in columns.items()} for i in range(ROWS)]
    once, each = [], []
    for k in range(ROUNDS):
        say(f"{name}: {ROWS} rows, round {k + 1} of {ROUNDS}")
        started = time.perf_counter()
        exact.marginals(network, together)
        between = time.perf_counter()
        for evidence in single:
            exact.marginals(network, evidence)
        once.append(between - started)
        each.append(time.perf_counter() - between)
    return {
        "network": name,
        "rows": ROWS,
        "together: microseconds per row": round(1e6 * statistics.median(once) / ROWS, 2),
        "one by one: microseconds per row": round(1e6 * statistics.median(each) / ROWS, 1),
        "times faster": round(
            statistics.median(b / a for a, b in zip(once, each, strict=True)), 1
        ),
    }


def large(name):
    """Seconds from a graph in memory to all posteriors, or to the refusal, and the cost."""
    say(f"{name}: all posteriors, planned from scratch")
    network = graph.load(DATA / f"{name}.bif.gz")
    started, worked = time.perf_counter(), time.process_time()
    try:
        exact.marginals(network)
        outcome = "answered"
    except exact.TooCostly as refusal:
        outcome = f"refused: {refusal}"
    first, busy = time.perf_counter() - started, time.process_time() - worked
    row = {"network": name, "nodes": len(network), "outcome": outcome}
    row["cost"] = str(exact.cost(network))
    row["first call: seconds"] = round(first, 2)
    row["first call: processor seconds"] = round(busy, 2)
    if outcome == "answered":
        started = time.perf_counter()
        exact.marginals(network)
        row["next call: seconds"] = round(time.perf_counter() - started, 3)
    return row


def machine():
    """The machine and the versions, in general words."""
    found = [f"{os.cpu_count()} cores", platform.machine().replace("_", "-")]
    found += [f"Python {platform.python_version()}", f"numpy {np.__version__}"]
    found += [f"torch {torch.__version__}", f"networkx {nx.__version__}"]
    for name in ("pgmpy", "pyagrum"):
        if importlib.util.find_spec(name):
            found.append(f"{name} {importlib.import_module(name).__version__}")
    load = os.getloadavg()[0]
    return ", ".join([*found, "one thread each", f"load {load:.1f} at the start"])


def main(out):
    """Measure everything, print it and write it down."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    if not DATA.is_dir():
        sys.exit("no bif networks under $PROBGEN_DATA or beside the repository: nothing measured")
    agrum = importlib.util.find_spec("pyagrum")
    results = {
        "machine": machine(),
        "all posteriors": [posteriors(name) for name in ("asia", "alarm", "hailfinder")],
        "new sets of observed nodes": [fresh(name) for name in BOTH] if agrum else "no pyAgrum",
        "dynamic network": dynamic(1000),
        "chains": chains(),
        "rows": [rows("alarm")],
        "large": [large(name) for name in ("pigs", "link", "munin1")],
    }
    text = json.dumps(results, indent=1)
    print(text)
    out.write_text(text + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=HERE / "results" / "exact.json")
    main(parser.parse_args().out)
