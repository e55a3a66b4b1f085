"""What a network runs on."""
