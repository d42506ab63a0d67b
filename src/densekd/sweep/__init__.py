"""Many trainings from one file: trials of a sweep, their queue, the processes that work on it, the leaderboard."""
