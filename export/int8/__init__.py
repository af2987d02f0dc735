"""An fp32 graph in 8 bits: which layers, in which ranges, and how the graph is rewritten."""
