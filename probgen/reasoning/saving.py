"""A graph or network -> a file of the format that the suffix names."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import networkx as nx

from probgen.reasoning.loading import GraphLike, read
from probgen.reasoning.names import GraphError, shown


def save(graph: GraphLike, path: str | Path) -> None:
    """Write a graph with its tables, states, labels and positions; `load` reads it back equal.

    ============  ==========================================================================
    suffix        what it holds
    ============  ==========================================================================
    `.bif`        Bayesian networks; names of one line without double quotes
    `.xmlbif`     Bayesian networks; names of one line
    `.net`        Bayesian networks (Hugin); nodes named by letters, digits, underscores
    `.xdsl`       Bayesian networks (GeNIe); nodes and states named so; parents come first
    `.uai`        Bayesian and Markov networks; numbers for names: `load(path, names=...)`
    `.json`       any graph; names may be text, numbers and booleans, and stay what they are
    `.graphml`    any graph; tables as lists in JSON
    `.dot`        any graph; tables as lists in JSON
    ============  ==========================================================================

    `.gz` may follow. A file that is there is replaced at once, whole or not at all. Names that are
    no text are written as their text (but in `.json`) and come back as text. Other attributes
    than `states`, `parents`, `table`, `label`, `pos` and the factors of a Markov network are not
    written; a label that only repeats the name is none in `.net` and `.xdsl`.

    Args:
        graph: anything `load` accepts.
        path: the file; its suffix says the format.

    Raises:
        GraphError: an unknown suffix, something that the format cannot hold (nothing is
            written), or a file that cannot be written.

    >>> import tempfile
    >>> from probgen.reasoning.loading import load
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save("pharmacy", f"{folder}/pharmacy.xmlbif")
    ...     load(f"{folder}/pharmacy.xmlbif").nodes["D"]["parents"]
    ('I', 'T')
    """
    from probgen.reasoning.readers import files, formats

    file = Path(path)
    writer = _writers().get(formats.suffix(file))
    if writer is None:
        raise GraphError(
            f"expected a file ending with {' '.join(_writers())}; got {shown(file)[:200]}"
        )
    files.write(file, writer(read(graph)))


def _writers() -> dict[str, Callable[[nx.Graph], str]]:
    from probgen.reasoning.readers import bif, dot, graphml, json, net, uai, xdsl, xmlbif

    return {
        ".bif": bif.write,
        ".xmlbif": xmlbif.write,
        ".net": net.write,
        ".xdsl": xdsl.write,
        ".uai": uai.write,
        ".json": json.write,
        ".graphml": graphml.write,
        ".dot": partial(dot.write, with_tables=True),
    }
