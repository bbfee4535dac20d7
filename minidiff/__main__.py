"""`python -m minidiff`, the same as `minidiff`."""

import sys

from minidiff.cli import main

sys.exit(main())
