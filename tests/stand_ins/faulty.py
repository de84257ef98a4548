"""A proxy that fails as it is told: python3 faulty.py PORT UPSTREAM_PORT

POST /__faults with a list of {"match": regex on "METHOD path?query target", "kind": "answer" | "cut" | "slow",
"status": 503, "body": "...", "type": "application/xml", "times": 2, "seconds": 1}; each is used up by requests that it
matches. GET /__seen gives the requests so far, one a line. Everything else goes to the upstream and back.
"""

import http.client
import http.server
import json
import re
import sys
import threading
import time

lock = threading.Lock()
faults, seen = [], []


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def handle_any(self):
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        line = f"{self.command} {self.path} {self.headers.get('x-amz-target', '')}".strip()
        if self.path == "/__faults":
            with lock:
                faults[:] = json.loads(body)
                seen.clear()
            return self.answer(200, b"", {})
        if self.path == "/__seen":
            with lock:
                return self.answer(200, "\n".join(seen).encode(), {})
        with lock:
            seen.append(line)
            fault = next((f for f in faults if f.get("times", 1) > 0 and re.search(f["match"], line)), None)
            if fault:
                fault["times"] = fault.get("times", 1) - 1
        if fault and fault["kind"] == "cut":
            self.close_connection = True
            return self.connection.shutdown(2)
        if fault and fault["kind"] == "answer":
            kind = fault.get("type", "application/xml")
            return self.answer(fault["status"], fault.get("body", "").encode(), {"content-type": kind})
        if fault and fault["kind"] == "slow":
            time.sleep(fault["seconds"])
        upstream = http.client.HTTPConnection("127.0.0.1", int(sys.argv[2]))
        headers = {k: v for k, v in self.headers.items() if k.lower() not in ("content-length", "connection")}
        upstream.request(self.command, self.path, body or None, headers)
        found = upstream.getresponse()
        kept = {k: v for k, v in found.getheaders() if k.lower() not in ("connection", "transfer-encoding", "content-length")}
        length = found.getheader("content-length") if self.command == "HEAD" else None
        self.answer(found.status, found.read(), kept, length)

    def answer(self, status, body, headers, length=None):
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("content-length", length or str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_any

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
