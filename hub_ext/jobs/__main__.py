"""``python -m hub_ext.jobs``: the job service as a process of its own.

On SIGTERM it takes no more work and exits within 3 s. Runners go on: the
service that comes next finds them again.
"""

from __future__ import annotations

import logging
import os
import sys
import threading

from hub_ext.errors import PublicError

GRACE_SECONDS = 1


def main() -> int:
    """Serve until told to stop; 2 where the service cannot start."""
    logging.basicConfig(
        level=logging.INFO,
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    import uvicorn

    from hub_ext import settings as settings_file
    from hub_ext.jobs.app import bind_of, build
    from hub_ext.state import Endpoints, StateFolder, default_state

    try:
        settings = settings_file.from_environment()
        state = StateFolder(default_state()).create()
        endpoints = Endpoints.load(state)
        app = build(settings, state, endpoints)
    except PublicError as error:
        logging.error("cannot start: %s", error)
        return 2
    host, port = bind_of(endpoints.jobs_url)
    # No access log: addresses and headers of requests are nobody's business,
    # and every change has a line of its own.
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
        timeout_keep_alive=30,
    )
    uvicorn.Server(config).run()
    logging.shutdown()
    # A transfer that hangs must not keep the process: what is not finished is
    # taken up again by the next one.
    if any(not t.daemon and t is not threading.main_thread() for t in threading.enumerate()):
        os._exit(0)
    return 0


if __name__ == "__main__":
    sys.exit(main())
