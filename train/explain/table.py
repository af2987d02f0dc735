"""What was drawn, as a table."""

from __future__ import annotations

from typing import Any

from ..evaluate.outcome import markdown_table
from ..segment.metrics import EMPTY_CONVENTION


def explain_table(results: dict[str, dict[str, Any]]) -> str:
    """The pictures, and the Dice of Grad-CAM where there are masks, as Markdown."""

    def shown(result: dict[str, Any]) -> int:
        images = result["images"]
        return images if isinstance(images, int) else len(images)

    drawn = markdown_table(
        ("picture", "file", "image size (px)", "images"),
        [(name, result["file"], result["image_size"], shown(result)) for name, result in results.items()],
    )
    overlaps = results.get("gradcam", {}).get("overlap")
    if not overlaps:
        return drawn
    groups = {"lesions": overlaps["lesions"], "all": overlaps["all"], **overlaps["by_class"]}
    rows = [
        (name, group["images"], *("-" if group[one] is None else f"{100 * group[one]:.1f}" for one in ("dice", "iou")))
        for name, group in groups.items()
    ]
    threshold = results["gradcam"]["threshold"]
    return "\n".join(
        [
            drawn,
            "",
            f"Grad-CAM at {100 * threshold:g} % of each map's maximum against the masks (paper, section 7.4); "
            f"{EMPTY_CONVENTION}.",
            "",
            markdown_table(("images with", "images", "Dice (%)", "IoU (%)"), rows),
        ]
    )
