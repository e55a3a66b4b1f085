"""Files: written whole, fetched whole, unpacked within bounds."""
