"""A process that edits one file through a stand-in client: `python guarded_editor.py DIR NAME N`.

It adds N lines, each an edit, and prints as JSON what its model was told.  Between its look at the
file and its write it works for a while, so that edits of other processes are lost.
"""

import json
import sys
from hashlib import pbkdf2_hmac

from guarding import Session


def slow():
    pbkdf2_hmac("sha256", b"a", b"b", 20_000)


def main(project, name, count):
    session = Session(project, name, says_found=name.endswith("1"))
    made = 0
    while made < count:
        anchor = f"[{name}]\n"
        try:
            session.edit("plan.md", (anchor, f"{anchor}{name}.{made}\n"), between=slow)
        except AssertionError:
            continue  # read while another process had truncated it: the tool refuses
        made += 1
    sys.stdout.write(json.dumps(session.told))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
