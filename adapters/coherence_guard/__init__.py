"""A guard for coding agents that edit real files: nothing is lost, and you are told.

::

    coherence guard install --claude        # or --codex: hooks before and after each file tool

The files stay the truth.  Beside them, a journal in ``.coherence/`` of the root remembers, by
digest of content, what each agent has seen whole, and keeps the contents that passed by.  A whole
write by an agent that has not seen the present content is refused, with author and difference; what
slips through between check and write is kept, and its writer is told.

Read `rules`, the decisions without any input or output; `journal`, what is remembered; then `hook`,
one call of a hook.  These three do not import the package `coherence`, which would cost more than
the call.  `keeping` puts kept contents into a workspace, `settings` edits the settings of Claude
Code and Codex, `cli` has the commands, and `served` is the tool for the MCP server.
"""

from coherence_guard.hook import answer

__all__ = ["answer"]
