"""What graph, dsep and markov are made of."""
