"""Networks as Pyro programs: `program_of`."""

from collections import Counter
from collections.abc import Callable, Mapping
from graphlib import TopologicalSorter
from itertools import count
from typing import Any

import networkx as nx
import pyro
import pyro.distributions as dist
import torch
from pyro.ops.indexing import Vindex
from torch import Tensor, nn

from probgen.exact.network import ExactError, Network, network_of
from probgen.exact.rows import MISSING, rows_of
from probgen.reasoning.loading import GraphLike
from probgen.reasoning.names import listed

PLATE = "_rows"
_numbers = count(1)


class NetworkModel(nn.Module):
    """A discrete Bayesian network as a Pyro model: one enumerated site per node.

    Sites have the names of the nodes and integers as values, positions in `states`.

    Attributes:
        states: {site: states}, so that `states["smoke"][int(value)]` is a state's name.
    """

    def __init__(self, network: Network, learn: bool = False) -> None:
        super().__init__()
        self.states = dict(zip(_sites(network), network.states, strict=True))
        self._network, self._name = network, f"network{next(_numbers)}"
        above = {family[-1]: family[:-1] for family in network.families}
        self._order = list(TopologicalSorter(above).static_order())
        logits = [torch.from_numpy(table.copy()).log() for table in network.tables()]
        self.logits = nn.ParameterList(nn.Parameter(v, requires_grad=learn) for v in logits)
        self._learn = learn

    def forward(self, rows: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """Sample every site; with `rows` (from `codes`) all rows at once, in a plate."""
        if self._learn:
            pyro.module(self._name, self)
        if not rows:
            return self._sampled({})
        (n,) = {len(column) for column in rows.values()}
        with pyro.plate(PLATE, n):
            return self._sampled(rows)

    def _sampled(self, rows: Mapping[str, Tensor]) -> dict[str, Tensor]:
        names = list(self.states)
        values: dict[int, Tensor] = {}
        for v in self._order:
            above = tuple(values[u] for u in self._network.families[v][:-1])
            logits = Vindex(self.logits[v])[(*above, slice(None))] if above else self.logits[v]
            values[v] = pyro.sample(
                names[v],
                dist.Categorical(logits=logits),
                obs=rows.get(names[v]),
                infer={"enumerate": "parallel"},
            )
        return {names[v]: value for v, value in values.items()}

    def codes(self, source: Any) -> dict[str, Tensor]:
        """Names of states as the integers of the program.

        A mapping {node: state} gives what `pyro.condition` and `pyro.do` take; several rows
        (a list of mappings, a data frame, `exact.Rows`) what the model takes as `rows`.

        Raises:
            UnknownNode, ExactError: a node or state that the network does not have; a value
                missing in a column.
        """
        single = isinstance(source, Mapping)
        found = rows_of(self._network, [source] if single else source)
        if (found.codes == MISSING).any():
            raise ExactError(
                "expected columns without missing values; got some: drop the column, or use "
                "exact.fit, which sums over them"
            )
        sites = list(self.states)
        names = [sites[self._network.index[v]] for v in found.nodes]
        columns = torch.from_numpy(found.codes.copy())
        return {name: columns[0, k] if single else columns[:, k] for k, name in enumerate(names)}

    def network(self) -> nx.DiGraph:
        """The network with the program's tables as they are now."""
        made = nx.DiGraph()
        nodes = self._network.nodes
        made.add_nodes_from(nodes)
        for family, logits in zip(self._network.families, self.logits, strict=True):
            *parents, v = (nodes[u] for u in family)
            made.add_edges_from((p, v) for p in parents)
            table = logits.detach().softmax(-1).cpu().numpy()
            states = self._network.states[family[-1]]
            made.nodes[v].update(states=states, parents=tuple(parents), table=table)
        return made


def _sites(network: Network) -> list[str]:
    names = [str(v) for v in network.nodes]
    if twice := [n for n, times in Counter([*names, PLATE]).items() if times > 1]:
        raise ExactError(
            f"expected node names that differ as text, none of them {PLATE!r}; got "
            f"{listed(twice)}: rename with networkx.relabel_nodes"
        )
    return names


def program_of(
    network: GraphLike, *, learn: bool = False
) -> tuple[NetworkModel, Callable[..., None]]:
    """A discrete Bayesian network as a Pyro pair (model, guide).

    Every unobserved site is enumerated in parallel by `TraceEnum_ELBO`, so that its loss with
    the empty guide is -log p(observed), exactly, and `compute_marginals` gives posteriors.
    Condition with `pyro.condition(model, model.codes({"smoke": "yes"}))`, intervene with
    `pyro.do`. Each enumerated site takes a tensor dimension: torch has 64 of them, and
    `probgen.exact` is there for larger networks.

    Args:
        network: a Bayesian network with tables, anything that `graph.load` accepts. Rows that
            are off 1 by up to 1e-6 are divided by their sums, as Pyro does it.
        learn: make the tables parameters, softmax of logits, for SVI; entries of 0 stay 0.

    Raises:
        GraphError: a node without a table (a continuous one, say), rows that don't sum to 1, a
            cycle, an undirected network.

    >>> import pyro
    >>> from pyro.infer import TraceEnum_ELBO
    >>> model, guide = program_of("asia")
    >>> ill = pyro.condition(model, model.codes({"dysp": "yes", "smoke": "no"}))
    >>> posterior = TraceEnum_ELBO(max_plate_nesting=0).compute_marginals(ill, guide)
    >>> model.states["bronc"], posterior["bronc"].probs
    (('yes', 'no'), tensor([0.7539, 0.2461], dtype=torch.float64))
    """
    known = network_of(network)
    if not known.directed:
        raise ExactError("expected a directed network for a program; got an undirected one")
    model = NetworkModel(known, learn)

    def guide(rows: Mapping[str, Tensor] | None = None) -> None:
        """Nothing: the model's sites are enumerated."""

    return model, guide
