"""``python -m xpmlp`` is the command ``xpmlp``."""

from xpmlp.cli import main

main()
