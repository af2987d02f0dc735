"""What a model looks at: attention maps, Grad-CAM, PCA and UMAP, as pictures (paper, sections 6 and 7)."""
