"""Side by side: qdflow against what a user would pick instead. One file a comparison."""
