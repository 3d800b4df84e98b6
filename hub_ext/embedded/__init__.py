"""``almanac up``: a table of processes and one loop that keeps them running.

The table (`hub_ext.embedded.table`) says of each part its command, its
environment, how to ask whether it is well, and how it is stopped. The loop
(`hub_ext.embedded.supervisor`) knows nothing of what the parts do.
"""
