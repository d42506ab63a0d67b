"""Synthetic street scenes for the quickstart: images with class labels and depth."""
