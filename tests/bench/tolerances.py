"""Every tolerance of the suite, in one place."""

EXACT = 1e-9  # two float64 computations of a small case
LONG = 1e-8  # the same of 10,000 positions: plain loops chain sums over all of them
CHUNKED = 1e-5  # posteriors with seams certified to 1e-6 of total variation
GPU = 1e-5  # posteriors, and relative for expected counts: sums over pairs in float32
GPU_UNFORGOTTEN = 3e-5  # where differences between labels are never forgotten, and roundings add up over all positions
GPU_STEEP = 1e-4  # where labels differ by a hundred nats a position: float32 holds them to 2^-24 of that
PARITY = 1e-4  # relative, against other libraries
POSTERIOR = 1e-4  # float32 inputs against float64
STANDARD_ERRORS = 4  # sampled frequencies


def log_partition(T: int) -> float:
    """Return what log Z may be off by, in nats, at float32 inputs."""
    return 1e-3 + 1e-8 * T


def gpu_log_partition(T: int) -> float:
    """Return what log Z may be off by, in nats, on the GPU at any inputs: every segment takes two 22-bit logarithms."""
    return 1e-5 + 1e-7 * T
