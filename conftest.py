"""Doctests are collected from modules that can be imported: numba is an extra."""

from importlib.util import find_spec

collect_ignore = [] if find_spec("numba") else ["probgen/reasoning/separation_numba.py"]
