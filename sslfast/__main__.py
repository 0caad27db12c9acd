"""`python -m sslfast`: the command line."""

import sys

from sslfast.cli import main

sys.exit(main())
