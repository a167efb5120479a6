"""Sample recordings that the demonstration replays; README.md says where each comes from and under which licence."""
