"""The scanner's pure core."""
