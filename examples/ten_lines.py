"""Ten lines: a plan that two agents share.  Run it twice, or in two terminals at once.

python examples/ten_lines.py [sqlite:///team.db]
"""

import sys

from coherence import Workspace

with Workspace(sys.argv[1] if len(sys.argv) > 1 else "memory://") as ws:
    planner, coder = ws.agent("planner"), ws.agent("coder")
    planner.update("plan.md", lambda text: text or "# Plan\n")
    view = coder.read("plan.md")  # the full text
    view = coder.read("plan.md", have=view.ref)  # unchanged: one line
    print(view.for_prompt())
    with coder.edit("plan.md") as draft:  # exclusive, leased
        draft.text += "- one more step\n"
    print(planner.read("plan.md", have=view.ref).for_prompt())
