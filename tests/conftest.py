"""What holds for all tests: the same code gives the same result, however busy the machine is.

Hypothesis would fail a test of which one example takes longer than 200 ms, or whose examples are slow to make: on a
loaded machine that is any test. It would also try other examples in every run; here a test has its own ones, so that a
failure is the change's. `pytest --hypothesis-profile=search` tries others, and finds what nobody thought of.
"""

from hypothesis import HealthCheck, settings

CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

settings.register_profile("search", CALM)
settings.register_profile("repeat", CALM, derandomize=True)
settings.load_profile("repeat")
