"""Measurements beside peers; each module runs by itself, results go to results/."""
