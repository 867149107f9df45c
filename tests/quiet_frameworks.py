"""Frameworks that call nobody and share no file with other processes, once this is imported.

To be imported before they are: they read this when they are first imported.
"""

import os
import tempfile

# CrewAI keeps the outputs of tasks in the user's home, and locks files in the folder of temporary
# files, where processes and releases get in each other's way.
_storage = tempfile.TemporaryDirectory(prefix="crewai-")

os.environ.update(
    CREWAI_STORAGE_DIR=_storage.name,
    CREWAI_DISABLE_TELEMETRY="true",
    CREWAI_DISABLE_TRACKING="true",
    CREWAI_DISABLE_VERSION_CHECK="true",
    CREWAI_TRACING_ENABLED="false",
    LANGSMITH_TRACING="false",
    OTEL_SDK_DISABLED="true",
)
