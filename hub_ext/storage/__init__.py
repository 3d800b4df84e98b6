"""Where files, bundles and results lie: the object store and who may touch what in it."""
