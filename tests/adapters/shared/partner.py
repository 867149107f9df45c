"""A process of its own that changes an artifact by one framework.

    python partner.py autogen|langgraph URL NAME

Reads, and prints the text that it has been given, as JSON.  Then, twice: waits for a line ``[old,
new]``, replaces the one by the other, and prints the text that it now has.
"""

import asyncio
import json
import sys


def say(text):
    sys.stdout.write(json.dumps(text) + "\n")
    sys.stdout.flush()


def told():
    return json.loads(sys.stdin.readline())


def langgraph(url, name):
    """Nodes that get and put; run again where somebody else was faster."""
    from langgraph.graph import START, StateGraph
    from langgraph.types import RetryPolicy

    from coherence import Conflict
    from coherence_langgraph import CoherentStore

    *labels, key = name.split("/")
    place = tuple(labels), key

    def runs(node):
        builder = StateGraph(dict)
        retry = RetryPolicy(retry_on=Conflict, initial_interval=0.001, jitter=False)
        builder.add_node("langgraph", node, retry_policy=retry)
        builder.add_edge(START, "langgraph")
        return builder.compile(store=store).invoke({})

    def reads(state, runtime):
        say(runtime.store.get(*place).value["text"])

    def changes(state, runtime):
        text = runtime.store.get(*place).value["text"].replace(*change)
        runtime.store.put(*place, {"text": text})
        say(text)

    store = CoherentStore(url)
    runs(reads)
    for _ in range(2):
        change = told()
        runs(changes)
    store.workspace.close()


def autogen(url, name):
    """An agent whose model calls tools; it says what the last of them answered."""
    from autogen_agentchat.agents import AssistantAgent
    from autogen_scripted import answers, model

    from coherence import Workspace
    from coherence_autogen import ArtifactWorkbench, CoherentModelContext

    read = ("read_artifact", {"name": name, "whole": True})

    def edit(messages):
        say(answers(messages)[-1])
        old, new = told()
        return ("edit_artifact", {"name": name, "old": old, "new": new})

    def done(messages):
        say(answers(messages)[-1])
        return "done"

    with Workspace(url) as workspace:
        context = CoherentModelContext(workspace, "autogen")
        agent = AssistantAgent(
            "autogen",
            model(None, [read, edit, read, edit, read, done]),
            model_context=context,
            workbench=ArtifactWorkbench(context),
            max_tool_iterations=10,
        )
        asyncio.run(agent.run(task="go"))


if __name__ == "__main__":
    framework, url, name = sys.argv[1:]
    {"autogen": autogen, "langgraph": langgraph}[framework](url, name)
