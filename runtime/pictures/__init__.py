"""Pictures for people: the image as it was, what was found drawn on it, and below it what one must know."""
