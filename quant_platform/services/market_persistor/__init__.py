"""What is stored of the enriched ticks, and when it has to be on the disk."""
