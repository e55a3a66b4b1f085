"""Files: written atomically, downloaded and verified, unpacked within limits."""
