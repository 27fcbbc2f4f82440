"""Measures against independent arithmetic from the wording of the regulations."""
