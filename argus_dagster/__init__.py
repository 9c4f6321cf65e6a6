"""Argus on Dagster: thin assets, partitions, checks, schedules, sensors and the command line over `argus_core`."""
