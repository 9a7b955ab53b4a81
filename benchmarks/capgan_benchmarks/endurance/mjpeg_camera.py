"""A network camera, MJPEG over HTTP, each connection with a script of its own: what it sends, and when it pauses."""

from __future__ import annotations

import contextlib
import http.server
import threading
from collections.abc import Iterator, Sequence

Part = bytes | float
"""What is sent as one JPEG, or a pause in seconds."""
_PACE_S = 0.02


@contextlib.contextmanager
def mjpeg_camera(*scripts: Sequence[Part]) -> Iterator[str]:
    """Serve each connection the next script, the last one to all further; a script that is over closes it."""
    remaining = list(scripts)
    lock, closing = threading.Lock(), threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

        def do_GET(self) -> None:
            with lock:
                script = remaining.pop(0) if len(remaining) > 1 else remaining[0]
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            for part in script:
                if closing.wait(part if isinstance(part, float) else _PACE_S):
                    return
                if isinstance(part, bytes) and not self._sent(part):
                    return

        def _sent(self, part: bytes) -> bool:
            head = b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(part)
            try:
                self.wfile.write(head + part + b"\r\n")
                self.wfile.flush()
            except OSError:  # the reader has gone
                return False
            return True

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/video.mjpg"
    finally:
        closing.set()
        server.shutdown()
        server.server_close()
        thread.join()
