"""Shipped models: benchmarks of the field, our own protocols, and a few to learn from."""
