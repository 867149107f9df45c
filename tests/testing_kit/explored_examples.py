"""Examples and pages of adapters as programs to explore, each plain and coherent.

Each returns what was kept of two agents' work.  Of a page the first program is taken, or what its
diff leads from; a dictionary of the user's is wrapped as docs/testing.md says, and stores of a
framework tell which items are looked at and replaced.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import io
import sys
from pathlib import Path

import quiet_frameworks  # noqa: F401
from adapter_pages import reverted, shown

from coherence.testing.instead import instead
from coherence.workspace.agent import Agent

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "examples"))


def watched(team, store):
    """The items of a store of LangGraph are things that agents look at and change."""
    from langgraph.store.base import GetOp, PutOp

    def told(plain):
        def batch(self, ops):
            ops = list(ops)
            for op in ops:
                if isinstance(op, GetOp | PutOp):
                    see = team.looks_at if isinstance(op, GetOp) else team.changes
                    see("/".join((*op.namespace, op.key)))
            return plain(self, ops)

        return batch

    return instead(store, "batch", told(store.batch))


def silent(work, *given):
    """What `work` returns or else prints last."""
    with contextlib.redirect_stdout(io.StringIO()) as said:
        result = work(*given)
    return result if result is not None else said.getvalue().splitlines()[-1]


def page(name, how):
    """The first program of a page of an adapter: how many of two changes are kept."""
    shows = shown(name)
    text = shows.program if how == "ours" else reverted(shows.program, shows.diff)
    text = text.replace("files = {", "files = shared({").replace("PLAN}\n", "PLAN}, 'files')\n")
    code = compile(text, str(ROOT / "docs" / "adapters" / f"{name}.md"), "exec")

    def program(team):
        names = {"__name__": "page", "shared": team.shared}
        with contextlib.ExitStack() as stack:
            if how == "plain" and importlib.util.find_spec("langgraph"):
                from langgraph.store.memory import InMemoryStore

                stack.enter_context(watched(team, InMemoryStore))
            said = team.main(lambda: silent(exec, code, names))
        return int(said.split("done: ")[1][0])

    return program


def langgraph_team(how):
    import langgraph_team as example
    from langgraph.store.memory import InMemoryStore

    def program(team):
        plain = how == "plain"
        with instead(example, "LOOKS", 0), contextlib.ExitStack() as stack:
            if plain:
                stack.enter_context(watched(team, InMemoryStore))
            ended = team.main(lambda: example.run(None, None if plain else "memory://"))
        return sum(new in ended.plan for _, new in example.CHANGES.values())

    return program


def deepagents_team(how):
    import deepagents_team as example
    from langgraph.store.memory import InMemoryStore

    from coherence_langgraph import CoherentStore

    def program(team):
        def main():
            if how == "plain":
                store = example.meeting(InMemoryStore)
            else:
                store = example.meeting(CoherentStore, InMemoryStore())
            return example.run(store, store.start)

        with watched(team, InMemoryStore) if how == "plain" else contextlib.nullcontext():
            text = team.main(main)
        return sum(new in text for _, new in example.CHANGES.values())

    return program


def deepagents_files(play):
    """A story of the example, which leaves one change: the other agent knows, or does not."""

    def made(how):
        import deepagents_files as example

        from coherence_deepagents import CoherentBackend

        def program(team):
            def main():
                ours = contextlib.nullcontext(lambda: CoherentBackend(team.workspace))
                with example.stock() if how == "plain" else ours as opened:
                    # Whole and alone, or as a whole that its agent knows to be refused.
                    told = getattr(example, play)(opened if "restart" in play else opened())
                    return example.text(opened()).count("done by") + ("not written" in told[-1])

            return team.main(main)

        return program

    return made


def deepagents_edits(how):
    """Two threads edit a line each; the edits that they were told of and that are not there."""
    import deepagents_files as example
    from langgraph.store.memory import InMemoryStore

    from coherence_deepagents import CoherentBackend

    def program(team):
        def main():
            ours = contextlib.nullcontext(lambda: CoherentBackend(team.workspace))
            with example.stock() if how == "plain" else ours as opened:
                made = example.edits_of_threads(opened(), 2, 1)
                return 2 - (made - example.text(opened()).count("done"))

        with watched(team, InMemoryStore) if how == "plain" else contextlib.nullcontext():
            return team.main(main)

    return program


def crewai_flow_state(how):
    import crewai_flow_state as example

    def program(team):
        class Seen(example.Totals):
            def __getattribute__(self, name):
                if name == "found":
                    team.looks_at("found")
                return super().__getattribute__(name)

            def __setattr__(self, name, value):
                if name == "found":
                    team.changes("found")
                super().__setattr__(name, value)

        with instead(example, "LISTENERS", 2):
            if how == "ours":
                return team.main(example.coherent)
            with instead(example, "Totals", Seen):
                return team.main(example.plain)

    return program


def autogen_team(how):
    import autogen_team as example

    step = example.PLAN.partition("## Step 2")[0]

    def program(team):
        with instead(example, "STEPS", 1), instead(example, "PLAN", step):
            workspace = None if how == "plain" else team.workspace
            plan = team.main_async(lambda: example.run(None, workspace)).plan
        return plan.count("Built: ") + plan.count("Review: done")

    return program


def agent_framework_files(how):
    import agent_framework_files as example
    from agent_framework import FileAccessProvider, InMemoryAgentFileStore

    from coherence_agent_framework import CoherentFileAccess

    def program(team):
        def main():
            if how == "plain":
                files = FileAccessProvider(InMemoryAgentFileStore(), **example.UNATTENDED)
            else:
                files = CoherentFileAccess(team.workspace, **example.UNATTENDED)
            return asyncio.run(example.play(files))[0].count("done")

        return team.main(main)

    return program


def guarded_files(how):
    """Two sessions read a file and write it whole, with the hooks of the guard and without."""
    import guarded_files as example

    def program(team):
        class Hooked(example.Session):
            def hook(self, *given, **more):
                """A hook is a process of its own: it looks at the file and its notes."""
                if not self.guarded:
                    return ""
                with team.one_move("plan.md"):
                    return super().hook(*given, **more)

        folder, told = team.folder().resolve(), []
        (folder / "plan.md").write_text(example.START)

        def session(name, part):
            def work():
                me = Hooked(folder, name, how == "ours")
                me.hook("PreToolUse", "Read")
                text = me.file.read_text()
                me.hook("PostToolUse", "Read")
                told.append(me.write(text.replace(f"{part}: open", f"{part}: done")))

            return work

        team.run(ann=session("ann", "build"), bob=session("bob", "review"))
        kept = (folder / "plan.md").read_text().count("done")
        return min(2, kept + any(told))  # what is not there was refused, or its loss is told

    return program


def write_skew(how):
    import write_skew as example

    def program(team):
        run = example.plainly if how == "plain" else Agent.transact
        said = team.main(lambda: silent(example.plan_and_interface, run))
        return 1 + said.endswith("True")

    return program


def lost_update(how):
    """The two agents of the example, in any order."""
    import lost_update as example

    steps = {"coder": "2. write", "tester": "4. write"}

    def program(team):
        plan = team.folder() / "plan.md"
        plan.write_text(example.PLAN)
        team.agent("planner").write("plan.md", example.PLAN)

        def done(step):
            return lambda text: text.replace(step, step.replace(" ", " (done) ", 1))

        def work(name):
            change = done(steps[name])
            if how == "plain":
                plan.write_text(change(plan.read_text()))
            else:
                team.agent(name).update("plan.md", change)

        team.run(coder=lambda: work("coder"), tester=lambda: work("tester"))
        text = plan.read_text() if how == "plain" else team.agent("planner").read("plan.md").text
        return text.count("(done)")

    return program


def whole(module):
    """The coherent half of an example of the core, as it stands."""

    def made(how):
        def program(team):
            example = __import__(module)
            team.main(lambda: silent(example.within))
            return 2

        return program

    return made


def three_frameworks(team):
    """How many of the two late agents' changes are kept beside the first one's."""
    import three_frameworks as example

    writers = team.main(lambda: silent(example.main, []))
    return len({"estimate", "builder", "reviewer"} & {each.split(".")[0] for each in writers}) - 1
