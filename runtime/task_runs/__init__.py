"""Runs over many images that classify, segment or explain; tables, masks and pictures come out."""
