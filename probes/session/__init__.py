"""Session files: a run recorded while it happens, and read again without torch and without the models.

`lines` says what is in a file, `writer` and `folder` make one, `reader` and `runs` give back what one holds.
"""

from probes.session.folder import sessions_folder
from probes.session.reader import Session, read
from probes.session.runs import RecordedRun
from probes.session.writer import SessionWriter

__all__ = ["RecordedRun", "Session", "SessionWriter", "read", "sessions_folder"]
