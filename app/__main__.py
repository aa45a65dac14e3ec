"""``python -m app`` in a checkout, ``python -m echodeck`` where it is installed."""

from echodeck import main

main()
