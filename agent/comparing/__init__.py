"""Two models held against each other: earlier claims tested again, behaviours, circuits and weights."""
