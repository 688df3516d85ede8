"""The command line: `python -m comfykit_jupyter`, and `comfykit-jupyter`."""

from __future__ import annotations

import sys

from comfykit_jupyter.cli import main

if __name__ == "__main__":
    sys.exit(main())
