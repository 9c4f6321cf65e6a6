"""Market data: schemas, the lake, QA gates, importers and the simulated market."""
