"""``python -m aimet_hooks`` is ``aimet-hooks``."""

import sys

from aimet_hooks.cli import main

sys.exit(main())
