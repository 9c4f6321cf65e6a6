"""Argus: the pure research library. No Dagster import, usable from a notebook."""
