"""Agents of yours under every order of their workspace calls."""
