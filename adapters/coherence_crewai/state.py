"""Flow state that parallel listeners can change without losing each other's changes.

CrewAI runs the listeners of one event concurrently and leaves ``self.state`` unguarded.  Their
shared state belongs in one artifact, which each listener changes by a function of its current
value.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from pydantic import BaseModel, ValidationError

from coherence import BadArgument, InvalidContent, UnknownArtifact, Workspace
from coherence.context.desk import Desk
from coherence.refs import check_name

S = TypeVar("S", bound=BaseModel)


class CoherentState(Generic[S]):
    """A `model` kept as the artifact `name`, for Flows of one or several processes.

    `agent` is the name under which this process changes it.  From an ``async`` listener, call
    through ``asyncio.to_thread`` if other agents may hold the artifact for long.  Raises
    `BadArgument`, `InvalidName`, `WorkspaceClosed`.
    """

    def __init__(self, workspace: Workspace, name: str, model: type[S], *, agent: str) -> None:
        given: object = model
        if not (isinstance(given, type) and issubclass(given, BaseModel)):
            raise BadArgument(
                f"{model!r} is not a model", remedy="give a class of pydantic's BaseModel"
            )
        self._desk = Desk(workspace, agent)
        self._name, self._model = check_name(name), model

    def read(self) -> S:
        """A copy of the current state; a new ``model()`` if nothing has been written.

        Raises `InvalidContent` if the artifact does not hold such a model, and `BadArgument` if it
        does not exist and the model has fields without a default.
        """
        with self._desk.agent() as agent:
            try:
                return self._load(agent.read(self._name).text)
            except UnknownArtifact:
                return self._new()

    def update(self, change: Callable[[S], object]) -> S:
        """Let `change` alter the current state, and publish the result; also as a decorator.

        `change` is called again, on a fresh copy, if another process was faster; it should have no
        other effect.  If it raises, nothing is published.
        """

        def changed(text: str) -> str:
            state = self._load(text) if text else self._new()
            change(state)
            return state.model_dump_json(indent=2)

        with self._desk.agent() as agent:
            view = agent.update(self._name, changed)
        return self._load(view.text)

    def _new(self) -> S:
        try:
            return self._model()
        except ValidationError as error:
            raise BadArgument(
                f"{self._name!r} does not exist, and {self._model.__name__} needs values: {error}",
                remedy="give the fields defaults, or write the artifact first",
            ) from error

    def _load(self, text: str) -> S:
        try:
            return self._model.model_validate_json(text)
        except ValidationError as error:
            raise InvalidContent(
                f"{self._name!r} is not a {self._model.__name__}: {error}"
            ) from error
