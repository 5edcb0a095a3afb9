"""Text and file formats to networkx graphs: text (arrows, bnlearn), dot (and dagitty), bif."""
