"""Tests of services that run as processes of their own and are asked over the network."""

import pytest

pytest.register_assert_rewrite("tests.running.day")
