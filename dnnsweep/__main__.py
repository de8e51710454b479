"""`python -m dnnsweep` is `dnnsweep`."""

from dnnsweep.cli import main

main()
