"""A local model hub, with the part of the real hub's interface that downloading a model needs."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "c0ffee" + 34 * "0"


@contextmanager
def hub(models: dict[str, Path], *, seconds_a_file: float = 0) -> Iterator[str]:
    """Serves folders as models of these names, at revisions "main" and COMMIT; yields the hub's address."""

    class Answers(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            path = self.path.split("?")[0].strip("/")
            for name, folder in models.items():
                files = {file.name: file for file in folder.iterdir()}
                if path in (f"api/models/{name}", f"api/models/{name}/revision/main"):
                    siblings = [{"rfilename": file} for file in files]
                    return self.send(json.dumps({"id": name, "sha": COMMIT, "siblings": siblings}).encode())
                if path.startswith(f"api/models/{name}/revision/"):
                    return self.send(b"{}", 404, {"X-Error-Code": "RevisionNotFound"})
                if path == f"api/models/{name}/tree/{COMMIT}":
                    return self.send(json.dumps([self.entry(file) for file in files.values()]).encode())
                for revision in ("main", COMMIT):
                    prefix = f"{name}/resolve/{revision}/"
                    if path.startswith(prefix) and (file := files.get(path.removeprefix(prefix))):
                        data = file.read_bytes()
                        time.sleep(seconds_a_file if self.command == "GET" else 0)
                        return self.send(data, 200, {"ETag": f'"{self.oid(data)}"', "X-Repo-Commit": COMMIT})
            return self.send(b"{}", 404, {"X-Error-Code": "RepoNotFound"})

        def entry(self, file: Path) -> dict[str, object]:
            data = file.read_bytes()
            return {"type": "file", "path": file.name, "size": len(data), "oid": self.oid(data)}

        def oid(self, data: bytes) -> str:
            return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()

        def send(self, data: bytes, status: int = 200, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            for key, value in (headers or {}).items():
                self.send_header(key, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
