"""The platform as a user runs it: commands in processes of their own, judged by what they print and store."""
