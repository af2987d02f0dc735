"""What a rule says of a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One thing that the engine would not fuse, or not read."""

    rule: str
    nodes: tuple[str, ...]
    """Names of the nodes, tensors or inputs that it is about."""
    reason: str
    """One sentence without full stop."""


@dataclass(frozen=True)
class RuleResult:
    """What one rule found."""

    rule: str
    whole: str
    """How much is as it should be, in words; empty where there is nothing of the kind."""
    findings: tuple[Finding, ...] = ()


def result(rule: str, whole: str, found: Sequence[tuple[tuple[str, ...], str]]) -> RuleResult:
    """The result of `rule` with a finding for each of `found`: the nodes and the reason."""
    return RuleResult(rule, whole, tuple(Finding(rule, nodes, reason) for nodes, reason in found))
