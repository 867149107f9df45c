"""What the engine's tests share: the modules beside this one."""

import sys
from pathlib import Path

# `fuzzing`, `cells` and `play` are support, not tests: test modules here import them by name.
sys.path.insert(0, str(Path(__file__).parent))
