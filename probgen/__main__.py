"""``python -m probgen`` is the command ``probgen``."""

from probgen.cli import main

main()
