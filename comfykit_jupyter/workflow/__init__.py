"""Workflows as data: parse, describe, bind values, follow a run. Pure: no I/O, no clock, no event loop."""
