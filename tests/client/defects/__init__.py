"""The defects of the public `comfykit` 0.1.12, by their numbers: each test holds here, and fails there.

The same scenario is played by both packages, each in a process of its own; for `comfykit` the failure is expected, and
a test that passes there fails the suite. Its number 19 (editor files) needs a converter, and has its tests elsewhere.
"""
