"""What all tests share: one thread everywhere, and no time limit for a property on a busy machine."""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # also for the processes that tests start

import hypothesis
import torch

torch.set_num_threads(1)
hypothesis.settings.register_profile("aimet_hooks", deadline=None)
hypothesis.settings.load_profile("aimet_hooks")
