"""What the file browser asks besides files: versions, deleted files, links, sizes, code."""
