"""Published outcomes held against the rule library: `pytest tests/vectors --vectors=FILE`."""
