"""What holds for all tests: none may fail because the machine is busy.

Hypothesis would fail a test of which one example takes longer than 200 ms, which on a loaded machine is any test.
"""

from hypothesis import settings

settings.register_profile("lexorder", deadline=None)
settings.load_profile("lexorder")
