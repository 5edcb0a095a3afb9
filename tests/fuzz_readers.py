"""Mutated texts for the readers: each gives a graph or a GraphError, in bounded time and memory.

`python tests/fuzz_readers.py 100000` runs that many per reader; the tests run fewer.
"""

import json
import random
import resource
import sys
import time
import warnings

from probgen import graph
from probgen.reasoning.readers import (
    arcs,
    bif,
    dne,
    dot,
    dsc,
    graphml,
    net,
    text,
    uai,
    xdsl,
    xmlbif,
)
from probgen.reasoning.readers import json as node_link

SEEDS = {
    text.read: [
        "M -> I <- S; I -> T <- F; I -> D <- T",
        'A - B; "a b" - C\nD',
        'x-ray -> "q\\"uote" <- y; z',
    ],
    dot.read: [
        'digraph x { M -> I; S:p:n -> {T D} [color="r\\"ed", a=1]; node [x=y]; rankdir=LR }',
        "/* c */ strict graph { a -- b -- {c; d} subgraph s { e } # z\n // y\n }",
        'dag { bb="0,0" M [pos="1.5,-2"] M -> I <- S; <b>x</b> }',
    ],
    text.read_bnlearn: [
        "[M][S][F][I|M:S][T|I:F][D|I:T]",
        " [a b][c|a b]\n[d|c:a b] ",
    ],
    bif.read: [
        "network n { property x; }\nvariable A { type discrete [ 2 ] { yes, no }; }\n"
        'variable "B" { type discrete [ 2 ] { <1, other }; property label = "b"; } // c\n'
        "probability ( A ) { table 0.2, 0.8; } /* d */\n"
        "probability ( B | A ) { (yes) 0.1, 0.9; default 1e-1 0.9; }\n",
        "variable A { type discrete [ 3 ] { a, b, c }; }\nprobability ( A ) { table .5 .25 .25; }",
    ],
    xmlbif.read: [
        '<?xml version="1.0"?><!DOCTYPE BIF [<!ELEMENT BIF (NETWORK)*>]><BIF VERSION="0.3">'
        "<NETWORK>"
        '<VARIABLE TYPE="nature"><NAME>A</NAME><OUTCOME>&lt;1</OUTCOME><OUTCOME>b</OUTCOME>'
        "<PROPERTY>position = (1, 2)</PROPERTY></VARIABLE><DEFINITION><FOR>A</FOR><TABLE>0.5 0.5"
        "<!-- c --></TABLE></DEFINITION></NETWORK></BIF>",
    ],
    xdsl.read: [
        '<smile version="1.0"><nodes><cpt id="A"><state id="a"/><state id="b"/><probabilities>0.5 '
        '0.5</probabilities></cpt><deterministic id="B"><state id="a"/><state id="b"/><parents>A'
        "</parents><resultingstates>a b</resultingstates></deterministic></nodes><extensions>"
        '<genie><node id="A"><name>n</name><position>1 2 3 4</position></node></genie>'
        "</extensions></smile>",
    ],
    graphml.read: [
        '<graphml><key id="d" for="node" attr.name="label" attr.type="string"/>'
        '<graph edgedefault="directed"><node id="A"><data key="d">x</data></node><node id="B"/>'
        '<edge source="A" target="B"/></graph></graphml>',
    ],
    graphml.read_gml: [
        'Creator "x"\ngraph [ directed 1 node [ id 0 label "A" ] node [ id 1 label "B&#39;" ]\n'
        "edge [ source 0 target 1 weight 1.5 ] ]",
    ],
    net.read: [
        'net { a = "b;"; } % c\nnode A { states = ("a" "b"); label = "x"; position = (1 2); }\n'
        "node B { states = (a b); } potential (A) { data = (0.5 0.5); }\n"
        "potential (B | A) { data = ((0.5 0.5) (0.1 0.9)); }",
    ],
    dne.read: [
        '// c\nbnet x { visual V { f = font {size = 1;}; }; node A { states = (a, b); title = "t";'
        "\nprobs = (0.5, 0.5); visual V1 { center = (1, 2); }; }; node B { discrete = FALSE; "
        "levels = (1, 2, 3); parents = (A); functable = (#0, #1); }; };",
    ],
    dsc.read: [
        'belief network "x" // c\nnode A { name : "l"; type : discrete [ 2 ] = { "a", "b" }; }\n'
        'node B { type: discrete[2] { "a", "b" }; position : (1, 2); }\nprobability ( A ) { 0.5, '
        "0.5; }\nprobability ( B | A ) { (0) : 0.5, 0.5; (1) : 1e-1, 0.9; }",
    ],
    uai.read: [
        "BAYES\n2\n2 2\n2\n1 0\n2 0 1\n\n2\n0.5 0.5\n4\n0.1 0.9 0.2 0.8\n",
        "MARKOV 3 2 2 2 2 2 0 1 2 1 2 4 1 2 3 4 4 1 0 0 1",
    ],
    node_link.read: [
        '{"directed": true, "nodes": [{"id": "A", "states": ["a", 1], "table": [0.5, 0.5]}, {'
        '"id": 2, "states": ["a", true], "parents": ["A"], "table": [[0.5, 0.5], [1e-1, 0.9]], '
        '"pos": [1, 2]}], "edges": [{"source": "A", "target": 2}]}',
    ],
    arcs.read: [
        '"","from","to"\n"1","A","B"\n"2","C","B"\n',
        "# x\nsource;target;type\nA;B;Directed\n",
    ],
}
WORDS = [
    "->", "<-", "→", "-", "--", "<->", "-->", "=>", "⟶", "o->", "-.", "<", ">", "edge [dir=back]",
    ";", "{", "}", "[", "]", "(", ")", '"', "\\", "/*", "*/",
    "//", "#", "|", ",", "=", "\n", " ", "\t", "\0", "\x1b", "\u202e", "\ud800", "é", "1e999",
    "nan", "-1", "99999999", "table", "default", "variable", "probability", "digraph", "subgraph",
]  # fmt: skip


def mutated(seed, rng):
    """A seed text with a few pieces deleted, doubled, swapped or put in."""
    chars = list(seed)
    for _ in range(rng.randint(1, 6)):
        i, j = sorted(rng.randint(0, len(chars)) for _ in range(2))
        j = min(j, i + rng.choice((1, 3, 20)))
        match rng.randrange(5):
            case 0:
                del chars[i:j]
            case 1:
                chars[i:i] = chars[i:j] * rng.choice((1, 1, 2, 30))
            case 2:
                chars[i:i] = rng.choice(WORDS) * rng.choice((1, 1, 1, 5))
            case 3:
                chars[i:j] = rng.choice(WORDS)
            case 4:
                chars[i:j] = reversed(chars[i:j])
    return "".join(chars)


STARTS = [
    "", "digraph {", "graph ", "dag { ", "variable A { ", '"', "network ", "probability ( ",
    "A -> ",
    "variable A { type discrete [ 2 ] { a, b }; } probability ( A ) { ",
    "variable A { type discrete [ 2 ] { ",
]  # fmt: skip
OWN_STARTS = {
    xmlbif.read: [
        "",
        "<BIF><NETWORK>",
        "<!DOCTYPE BIF [",
        "<!DOCTYPE BIF [<!ELEMENT a (",
        "<?xml ",
    ],
    xdsl.read: ["", "<smile><nodes>", "<smile><nodes><cpt id='A'><state id='"],
    graphml.read: ["<graphml><graph edgedefault='directed'>", "<graphml><key "],
    graphml.read_gml: ["graph [ ", "graph [ node [ id 0 label ", 'Creator "'],
    net.read: ["", "net { ", "node A { states = (", 'node A { a = "', "potential (", "%"],
    dne.read: ["bnet x { ", "bnet x { node A { states = (", 'bnet x { node A { title = "', "//"],
    dsc.read: ["", 'belief network "', "node A { ", "node A { type : discrete [", "probability ("],
    uai.read: ["BAYES ", "MARKOV 2 2 2 1 2 0 1 4 ", "MARKOV 100 "],
    node_link.read: ["", "{", '{"nodes": [', '{"directed": true, "nodes": [{"id": '],
    arcs.read: ["", "from,to\n", 'from,to\n"', "source;target\n"],
}
"""Starts of texts in one format alone."""
PIECES = [
    "a", "a ", "a;", "a-", "- ", '"\\', "/*/", "/* */", "{a", "a -> ", "(a) 1;", "a,", "<a", "<<",
    "a=b ", "[a]", "[a|", "a:", '"+"', "property ", "\n\n", "a.b ", "<a>", "<a/>", "<!--", "&a;",
    "a = 1; ", "a {", "1 ", "[1,", '{"a":', "<a b='", "a [ ", "2 0 1 ", "node A {", "a,b\n", "#1 ",
]  # fmt: skip


def bombs(reader=None, size=1 << 16):
    """Texts of 64 KiB that make careless readers slow or large."""
    for word in WORDS + PIECES:
        for start in OWN_STARTS.get(reader, STARTS):
            yield start + word * ((size - len(start)) // len(word))
    if reader in OWN_STARTS:
        return
    yield " -> ".join(f"v{i}" for i in [*range(7_000), 0])
    parents = [f"P{i}" for i in range(21)]
    declared = (f"variable {v} {{ type discrete [ 2 ] {{ a, b }}; }}" for v in ["X", *parents])
    wide = f"probability ( X | {', '.join(parents)} ) {{ default 0.5, 0.5; }}"
    yield "".join(declared) + wide


def attempt(reader, source):
    """Read; anything but a graph or a GraphError is raised. The seconds of the processor."""
    started = time.process_time()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", graph.GraphWarning)
            reader(source)
    except graph.GraphError as error:
        if not str(error).isprintable():
            raise AssertionError(ascii(str(error))) from error
    return time.process_time() - started


def fuzz(reader, count, seed=0):
    """Read mutated texts; how many were graphs, and the longest time."""
    rng = random.Random(seed)
    return max(attempt(reader, mutated(rng.choice(SEEDS[reader]), rng)) for _ in range(count))


def bombed():
    """What bombs cost: the most seconds by reader, and the MiB by which the process grew."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    slowest = {
        named(reader): max(attempt(reader, bomb) for bomb in bombs(reader))
        for reader in [*SEEDS, graph.load]
    }
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {"seconds": slowest, "MiB": grown / 1024}


def named(reader):
    return f"{reader.__module__}.{reader.__name__}"


def main(count):
    for reader in SEEDS:
        slowest = fuzz(reader, count)
        worst = max(
            (attempt(each, bomb), ascii(bomb[:40]))
            for bomb in bombs(reader)
            for each in (reader, graph.load)
        )
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"{named(reader)}: {count:,} mutated, slowest {slowest:.3f} s; "
            f"64 KiB bombs: slowest {worst[0]:.3f} s ({worst[1]}); peak {peak:.0f} MiB",
            flush=True,
        )


if __name__ == "__main__":
    if sys.argv[1] == "bombs":
        print(json.dumps(bombed()))
    else:
        main(int(sys.argv[1]))
