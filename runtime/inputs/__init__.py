"""What a run is given (files, folders, globs, archives, image sets) as a list of images; `listing` is the way in."""
