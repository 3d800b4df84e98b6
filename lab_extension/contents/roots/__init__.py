"""Several file systems side by side: the server's disk, the home, projects; and their mirrors."""
