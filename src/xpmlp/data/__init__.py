"""Where the samples of a run live: on the device, or on the host or a disk and streamed to it block by block."""

from .disk import DiskSamples
from .placement import StreamedSamples, place_samples

__all__ = ["DiskSamples", "StreamedSamples", "place_samples"]
