"""What a widget shows of its runs: the running one, those that wait, and those that have ended."""
