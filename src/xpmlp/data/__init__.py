"""Where the samples of a run live: on the device, or on the host and streamed to it block by block."""

from .placement import StreamedSamples, place_samples

__all__ = ["StreamedSamples", "place_samples"]
