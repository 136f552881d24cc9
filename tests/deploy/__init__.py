"""The files that deploy the platform, held against the real servers."""
