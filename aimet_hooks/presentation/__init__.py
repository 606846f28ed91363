"""What views say of a run: the same words, numbers and grades everywhere."""
