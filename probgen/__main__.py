"""``python -m probgen`` is the command ``probgen``."""

from probgen.cli.learning import main

main()
