"""Real work as a workload: the history of a git repository, or a recorded run.

`git` reads a repository, `reading` makes a `History` of it, `saving` keeps one without any text,
`teams` makes a workload of a history, `recorded` one of recordings, and `pricing` says what each
strategy costs.  ``coherence simulate replay`` is all of that.
"""
