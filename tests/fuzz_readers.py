"""Mutated texts for the readers: each gives a graph or a GraphError, in bounded time and memory.

`python tests/fuzz_readers.py 100000` runs that many per reader; the tests run fewer.
"""

import json
import random
import resource
import sys
import time

from probgen import graph
from probgen.reasoning.readers import bif, dot, text

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
PIECES = [
    "a", "a ", "a;", "a-", "- ", '"\\', "/*/", "/* */", "{a", "a -> ", "(a) 1;", "a,", "<a", "<<",
    "a=b ", "[a]", "[a|", "a:", '"+"', "property ", "\n\n", "a.b ",
]  # fmt: skip


def bombs(size=1 << 16):
    """Texts of 64 KiB that make careless readers slow or large."""
    for word in WORDS + PIECES:
        for start in STARTS:
            yield start + word * ((size - len(start)) // len(word))
    yield " -> ".join(f"v{i}" for i in [*range(7_000), 0])
    parents = [f"P{i}" for i in range(21)]
    declared = (f"variable {v} {{ type discrete [ 2 ] {{ a, b }}; }}" for v in ["X", *parents])
    wide = f"probability ( X | {', '.join(parents)} ) {{ default 0.5, 0.5; }}"
    yield "".join(declared) + wide


def attempt(reader, source):
    """Read; anything but a graph or a GraphError is raised. The seconds of the processor."""
    started = time.process_time()
    try:
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
        named(reader): max(attempt(reader, bomb) for bomb in bombs())
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
            for bomb in bombs()
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
