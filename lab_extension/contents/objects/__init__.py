"""One prefix of a bucket, as files and folders: nothing here knows of Jupyter."""
