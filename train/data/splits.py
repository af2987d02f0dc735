"""Training, validation and test images: the data set's own split where it has one, else seeded and stratified."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from radiodino.runtime.errors import InputError

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class SplitSettings:
    """How images are split whose data set or manifest does not say; see `assign_splits`."""

    fractions: tuple[float, float, float] = (0.7, 0.1, 0.2)
    seed: int = 0
    group: str | None = None


def assign_splits(
    keys: Sequence[str],
    strata: Sequence[Hashable],
    *,
    fractions: tuple[float, float, float] = (0.7, 0.1, 0.2),
    seed: int = 0,
    group: str | None = None,
    own: Sequence[str] | None = None,
) -> list[str]:
    """A split for each image, the same on every machine and for every version of Python and its packages.

    The groups of each stratum are put in the order of the SHA-256 of seed and key, and cut at the fractions.

    Args:
        keys: of each image: the name without the folders of the machine, ``set.zip/benign/1.png``.
        strata: of each image: what shall be spread evenly, as (data set, label).
        fractions: of training, validation and test images; their sum is 1.
        seed: another one gives another split.
        group: a regular expression with one group in parentheses, searched in the key: images for which it finds the
            same text (a patient, a case that two data sets hold) go to the same split, in the stratum of the first.
        own: of each image the split that its data set says, which stays, or empty text; the images of a group of which
            one has such a split follow it, the first where there are several.

    Returns:
        ``train``, ``val`` or ``test`` for each image.

    Raises:
        InputError: where the fractions are no shares of a whole, or the expression is none.
    """
    if len(fractions) != len(SPLITS) or not (min(fractions) >= 0 and abs(sum(fractions) - 1) <= 1e-9):
        raise InputError(f"the fractions of {', '.join(SPLITS)} must add up to 1, found {fractions}: change them")
    groups = [group_of(key, group) for key in keys]
    own = own or [""] * len(groups)
    split: dict[str, str] = {}
    for one, known in zip(groups, own, strict=True):
        if known:
            split.setdefault(one, known)
    members: dict[Hashable, list[str]] = {}
    seen = set(split)
    for one, stratum in zip(groups, strata, strict=True):
        if one not in seen:
            seen.add(one)
            members.setdefault(stratum, []).append(one)
    for found in members.values():
        found.sort(key=lambda one: hashlib.sha256(f"{seed}/{one}".encode()).digest())
        ends = [round(len(found) * sum(fractions[: place + 1])) for place in range(len(SPLITS))]
        for place, one in enumerate(found):
            split[one] = next(name for name, end in zip(SPLITS, ends, strict=True) if place < end)
    return [known or split[one] for one, known in zip(groups, own, strict=True)]


def complete_splits(
    keys: Sequence[str],
    strata: Sequence[Hashable],
    own: Sequence[str],
    *,
    fractions: tuple[float, float, float] = (0.7, 0.1, 0.2),
    seed: int = 0,
    group: str | None = None,
) -> tuple[list[str], str]:
    """A split for each image, and in words where it came from; for the arguments and errors see `assign_splits`."""
    splits = assign_splits(keys, strata, fractions=fractions, seed=seed, group=group, own=own)
    known = sum(map(bool, own))
    shares = "/".join(f"{share:g}" for share in fractions)
    grouped = f", grouped by {group}" if group is not None else ""
    assigned = f"seeded and stratified, {shares}, seed {seed}{grouped}"
    if not known:
        return splits, assigned
    if known == len(splits):
        return splits, "as the data set or manifest says"
    return splits, f"as the data set or manifest says for {known} of {len(splits)} images, the others {assigned}"


def group_of(key: str, pattern: str | None) -> str:
    """What `pattern` finds in `key`: images of one group stay together. The key itself where there is nothing to find.

    Raises:
        InputError: where the pattern is no regular expression with one group in parentheses.
    """
    if pattern is None:
        return key
    try:
        found = re.search(pattern, key)
    except re.error as error:
        raise InputError(f"'{pattern}' is no regular expression: {error}") from None
    if found is None:
        return key
    if found.re.groups != 1:
        raise InputError(f"'{pattern}' must have one group in parentheses, found {found.re.groups}")
    return key if found[1] is None else found[1]
