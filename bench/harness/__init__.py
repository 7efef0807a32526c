"""The parts of bench/run: what is run, how it is measured, and how it is told."""
