"""A model merges a conflict: two agents change one line, and the second agent's model decides.

python examples/model_merges.py

The model is scripted, so this needs no key.  A real model gets the same prompt.
"""

from coherence import Conflict, Workspace

PLAN = "1. write the parser\n2. write the printer\n3. review both\n"


def model(prompt: str) -> str:
    """Stands for a call of a model; it answers as one did when it was asked."""
    print(f"--- prompt\n{prompt}\n--- answer")
    current = prompt.partition("<current ")[2].partition(">\n")[2].partition("\n</current>")[0]
    answer = current.replace("2. write", "2. (done) write")
    print(answer)
    return answer


def resolve(conflict: Conflict) -> str:
    """The content that follows the current version; raises the conflict to give up."""
    if conflict.theirs is None or not isinstance(conflict.yours, str):
        raise conflict  # deleted, or not text: a person decides
    return model(conflict.for_prompt())


with Workspace() as workspace:
    planner, coder = workspace.agent("planner"), workspace.agent("coder")
    planner.write("plan.md", PLAN)
    coder.read("plan.md")
    planner.update("plan.md", lambda text: text.replace("the printer", "a fast printer"))

    mine = PLAN.replace("2. write", "2. (done) write")
    ref = coder.write("plan.md", mine, merge=True, resolve=resolve, reason="step 2 is done")
    print(f"--- published {ref}\n{planner.read('plan.md').text}")
    for entry in workspace.history("plan.md"):
        said = entry.reason or "-"
        print(f"{entry.version} by {entry.author}, who had seen {entry.base}: {said}")
