"""The lazy cube of a scene and its masks."""
