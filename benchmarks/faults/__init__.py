"""Faults that a training must survive, and hostile files that must do nothing; counted by ``reliability.py``."""
