"""Set-up of the whole suite: allocations hold NaN until they are written, in compiled code too."""

import os

os.environ["SEMISEG_POISON"] = "1"  # before semiseg.kernels.cpu is imported
