"""One page of what radiodino-bench measured: plots, tables, and what must be known of them, in a file of its own."""
