"""A tiny part: answers on a port, and misbehaves as it is told to.

    child.py PORT [refuse-term] [die-at-start] [mute] [server] [runner=FILE] [once=FILE]

It prints its own process id; ``server`` starts a child in a session of its
own (as a hub does), which has a child again (a kernel); ``runner=FILE`` starts
one that takes a moment after SIGTERM to write FILE.
"""

import http.server
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

SERVER = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
time.sleep(600)
"""
RUNNER = """
import pathlib, signal, subprocess, sys, time
kernel = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
def save(*_):
    time.sleep(0.5)
    pathlib.Path(sys.argv[1]).write_text("kernel alive" if kernel.poll() is None else "kernel gone")
    kernel.kill()
    sys.exit(143)
signal.signal(signal.SIGTERM, save)
pathlib.Path(sys.argv[1] + ".started").touch()
while True:
    time.sleep(600)
"""


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if mute.is_file():
            time.sleep(600)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


port, words = int(sys.argv[1]), sys.argv[2:]
print("started", os.getpid(), flush=True)
mute = Path("/nonexistent")
for word in words:
    name, _, value = word.partition("=")
    if name == "refuse-term":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    elif name == "die-at-start":
        print("nothing to live for", flush=True)
        sys.exit(7)
    elif name == "die-while":
        if Path(value).exists():
            sys.exit(8)
    elif name == "mute-while":
        mute = Path(value)
    elif name == "server":
        subprocess.Popen([sys.executable, "-c", SERVER], start_new_session=True)
    elif name == "runner":
        subprocess.Popen([sys.executable, "-c", RUNNER, value], start_new_session=True)
http.server.ThreadingHTTPServer.allow_reuse_address = True
http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
