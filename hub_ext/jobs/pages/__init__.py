"""The pages of the job service: what a person sees in the browser.

Server-rendered, and whole without script; `static/live.js` only fetches a
page again and puts its parts in place. They translate requests to use cases
and models to HTML: `views` (what is shown), `render` and `templates` (where),
`ansi` (what came from a kernel), `router` (over HTTP).
"""

from hub_ext.jobs.pages.router import router

__all__ = ["router"]
