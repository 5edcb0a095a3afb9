"""``python -m probgen`` is the command ``probgen``."""

from probgen.cli.app import main

main()
