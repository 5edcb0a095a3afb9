"""The command line ``probgen``."""

from probgen.cli.learning import app, main

__all__ = ["app", "main"]
