"""Files that several agents edit: whose write would lose what, and the contents that passed by.

The files stay the truth.  Beside them a journal remembers, by digest of content, what each agent
has seen whole.  The package knows no client and no framework, and imports nothing else of ours: a
hook is a process for each call, and would spend most of its time on imports.

Read in this order::

    rules    the decisions: from contents to an answer, and what to remember; pure
    journal  what is remembered of one root, in one SQLite file
    places   the root that guards a file; where git's HEAD is
    guard    one call of a tool, checked before and reported after

`coherence_guard` translates the hooks of Claude Code and Codex.
"""
