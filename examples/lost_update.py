"""A lost update: two agents read a plan and write it back, and one has worked for nothing.

python examples/lost_update.py
"""

import tempfile
from pathlib import Path

from coherence import Conflict, Workspace

PLAN = "1. read the code\n2. write the parser\n3. review it\n4. write the tests\n"


def without() -> None:
    """A shared folder, as teams use one today."""
    with tempfile.TemporaryDirectory() as folder:
        plan = Path(folder) / "plan.md"
        plan.write_text(PLAN)
        coder_has = plan.read_text()
        tester_has = plan.read_text()
        plan.write_text(coder_has.replace("2. write", "2. (done) write"))
        plan.write_text(tester_has.replace("4. write", "4. (done) write"))  # and no agent notices
        print(plan.read_text())


def within() -> None:
    """The same in a workspace: the second write is refused, and says what to do."""
    with Workspace() as workspace:  # or "sqlite:///team.db", across processes
        coder, tester = workspace.agent("coder"), workspace.agent("tester")
        coder.write("plan.md", PLAN)
        coder_has, tester_has = coder.read("plan.md").text, tester.read("plan.md").text
        coder.write("plan.md", coder_has.replace("2. write", "2. (done) write"))
        mine = tester_has.replace("4. write", "4. (done) write")
        try:
            tester.write("plan.md", mine)
        except Conflict as conflict:
            print(conflict.summary)
        # An update is redone on what is current, however many others write.
        tester.update("plan.md", lambda text: text.replace("4. write", "4. (done) write"))
        print()
        print(coder.read("plan.md").text)


if __name__ == "__main__":
    print("Without a workspace: step 2 is open again.\n")
    without()
    print("With one:\n")
    within()
