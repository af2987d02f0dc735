"""What the evaluations of the paper share: metrics, and how results are written down."""
