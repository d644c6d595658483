"""``python -m pitviper`` is the command ``pitviper``."""

import sys

from pitviper.cli import main

sys.exit(main())
