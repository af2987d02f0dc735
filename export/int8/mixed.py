"""As many layers in 8 bits as the gate lets through: where it fails, the most sensitive go back to float."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from radiodino.runtime.errors import VerificationError
from radiodino.runtime.quantisation_info import GateResult

from .calibration_set import CalibrationImages
from .gate import Gate, failing_outputs, failures
from .plan import Plan
from .quantise import Quantised, write
from .sensitivity import by_sensitivity


@dataclass(frozen=True)
class Mixed:
    """What passed the gate."""

    quantised: Quantised
    gate: tuple[GateResult, ...]
    put_back: tuple[str, ...]
    """Layers that went back to float, the most sensitive first."""


def quantise_within(
    gate: Gate, plan: Plan, images: CalibrationImages, progress: Callable[[str], None] = lambda _step: None
) -> Mixed:
    """The graph of `plan` with as few of its layers put back to float as the gate demands.

    They go back in the order of their sensitivity, one, two, four, …, until the gate holds, and then as many of those
    return to 8 bits as it allows.

    Args:
        gate: what must hold.
        plan: see `radiodino.export.int8.plan.plan_quantisation`.
        images: those it was calibrated on.
        progress: told what is being done.

    Raises:
        VerificationError: the gate fails with all but one of the layers in float, so that nothing is won.
    """

    def tried(back: int) -> Mixed:
        kept = tuple(order[:back])
        quantised = write(plan, frozenset(kept))
        told = f"{back} of {len(plan.layers)} layers in float: "
        judged = gate.judge(quantised.model, lambda way: progress(f"judge, {told}{way}"), whole=False)
        return Mixed(quantised, judged, kept)

    order: list[str] = []
    whole = tried(0)
    if not failures(whole.gate):
        return whole
    order = [stage for stage, _cost in by_sensitivity(plan, images, failing_outputs(whole.gate), progress)]
    most = len(order) - 1
    passed = None
    fails, back = 0, 1
    failed = whole
    while passed is None:
        if fails >= most:
            raise VerificationError(
                f"the int8 file differs from the PyTorch original even with {fails} of its {len(order)} layers in "
                f"float: {failures(failed.gate)}; it was not written: export with --fp16 instead, or calibrate on "
                "other images"
            )
        found = tried(min(back, most))
        if failures(found.gate):
            failed, fails, back = found, len(found.put_back), 2 * back
        else:
            passed = found
    while len(passed.put_back) - fails > 1:
        found = tried((len(passed.put_back) + fails) // 2)
        if failures(found.gate):
            fails = len(found.put_back)
        else:
            passed = found
    return passed
