"""A module for each format, with `read` and, where it is written, `write`; objects, matrices."""
