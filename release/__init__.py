"""What goes out with a release, and whether it works; not part of the wheel."""
