"""The pages of docs/ hold together and say what the code says."""
