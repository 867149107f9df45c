"""What a model has before it, and what a framework's adapter needs to keep it true.

An adapter translates: its framework's messages, tools and stores on one side, these rooms on the
other.  Nothing here knows a framework.

* `evidence`: what a conversation proves, by seals on the texts that were shown
* `values`, `references`: how a store's item is an artifact, how a state's key is a version
* `frameworks`: the error where a framework is missing or of an unknown release
* `answers`: what a model is told of a read, of a change by somebody else, of a refusal
* `desk`: one agent's place of work, for a framework that calls its tools at once
* `seats`: when an agent that an adapter brought in leaves
* `calls`, `proven`: what a model calls; it says which version it has, or its context does
* `sight`: what a caller has seen, and each part of a task that runs beside others
* `reader`, `items`: what a task has read, so that its puts compare with that; a store of items
* `steps`: what a store's call does, step by step, for callers that block or await

`evidence`, `values`, `references` and `frameworks` are pure, and `sight` asks no store; the rest
drives a workspace.
"""
