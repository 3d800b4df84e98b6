"""Executes one bundle once: `python -m hub_ext.runner FOLDER`.

A process of its own, in a slim environment of its own; the notebook's kernel
runs in the job's. Backend and runner share one folder and nothing else, so
that either may be killed at any time (see `hub_ext.runner.folder`).
"""
