"""Settings of the unit tests."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# How fast the machine is, and how busy, is no property of the code.
settings.register_profile("unit", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unit")
