"""Recency, frequency and monetary scores, and the segments they make."""
