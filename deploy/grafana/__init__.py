"""Dashboards of operations, as code."""
