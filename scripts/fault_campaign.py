"""Kill runs at random moments, resume them until they end, and print what was hit as a Markdown table.

::

    python -m scripts.fault_campaign 50
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before numpy is imported

import sys
import tempfile
import time
from pathlib import Path
from typing import get_args

from tests.faults.campaign import Undisturbed, fight, markdown
from tests.faults.small_runs import Framework


def main(seeds: int) -> None:
    """Run the campaign of every seed; the first that does not end as the undisturbed run is an error."""
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        undisturbed = []
        for framework in get_args(Framework):
            (directory / framework).mkdir()
            undisturbed.append(Undisturbed(framework, directory / framework))
        campaigns = []
        for seed in range(seeds):
            (directory / str(seed)).mkdir()
            campaigns.append(fight(undisturbed[seed % len(undisturbed)], seed, directory / str(seed)))
    print(markdown(campaigns))
    evaluations = sum(campaign.evaluations for campaign in campaigns)
    print(
        f"\n{seeds} seeds, {evaluations} evaluations of {sum(campaign.cells for campaign in campaigns)} cells, "
        f"{time.monotonic() - begin:.0f} s"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 50)
