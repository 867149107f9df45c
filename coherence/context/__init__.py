"""What a model has before it, and what a framework's adapter needs to keep it true.

An adapter translates: its framework's messages, tools and stores on one side, these rooms on the
other.  Nothing here knows a framework.

* `evidence`: what a conversation proves, by seals on the texts that were shown
* `values`: how a store's item is an artifact, and how two values are merged
* `frameworks`: the error where a framework is missing or of an unknown release
* `notices`: who else has changed what a model was shown
* `answers`: what a model is told of a read, a write, a refusal
* `desk`: one agent's place of work, for a framework that calls its tools at once
* `reader`: what one task has read, so that its puts compare with that

`evidence` and `values` are pure; the rest drives a workspace.
"""
