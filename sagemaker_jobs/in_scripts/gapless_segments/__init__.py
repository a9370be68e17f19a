"""A model for each segment, as one version: fitted one after the other, kept in one archive, answered by one script."""

from gapless_segments.training import BadSegments, Segments, TooLittle

__all__ = ["BadSegments", "Segments", "TooLittle"]
