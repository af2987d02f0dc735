"""Classification by nearest neighbours (paper, section 5.1)."""
