"""Coherence of artifacts that a team of agents shares."""
