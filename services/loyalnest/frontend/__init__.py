"""What merchants see: the start page, and the figures of all services on one view."""
