"""Tools with which a model reads and writes artifacts, for ``ToolNode`` and ``create_agent``.

Every read says which version it is, every write which version it was derived from.  A message's
``artifact`` says the same to the middleware.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

from langchain_core.tools import BaseTool, StructuredTool, ToolException
from langgraph.store.base import PutOp

from coherence import Conflict, Ref, Served
from coherence_langgraph.codec import item_of
from coherence_langgraph.store import CoherentStore
from messaging.errors import ToolkitError

Name = Annotated[str, "The artifact's name, such as proj/plan.md."]
Answer = tuple[str, dict[str, str]]


def artifact_tools(store: CoherentStore, agent: str | None = None) -> list[BaseTool]:
    """Tools to read, write, edit and list artifacts of text.

    They act for `agent`; if None for the agent that ``create_agent`` names, else for the node that
    the graph of the tools is in.  What goes wrong is told to the model, with what to do next.
    """

    def wrote(name: str, text: str, ref: Ref, had: str) -> Answer:
        store.pass_on(PutOp(*item_of(name), None), text, ref)
        return f"[{ref} is written]", {"ref": str(ref), "have": had}

    def read_artifact(
        name: Name,
        have: Annotated[str, "The version you have in front of you, such as proj/plan.md@3."] = "",
    ) -> Answer:
        """Read an artifact.  Name the version you have: you then get only what has changed."""
        member, lock = store.member(agent)
        with lock:
            view = member.read(name, have or None)
        whole = view.served in (Served.HIT, Served.FULL)
        shown = f"[{view.ref}]\n{view.for_prompt()}" if whole else view.for_prompt()
        return shown, {"ref": str(view.ref), "have": "" if whole else str(view.have)}

    def write_artifact(
        name: Name,
        text: Annotated[str, "The whole new text."],
        base: Annotated[str, "The version that you read and changed; empty for a new one."] = "",
    ) -> Answer:
        """Replace an artifact's text.  Refused where somebody else has changed it since `base`."""
        member, lock = store.member(agent)
        with lock:
            ref = member.write(name, text, expect=base or 0)
        return wrote(name, text, ref, "")

    def edit_artifact(
        name: Name,
        old: Annotated[str, "The passage to replace.  It must occur exactly once."],
        new: Annotated[str, "What to put in its place."],
    ) -> Answer:
        """Replace one passage of an artifact's current text; nobody can write in between."""
        member, lock = store.member(agent)
        with lock, member.edit(name) as draft:
            if (found := draft.text.count(old)) != 1:
                raise ToolException(f"The passage occurs {found} times in {name}: read it again.")
            draft.text = draft.text.replace(old, new)
        if draft.ref is None:
            raise ToolException(f"Nothing to change in {name}.")
        return wrote(name, draft.text, draft.ref, str(draft.base or ""))

    def list_artifacts(
        prefix: Annotated[str, "How the names begin; empty for all."] = "",
    ) -> Answer:
        """List the names of the artifacts that exist."""
        return "\n".join(store.workspace.names(prefix)) or "There is none.", {}

    return [
        StructuredTool.from_function(
            _told(function),
            response_format="content_and_artifact",
            handle_tool_error=True,
            handle_validation_error=True,
        )
        for function in (read_artifact, write_artifact, edit_artifact, list_artifacts)
    ]


def _told(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def tell(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except Conflict as conflict:
            raise ToolException(f"Refused ({conflict.code}). {conflict.summary}") from conflict
        except ToolkitError as error:
            raise ToolException(f"Refused ({error.code}): {error}") from error

    return tell
