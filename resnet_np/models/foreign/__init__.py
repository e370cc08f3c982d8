"""Weight files that other people's programs wrote, read without those programs."""
