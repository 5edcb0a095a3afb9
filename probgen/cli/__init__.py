"""The command line ``probgen``."""

from probgen.cli.app import app, main

__all__ = ["app", "main"]
