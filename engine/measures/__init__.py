"""The measures that regulations define, one file for each subject; importing this package registers them all.

Guaranteed: pure, exact, cited. Before: `measure.py`. After: `measuring.py`, which puts their values among the facts.
"""
