"""Recording files: a run recorded while it happens, and read again without torch and without the models.

`lines` says what is in a file, `writer` and `folder` make one, `reader` and `runs` give back what one holds.
"""

from probes.recording.reader import Recording, read
from probes.recording.runs import RecordedRun
from probes.recording.writer import RecordingWriter
from probes.system.user_folders import recordings_folder

__all__ = ["RecordedRun", "Recording", "RecordingWriter", "read", "recordings_folder"]
