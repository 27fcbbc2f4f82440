"""Tests of optimizers/, one file per module."""
