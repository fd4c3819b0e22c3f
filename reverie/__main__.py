"""`python -m reverie` is the command line; `torchrun -m reverie` starts it on several processes."""

from reverie.cli.main import entry

entry()
