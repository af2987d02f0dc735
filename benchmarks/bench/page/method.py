"""How it was measured, and how numbers are to be read."""

METHOD = (
    "Each row is one engine with one file, in a process of its own, with the same number of threads. After runs to warm"
    " up all take turns, round after round, so that what disturbs the machine disturbs all alike.",
    "p50, p95 and p99 are of all runs of all rounds; the spread is the interquartile range as a share of p50. Times "
    "faster is the time of the PyTorch original (eager, fp32, same device) divided by the row's own: the median over "
    "the rounds, with a 95 % bootstrap interval. It moves less with the machine than times do.",
    "The smallest cosine is that of the worst image's embedding to the original's. Labels are compared on images on "
    "which the original's own is clear. GFLOP/s counts the original's operations, and is beside the fastest matrix "
    "product in the same arithmetic, on the same device and threads, in the same rounds.",
    "Rows with a name in brackets, pale or grey, are what one would take otherwise, made on the spot with defaults.",
)
