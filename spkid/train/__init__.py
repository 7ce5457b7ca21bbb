"""Training of networks: configuration, loop, schedules, checkpoints, and what a finished experiment leaves behind."""
