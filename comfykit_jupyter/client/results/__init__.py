"""What a run produced: the values users get, and what notebooks and pages show of them."""
