"""Logistic regression on embeddings at several image sizes (paper, section 7.3)."""
