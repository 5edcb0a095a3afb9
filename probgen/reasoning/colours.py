"""The colours of pictures, told apart by colour-blind eyes too (Okabe and Ito 2008)."""

OPEN, BLOCKED, SHADE, LINE = "#0072b2", "#d55e00", "#c9ccd1", "#5b6068"
"""Of an open trail, a blocked one, observed nodes, and lines."""
