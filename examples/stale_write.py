"""A stale write: an agent comes back after hours of work and puts an old world over a new one.

python examples/stale_write.py
"""

import threading

from coherence import Conflict, Workspace


def without() -> None:
    """Last writer wins, however long ago it looked."""
    shared = {"api.py": "def area(width, height): ...\n"}
    seen = shared["api.py"]
    shared["api.py"] = "def area(shape): ...\n"  # meanwhile, in the real world
    shared["api.py"] = seen.replace("...", "return width * height")
    print(shared["api.py"])


def within() -> None:
    """What it was derived from is part of every write; who needs the artifact to itself asks."""
    with Workspace() as workspace:
        slow, quick = workspace.agent("slow"), workspace.agent("quick")
        quick.write("api.py", "def area(width, height): ...\n")
        seen = slow.read("api.py").text
        quick.write("api.py", "def area(shape): ...\n")
        try:
            slow.write("api.py", seen.replace("...", "return width * height"))
        except Conflict as conflict:
            print(f"{conflict.code}: {conflict}\n")

        # For hours of work on a text that must not change meanwhile: a draft is exclusive, and its
        # lease is renewed while this process lives.
        slow.read("api.py")
        with slow.edit("api.py") as draft:
            waiting = threading.Thread(
                target=quick.update, args=("api.py", lambda text: text + "# reviewed\n")
            )
            waiting.start()  # waits its turn, and is then served first
            draft.text = draft.text.replace("...", "return shape.width * shape.height")
        waiting.join()
        print(slow.read("api.py").text)


if __name__ == "__main__":
    print("Without a workspace: the new signature is gone.\n")
    without()
    print("With one:\n")
    within()
