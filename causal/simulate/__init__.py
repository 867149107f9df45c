"""Drivers for the delivery protocols: random walks and the experiments of the papers."""
