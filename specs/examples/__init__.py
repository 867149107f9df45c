"""Models of the field, written for `specs.checker` and pinned to the counts that TLC prints.

``manifest.toml`` names each original, its bounds and TLC's figures.
"""
