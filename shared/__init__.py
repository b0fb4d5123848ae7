"""What the services agree on, in rings: testing > runtime > log > routing > contracts > kernel."""
