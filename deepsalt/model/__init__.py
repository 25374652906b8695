"""Student, model card and the shipped weights."""
