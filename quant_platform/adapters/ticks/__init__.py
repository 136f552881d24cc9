"""Where ticks come from and are kept: Parquet files, Arrow segments, QuestDB."""
