"""Certificates: the arithmetic, the document, the verifier, and attempts to deceive it."""
