"""Defects of the public `comfykit` 0.1.12, by number: each test passes here and fails there.

Both packages run the same scenario, each in its own process. For `comfykit` the failure is expected, and a test that
passes there fails the suite. Defect 19 (editor files) needs a converter and is tested elsewhere.
"""
