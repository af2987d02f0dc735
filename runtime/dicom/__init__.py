"""DICOM images as 8-bit frames, without patient data; `frames` is the way in."""
