"""Lists as they are typed on a command line."""

from __future__ import annotations

from radiodino.runtime.errors import InputError


def whole_numbers(text: str, option: str) -> tuple[int, ...]:
    """``1,5,20`` as numbers, each once, in their order.

    Raises:
        InputError: where a part is no whole number.
    """
    try:
        return tuple(dict.fromkeys(int(part) for part in text.split(",")))
    except ValueError:
        raise InputError(f"{option} takes whole numbers with commas between, such as 1,5,20, not '{text}'") from None


def numbers(text: str, option: str) -> tuple[float, ...]:
    """``0.1,1`` as numbers in their order.

    Raises:
        InputError: where a part is no number.
    """
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"{option} takes numbers with commas between, such as 0.1,1, not '{text}'") from None


def shares(text: str) -> tuple[float, float, float]:
    """``0.7,0.1,0.2`` as shares of training, validation and test images.

    Raises:
        InputError: where they are not three numbers.
    """
    try:
        train, val, test = (float(part) for part in text.split(","))
    except ValueError:
        raise InputError(
            "--fractions takes three shares (train,val,test), three numbers with commas between, as 0.7,0.1,0.2, not "
            f"'{text}'"
        ) from None
    return train, val, test


def words(text: str) -> tuple[str, ...]:
    """``train,val`` as words, each once, in their order."""
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
