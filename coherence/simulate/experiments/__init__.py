"""What coherence saves against strong baselines, with prompt caching, and how far it is from ideal.

The package is part of `coherence.simulate`, whose actions it plays.
"""
