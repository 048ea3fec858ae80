"""A trained network as one HTML file that shows it at work, offline, in any recent browser."""

from .page import PageContent, to_page

__all__ = ["PageContent", "to_page"]
