"""Inference engines behind one small protocol; each is one file, and none is imported before it is asked for."""

from .protocol import Backend, Status
from .select import BACKENDS, open_backend, statuses

__all__ = ["BACKENDS", "Backend", "Status", "open_backend", "statuses"]
