"""Whether anything answers at a web address, found out within a set time."""

from __future__ import annotations

import http.client
import ssl
import threading
import urllib.error
import urllib.request


def unreachable(address: str, seconds: float) -> str | None:
    """Why nothing answers at `address` within `seconds`, or None where anything does, be it an error page.

    The question runs in a thread of its own that is left behind when time is up: name resolution knows no timeout.
    """
    if not address.startswith(("https://", "http://")):
        return f"{address} is no http or https address"
    reason = [f"{address} gave no answer within {seconds:g} seconds"]

    def ask() -> None:
        request = urllib.request.Request(address, method="HEAD")  # noqa: S310 (the scheme is checked above)
        try:
            with urllib.request.build_opener().open(request, timeout=seconds):
                reason.clear()
        except urllib.error.HTTPError:
            reason.clear()
        except (OSError, http.client.HTTPException, ValueError) as error:
            cause = getattr(error, "reason", error)
            if isinstance(cause, ssl.SSLError):  # it answers; the download itself may trust other certificates
                reason.clear()
            else:
                reason[:] = [f"{address} cannot be reached ({cause})"]

    thread = threading.Thread(target=ask, name="radiodino-probe", daemon=True)
    thread.start()
    thread.join(seconds)
    return next(iter(reason), None)
