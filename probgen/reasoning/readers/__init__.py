"""A reader for each format: text (arrows, bnlearn), dot (dagitty), bif, matrices, objects."""
