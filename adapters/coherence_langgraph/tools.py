"""Tools with which a model reads and writes artifacts, for ``ToolNode`` and ``create_agent``.

Every read says which version it is, every write which version it was derived from.  A message's
``artifact`` says the same to the middleware, with a seal on the text that bears it out: the answer
of a read, what the model itself gave to a write.
"""

from collections.abc import Callable
from typing import Annotated

from langchain_core.tools import BaseTool, StructuredTool, ToolException
from langgraph.store.base import PutOp

from coherence import Agent, Ref
from coherence.contents import Kind, digest
from coherence_langgraph.codec import item_of
from coherence_langgraph.store import CoherentStore
from messaging.errors import ToolkitError

Name = Annotated[str, "The artifact's name, such as proj/plan.md"]
Have = Annotated[str, "The version that you have before you, such as proj/plan.md@3"]
Base = Annotated[str, "The version that yours derives from; empty for a new artifact"]
Answer = tuple[str, dict[str, str]]


def claim(ref: Ref, have: Ref | None, text: str) -> dict[str, str]:
    """Says that who has `text`, and the version `have` if there is one, has `ref`."""
    return {"ref": str(ref), "have": str(have or ""), "seal": seal(text)}


def seal(text: object) -> str:
    """What tells that `text` is still the text it was."""
    return digest(Kind.TEXT, str(text).encode("utf-8", "replace")).hex()


def artifact_tools(store: CoherentStore, agent: str | None = None) -> list[BaseTool]:
    """Tools to read, write, edit and list artifacts of text.

    They act for `agent`; if None for the agent that ``create_agent`` names, else for the node that
    the graph of the tools is in.  What goes wrong is told to the model, with what to do next.
    """

    def act(call: Callable[[Agent], Answer]) -> Answer:
        member, lock = store.member(agent, up=1)
        try:
            with lock:
                return call(member)
        except ToolkitError as error:
            told = getattr(error, "summary", str(error))
            raise ToolException(f"Refused ({error.code}): {told}") from error

    def read_artifact(name: Name, have: Have = "") -> Answer:
        """Read an artifact, or if you say which version you have, what has changed since."""

        def read(agent: Agent) -> Answer:
            view = agent.read(name, have or None)
            text = view.for_prompt() if view.have else f"[{view.ref}]\n{view.for_prompt()}"
            return text, claim(view.ref, view.have, text)

        return act(read)

    def write_artifact(name: Name, text: str, base: Base = "") -> Answer:
        """Write an artifact's whole text.  Refused where others have changed it since `base`."""

        def write(agent: Agent) -> Answer:
            ref = agent.write(name, text, expect=base or 0)
            store.pass_on(PutOp(*item_of(name), None), text, ref)
            return f"[{ref} is written]", claim(ref, None, text)

        return act(write)

    def edit_artifact(name: Name, old: str, new: str) -> Answer:
        """Replace the one passage `old` of an artifact, whatever others change elsewhere in it."""

        def edit(agent: Agent) -> Answer:
            with agent.edit(name) as draft:
                if (found := draft.text.count(old)) != 1 or old == new:
                    raise ToolException(f"Not done: the passage occurs {found} times in {name}.")
                draft.text = draft.text.replace(old, new)
            assert draft.ref is not None
            store.pass_on(PutOp(*item_of(name), None), draft.text, draft.ref)
            return f"[{draft.ref} is written]", claim(draft.ref, draft.base, new)

        return act(edit)

    def list_artifacts(prefix: str = "") -> Answer:
        """List the artifacts whose names begin with `prefix`."""
        return act(lambda agent: ("\n".join(agent.list(prefix)) or "There is none.", {}))

    return [
        StructuredTool.from_function(
            function,
            response_format="content_and_artifact",
            handle_tool_error=True,
            handle_validation_error=True,
        )
        for function in (read_artifact, write_artifact, edit_artifact, list_artifacts)
    ]
