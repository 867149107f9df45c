"""The shared part of the adapters: what a model's context holds, and how it is kept true.

An adapter translates between its framework's messages, tools and stores and these modules.  Nothing
here knows a framework.

* `evidence`: which versions a conversation proves, by seals on the texts that were shown
* `values`, `references`: how a store's item is an artifact, how a state's key is a version
* `frameworks`: the error for a framework that is missing or of an unknown release
* `answers`: the texts for a model, on a read, a refusal
* `desk`: serialises one agent's calls, for a framework that calls tools concurrently
* `seats`: when an agent that an adapter created leaves
* `calls`, `proven`: the calls of a model; the model names its version, or its context proves it
* `many`: several artifacts that a model publishes as one
* `sight`: the versions that a caller has seen, for each concurrent part of a task
* `reader`, `items`: the versions that a task has read, as the bases of its puts; a store of items
* `files`: a caller's files, for tools that name no versions
* `block`: the gets and puts of a block as one transaction
* `steps`: the steps of a store's call, for callers that block or await
* `telling`: the rule between telling a change and signalling it
* `notices`, `informing`: what a prompt gains unasked, as text and as a decision
* `prompts`: a framework's conversation, as the decision needs it
* `before_call`: reads what the decision needs, before each call of a model
* `events`, `recording`: what happened, for the framework's log and for a file

`evidence`, `values`, `references`, `frameworks`, `telling`, `notices`, `informing` and
`prompts` are pure, and `sight` asks no store; the other modules drive a workspace.
"""
