"""Product files: metadata to `Acquisition`, pixels by window."""
