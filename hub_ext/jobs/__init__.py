"""The engine: jobs, versions, runs, attempts, and the service that keeps them going.

Arrows point one way: `app` → `api`, `pages` → `reconcile` → `usecases` →
`store`, `backends`. `schedule` is pure and used by all.
"""
