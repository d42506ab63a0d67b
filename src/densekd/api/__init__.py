"""The Python door: thin functions around the rooms, as the command line has thin commands."""
