"""Which images make up a step: a function of the seed and the step alone, so that a run resumes exactly."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

_SOURCE = 4  # a purpose of random numbers


def epoch_order(count: int, seed: int, epoch: int) -> Tensor:
    """A permutation of `count` images, int64, the same for the same seed and epoch on every machine and rank."""
    return torch.randperm(count, generator=generator(seed, epoch, 0))


@dataclass(frozen=True)
class Balance:
    """Which images an epoch holds: all of them once, or more of some sources and fewer of others."""

    sources: Sequence[str]
    """Of each image: the file or folder of the input that it came from."""
    strength: float
    """0 to 1, see `radiodino.train.pretrain.recipe.Recipe.balance`."""

    def order(self, seed: int, epoch: int) -> Tensor:
        """Images of an epoch, int64, as many as there are; the same for the same seed and epoch on every machine.

        Within a source every image is drawn once before any is drawn again, across epochs.
        """
        count = len(self.sources)
        if not self.strength:
            return epoch_order(count, seed, epoch)
        members: dict[str, list[int]] = {}
        for index, source in enumerate(self.sources):
            members.setdefault(source, []).append(index)
        drawn = []
        for number, (share, own) in enumerate(zip(self._shares(members.values()), members.values(), strict=True)):
            first, last = epoch * share, (epoch + 1) * share
            rounds = [
                torch.tensor(own)[torch.randperm(len(own), generator=generator(seed, number, turn, _SOURCE))]
                for turn in range(first // len(own), -(-last // len(own)))
            ]
            start = first % len(own)
            drawn.append(torch.cat(rounds)[start : start + share])
        return torch.cat(drawn)[epoch_order(count, seed, epoch)]

    def _shares(self, members: Collection[list[int]]) -> list[int]:
        """How many images of each source an epoch holds, together as many as there are."""
        weights = [len(own) ** (1 - self.strength) for own in members]
        ends = [round(len(self.sources) * end / sum(weights)) for end in itertools.accumulate(weights)]
        return [last - first for first, last in itertools.pairwise([0, *ends])]


def step_indices(order: Tensor, step: int, batch_size: int, rank: int = 0, ranks: int = 1) -> Tensor:
    """The images of one rank in one step of an epoch.

    Args:
        order: see `epoch_order`.
        step: within the epoch, from 0; the images left over at the end of an epoch are dropped, as officially.
        batch_size: over all ranks, divisible by their number.
        rank: this process.
        ranks: how many there are; together they take the same images as one process would.
    """
    local = batch_size // ranks
    start = step * batch_size + rank * local
    return order[start : start + local]


def generator(*numbers: int) -> torch.Generator:
    """A random generator on the CPU for a purpose that `numbers` name, unrelated to those of other numbers."""
    made = torch.Generator()
    made.manual_seed(seed_of(*numbers))
    return made


def seed_of(*numbers: int) -> int:
    """A seed for what `numbers` name, between 0 and 2^63 - 1."""
    seed = 0
    for number in numbers:  # splitmix64 over the numbers: neighbouring steps get unrelated streams
        seed = (seed + 0x9E3779B97F4A7C15 + number) & _MASK
        seed = ((seed ^ seed >> 30) * 0xBF58476D1CE4E5B9) & _MASK
        seed = ((seed ^ seed >> 27) * 0x94D049BB133111EB) & _MASK
        seed ^= seed >> 31
    return seed >> 1


_MASK = (1 << 64) - 1
