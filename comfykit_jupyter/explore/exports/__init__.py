"""What leaves a sweep: the grid in a notebook, pages, contact sheets, files."""
