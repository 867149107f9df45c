"""What an example needs beyond the standard library, said before an import fails."""

import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def packages(*names: str) -> None:
    """End the program with the command that installs `names`, if one of them is missing."""
    missing = [name for name in ("artifact-coherence", *names) if not installed(name)]
    if not missing:
        return
    # Releases of ours are nowhere yet: the checkout is what can be installed.
    wanted = [f"'{ROOT}'" if name == "artifact-coherence" else name for name in missing]
    program = Path(sys.argv[0]).name
    raise SystemExit(f"{program} needs {', '.join(missing)}:\n\n    pip install {' '.join(wanted)}")


def installed(name: str) -> bool:
    """Whether the package `name` is installed."""
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True


ROOT = Path(__file__).resolve().parents[1]
