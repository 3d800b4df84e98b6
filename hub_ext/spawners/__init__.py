"""Spawners: thin subclasses of JupyterHub's own and of KubeSpawner."""
