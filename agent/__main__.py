"""`python -m vesalius.agent` is the command `vesalius`."""

from .cli import main

main()
