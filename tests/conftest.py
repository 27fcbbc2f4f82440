"""What holds for all tests: the same code gives the same result, however busy the machine is and in whatever order.

Hypothesis would fail a test of which one example takes longer than 200 ms, or whose examples are slow to make: on a
loaded machine that is any test. It would also try other examples in every run; here a test has its own ones, so that a
failure is the change's. `pytest --hypothesis-profile=search` tries others, and finds what nobody thought of.

A command that serves sends all logs of its process to the standard error of that moment, which for the next test is a
stream that nobody reads: what a test did to logging ends with it.
"""

import logging
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import HealthCheck, settings

CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

settings.register_profile("search", CALM)
settings.register_profile("repeat", CALM, derandomize=True)
settings.load_profile("repeat")

LOGGERS = ("", "alembic", "httpx", "uvicorn", "uvicorn.access", "uvicorn.error")
"""Those that the service and its server set."""


@pytest.fixture(autouse=True)
def _logs_as_they_were() -> Iterator[None]:
    """Leave logging as the test found it; what pytest itself adds and takes away is left alone."""
    known = [(log, list(log.handlers), log.level, log.propagate) for log in map(logging.getLogger, LOGGERS)]
    yield
    if structlog.is_configured():
        structlog.reset_defaults()
    for log, handlers, level, propagate in known:
        log.handlers = [handler for handler in log.handlers if handler in handlers]
        log.setLevel(level)
        log.propagate = propagate
