"""Recording files: written while a run is measured, and read without torch and without the models.

`lines` defines the format, `writer` and `folder` make a file, `reader` and `runs` read one.
"""

from probes.recording.reader import Recording, read
from probes.recording.runs import RecordedRun
from probes.recording.writer import RecordingWriter
from probes.system.user_folders import recordings_folder

__all__ = ["RecordedRun", "Recording", "RecordingWriter", "read", "recordings_folder"]
