"""What coherence saves against strong baselines, with prompt caching, and how far it is from ideal.

``edits`` gives the artifacts contents, ``workload`` makes a team's calls from recorded actions,
``prices`` says what a token costs, ``billing`` adds up the prompts of one agent, and
``conversation`` holds what its context contains.  ``strategies`` are the ways to keep an agent
informed, ``play`` runs one, ``floors`` computes the references.  ``compare`` spreads the runs over
the cores, ``figures`` sums them up, ``tables`` and ``command`` show them.

The package is inside `coherence.simulate`, since it plays the actions of that package and asks its
engine for stale reads, and the command is one of its commands.
"""
