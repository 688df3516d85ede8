"""The parts of a `ComfyKit` that need no folder of runs: settings, server, workflows, runs."""
