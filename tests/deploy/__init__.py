"""What Docker, and only Docker, would otherwise find out: the compose file, the image, the .env files."""
