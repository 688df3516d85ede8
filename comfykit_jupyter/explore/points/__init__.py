"""The points of a sweep, and what is done with each, before anything is sent."""
