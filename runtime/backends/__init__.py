"""Inference engines behind one small protocol; each is one file, and none is imported before it is asked for."""

from .protocol import Backend, Status
from .select import BACKENDS, auto_choice, open_backend, statuses

__all__ = ["BACKENDS", "Backend", "Status", "auto_choice", "open_backend", "statuses"]
