"""The numbers of the paper's tables, as printed.

Zedda, Loddo, Di Ruberto: Radio DINO, Computers in Biology and Medicine 195 (2025). Nothing here is computed: cells are
the paper's texts, in per cent, with ± where it gives a standard deviation and – where it gives no number. A number in
square brackets after a name is the paper's reference. "(Our)" is left out of names.
"""

from __future__ import annotations

from dataclasses import dataclass

BUSI = "BUSI"
RADIMAGENET = "RadImageNet"


@dataclass(frozen=True)
class PaperTable:
    """One table of results."""

    number: int
    dataset: str
    """A key of `TABLE_1`."""
    columns: tuple[str, ...]
    """The first is the model's."""
    rows: tuple[tuple[str, ...], ...]
    """As many cells as there are columns."""


@dataclass(frozen=True)
class Split:
    """How many images of a data set are for what (paper, table 1)."""

    train: int
    val: int
    test: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.train + self.val + self.test


TABLE_1: dict[str, Split] = {
    "PneumoniaMNIST": Split(4708, 524, 624),
    "BreastMNIST": Split(546, 78, 156),
    "OrganAMNIST": Split(34_561, 6491, 17_778),
    "OrganCMNIST": Split(12_975, 2392, 8216),
    "OrganSMNIST": Split(13_932, 2452, 8827),
    RADIMAGENET: Split(1_080_000, 135_000, 135_000),
    BUSI: Split(468, 156, 156),
}
"""The paper's data sets."""

TABLE_2: dict[str, float] = {
    "Radio DINOv2": 22.2,
    "Radio DINO tiny": 5.8,
    "Radio DINO tiny sp": 5.9,
    "Radio DINO small": 22.2,
    "Radio DINO small sp": 22.3,
    "Radio DINO base": 86.0,
}
"""Parameters in millions."""

_TABLE_3_K1 = """
ViT base CLIP ImageNet finetuned [13] | 59.04 | 27.15 | 27.18 | 26.76
ViT base MAE [12] | 59.72 | 30.28 | 30.13 | 29.69
ViT base SAM [61] | 61.56 | 30.70 | 30.01 | 29.92
ViT large EVA [11] | 60.43 | 30.37 | 29.78 | 29.64
ViT huge I-JEPA [10] | 60.93 | 30.82 | 30.86 | 30.34
ViT base SIGLIP [62] | 58.43 | 27.33 | 27.12 | 26.85
ViT base CLIP [13] | 59.95 | 29.08 | 28.79 | 28.48
ViT small DINOv2 [8] | 61.59 | 30.24 | 29.62 | 29.52
ResNet50 ImageNet finetuned [63] | 58.55 | 26.79 | 26.77 | 26.45
ViT small DINO [7] | 64.62 | 34.89 | 33.98 | 33.82
Radio DINO base | 65.50 | 35.10 | 35.80 | 34.80
Radio DINO small | 65.90 | 35.90 | 36.20 | 35.40
Radio DINO small sp | 62.90 | 32.00 | 32.40 | 31.80
Radio DINO tiny | 66.20 | 35.80 | 36.00 | 35.30
Radio DINO tiny sp | 65.30 | 33.40 | 33.60 | 33.10
"""

_TABLE_3_K5 = """
ViT base CLIP ImageNet finetuned [13] | 60.43 | 26.40 | 22.02 | 22.76
ViT base MAE [12] | 60.78 | 29.68 | 24.78 | 25.60
ViT base SAM [61] | 62.80 | 30.78 | 25.06 | 25.97
ViT large EVA [11] | 61.45 | 30.75 | 24.28 | 25.19
ViT huge I-JEPA [10] | 61.83 | 30.64 | 25.70 | 26.59
ViT base SIGLIP [62] | 59.84 | 27.36 | 22.55 | 23.33
ViT base CLIP [13] | 61.12 | 29.09 | 23.40 | 24.33
ViT small DINOv2 [8] | 62.89 | 31.31 | 24.58 | 25.64
ResNet50 ImageNet finetuned [63] | 59.94 | 26.25 | 21.37 | 22.06
ViT small DINO [7] | 65.85 | 34.21 | 28.74 | 30.02
Radio DINO base | 66.50 | 34.20 | 30.30 | 30.90
Radio DINO small | 66.80 | 35.90 | 30.80 | 31.60
Radio DINO small sp | 63.90 | 32.20 | 27.20 | 28.00
Radio DINO tiny | 67.10 | 35.30 | 30.30 | 31.20
Radio DINO tiny sp | 66.40 | 33.00 | 28.20 | 29.00
"""

_TABLE_3_K20 = """
ViT base CLIP ImageNet finetuned [13] | 62.41 | 31.38 | 20.57 | 21.28
ViT base MAE [12] | 62.52 | 32.48 | 23.11 | 23.90
ViT base SAM [61] | 64.99 | 35.22 | 23.52 | 24.59
ViT large EVA [11] | 63.02 | 32.31 | 22.27 | 23.19
ViT huge I-JEPA [10] | 63.61 | 34.05 | 23.96 | 24.98
ViT base SIGLIP [62] | 61.72 | 30.08 | 20.86 | 21.57
ViT base CLIP [13] | 63.22 | 33.24 | 21.82 | 22.77
ViT small DINOv2 [8] | 64.89 | 34.98 | 22.65 | 23.67
ResNet50 ImageNet finetuned [63] | 62.30 | 31.09 | 20.32 | 20.96
ViT small DINO [7] | 67.67 | 39.61 | 26.41 | 27.79
Radio DINO base | 68.50 | 39.20 | 28.60 | 29.60
Radio DINO small | 68.80 | 40.10 | 29.00 | 30.00
Radio DINO small sp | 65.90 | 36.50 | 25.60 | 26.80
Radio DINO tiny | 68.90 | 39.10 | 28.30 | 29.60
Radio DINO tiny sp | 68.30 | 38.50 | 26.90 | 28.00
"""

_TABLE_4 = """
Resnet18 [57] | 83.3 | – | – | – | 89.1
Resnet50 [57] | 84.2 | – | – | – | 86.6
auto-sklearn [57] | 80.3 | – | – | – | 83.6
AutoKeras [57] | 83.1 | – | – | – | 87.1
Google AutoML Vision [57] | 86.1 | – | – | – | 91.9
DenseNet121 [67] | 86.3 | – | – | – | 90.1
Swin Transformer [68] | 86.92 ± 1.04 | – | – | – | 86.26 ± 1.38
R-LLM [69] | 87.17 | – | – | – | 88.23
Med ViT tiny [65] | 89.6 | – | – | – | 93.4
Med ViT small [65] | 89.7 | – | – | – | 93.8
Med ViT base [65] | 88.3 | – | – | – | 92.9
DINO small | 74.57 ± 4.17 | 66.20 ± 10.37 | 58.79 ± 5.86 | 59.14 ± 7.56 | 71.78 ± 4.41
DINO base | 83.12 ± 0.98 | 81.49 ± 1.3 | 72.91 ± 1.79 | 75.48 ± 1.77 | 83.16 ± 1.05
DINOV2 small | 73.50 ± 2.67 | 62.14 ± 15.28 | 53.55 ± 4.12 | 50.63 ± 6.57 | 67.28 ± 7.19
DINOV2 base | 69.02 ± 7.59 | 50.49 ± 14.08 | 51.98 ± 3.22 | 49.07 ± 6.35 | 63.22 ± 13.01
Radio DINO tiny sp | 87.18 ± 0.37 | 85.44 ± 0.36 | 80.7 ± 0.69 | 82.6 ± 0.59 | 89.97 ± 1.66
Radio DINO small sp | 84.62 ± 0.98 | 83.98 ± 2.97 | 79.7 ± 3.29 | 80.15 ± 1.97 | 88.37 ± 1.62
Radio DINO tiny | 90.38 ± 0.81 | 89.04 ± 1.29 | 85.9 ± 1.27 | 87.29 ± 1.1 | 92.31 ± 0.98
Radio DINO small | 91.67 ± 0.68 | 90.81 ± 0.69 | 87.53 ± 1.21 | 88.98 ± 1.0 | 95.55 ± 1.55
Radio DINO base | 90.38 ± 1.84 | 91.11 ± 3.15 | 87.41 ± 4.93 | 87.69 ± 3.5 | 95.51 ± 1.7
"""

_TABLE_5 = """
Resnet18 [57] | 86.4 | – | – | – | 95.6
Resnet50 [57] | 88.4 | – | – | – | 96.2
auto-sklearn [57] | 85.5 | – | – | – | 94.2
AutoKeras [57] | 87.8 | – | – | – | 94.7
Google AutoML Vision [57] | 94.6 | – | – | – | 99.1
GCNN-EC [67] | 87.7 | – | – | – | 95.4
Swin Transformer [68] | 91.54 ± 0.48 | – | – | – | 98.22 ± 0.37
R-LLM [69] | 93.91 | – | – | – | 98.01
Med ViT tiny [65] | 94.9 | – | – | – | 99.3
Med ViT small [65] | 96.1 | – | – | – | 99.5
Med ViT base [65] | 92.1 | – | – | – | 99.1
DINO small | 83.71 ± 1.44 | 86.86 ± 0.17 | 79.22 ± 2.21 | 80.95 ± 2.14 | 93.89 ± 0.79
DINO base | 90.70 ± 2.00 | 93.35 ± 1.25 | 87.69 ± 2.66 | 89.46 ± 2.41 | 98.52 ± 1.13
DINOV2 small | 81.04 ± 1.73 | 83.63 ± 2.38 | 76.22 ± 2.12 | 77.75 ± 2.21 | 92.21 ± 1.19
DINOV2 base | 79.49 ± 0.48 | 82.91 ± 0.51 | 73.93 ± 0.60 | 75.41 ± 0.66 | 91.72 ± 0.13
Radio DINO tiny sp | 91.83 ± 1.53 | 93.69 ± 0.74 | 89.36 ± 2.14 | 90.88 ± 1.88 | 97.76 ± 0.68
Radio DINO small sp | 89.42 ± 1.15 | 91.94 ± 0.51 | 86.24 ± 1.62 | 88.01 ± 1.48 | 97.55 ± 0.59
Radio DINO tiny | 91.19 ± 1.11 | 93.63 ± 0.6 | 88.33 ± 1.5 | 90.07 ± 1.37 | 98.51 ± 0.2
Radio DINO small | 91.83 ± 1.03 | 93.86 ± 0.54 | 89.27 ± 1.42 | 90.86 ± 1.27 | 98.86 ± 0.23
Radio DINO base | 93.91 ± 1.11 | 95.25 ± 0.66 | 92.05 ± 1.51 | 93.29 ± 1.31 | 98.93 ± 0.45
"""

_TABLE_6 = """
Resnet18 [57] | 95.1 | – | – | – | 99.8
Resnet50 [57] | 94.7 | – | – | – | 99.8
auto-sklearn [57] | 76.2 | – | – | – | 96.3
AutoKeras [57] | 90.5 | – | – | – | 99.4
Google AutoML Vision [57] | 88.6 | – | – | – | 99.0
DenseNet121 [67] | 93.5 | – | – | – | 99.7
R-LLM [69] | 95.22 | – | – | – | 99.78
Med ViT tiny [65] | 93.1 | – | – | – | 99.5
Med ViT small [65] | 92.8 | – | – | – | 99.6
Med ViT base [65] | 94.3 | – | – | – | 99.7
DINO small | 96.45 ± 0.58 | 96.10 ± 0.64 | 95.87 ± 0.53 | 95.93 ± 0.60 | 99.88 ± 0.03
DINO base | 96.79 ± 0.44 | 96.64 ± 0.37 | 96.24 ± 0.79 | 96.39 ± 0.61 | 99.87 ± 0.04
DINOV2 small | 95.07 ± 0.42 | 94.79 ± 0.53 | 94.58 ± 0.40 | 94.55 ± 0.41 | 99.83 ± 0.01
DINOV2 base | 94.56 ± 1.13 | 94.36 ± 1.04 | 94.13 ± 1.21 | 94.19 ± 1.13 | 99.76 ± 0.08
Radio DINO tiny sp | 95.74 ± 0.89 | 95.53 ± 0.94 | 95.14 ± 1.01 | 95.28 ± 1.02 | 99.85 ± 0.09
Radio DINO small sp | 96.2 ± 0.46 | 96.14 ± 0.66 | 95.89 ± 0.68 | 95.97 ± 0.67 | 99.88 ± 0.06
Radio DINO tiny | 96.4 ± 0.45 | 96.21 ± 0.52 | 95.96 ± 0.64 | 96.03 ± 0.59 | 99.9 ± 0.03
Radio DINO small | 96.83 ± 0.37 | 96.71 ± 0.4 | 96.39 ± 0.33 | 96.47 ± 0.36 | 99.92 ± 0.03
Radio DINO base | 97.35 ± 0.55 | 97.22 ± 0.55 | 97.22 ± 0.64 | 97.2 ± 0.61 | 99.93 ± 0.03
"""

_TABLE_7 = """
Resnet18 [57] | 92.0 | – | – | – | 99.4
Resnet50 [57] | 91.1 | – | – | – | 99.3
auto-sklearn [57] | 82.9 | – | – | – | 97.6
AutoKeras [57] | 87.9 | – | – | – | 99.0
Google AutoML Vision [57] | 87.7 | – | – | – | 98.8
EfficientNetB0 [67] | 90.5 | – | – | – | 99.2
Med ViT tiny [65] | 90.1 | – | – | – | 99.1
Med ViT small [65] | 91.6 | – | – | – | 99.3
Med ViT base [65] | 92.2 | – | – | – | 99.4
DINO small | 93.67 ± 0.26 | 93.61 ± 0.41 | 92.44 ± 0.35 | 92.91 ± 0.36 | 99.67 ± 0.16
DINO base | 94.28 ± 1.44 | 94.19 ± 1.82 | 94.13 ± 1.23 | 94.06 ± 1.62 | 99.72 ± 0.05
DINOv2 small | 91.37 ± 0.49 | 90.55 ± 0.77 | 89.39 ± 0.67 | 89.83 ± 0.72 | 99.38 ± 0.28
DINOv2 base | 85.73 ± 1.36 | 83.68 ± 2.17 | 82.11 ± 2.12 | 82.61 ± 2.20 | 98.84 ± 0.21
Radio DINO tiny sp | 93.28 ± 0.1 | 93.36 ± 0.08 | 92.4 ± 0.18 | 92.78 ± 0.13 | 99.75 ± 0.02
Radio DINO small sp | 93.73 ± 0.73 | 93.6 ± 0.5 | 92.86 ± 1.05 | 93.11 ± 0.8 | 99.77 ± 0.05
Radio DINO tiny | 93.99 ± 0.45 | 93.96 ± 0.37 | 93.02 ± 0.55 | 93.37 ± 0.46 | 99.79 ± 0.03
Radio DINO small | 94.3 ± 0.31 | 93.96 ± 0.18 | 93.69 ± 0.4 | 93.63 ± 0.25 | 99.8 ± 0.02
Radio DINO base | 95.11 ± 0.71 | 94.91 ± 0.75 | 94.49 ± 0.83 | 94.57 ± 0.82 | 99.86 ± 0.04
"""

_TABLE_8 = """
Resnet18 [57] | 77.8 | – | – | – | 97.4
Resnet50 [57] | 78.5 | – | – | – | 97.5
auto-sklearn [57] | 67.2 | – | – | – | 94.5
AutoKeras [57] | 81.3 | – | – | – | 97.4
Google AutoML Vision [57] | 74.9 | – | – | – | 96.4
Resnet18 [67] | 81.3 | – | – | – | 97.4
Med ViT tiny [65] | 78.9 | – | – | – | 97.2
Med ViT small [65] | 80.5 | – | – | – | 98.7
Med ViT base [65] | 80.6 | – | – | – | 97.3
DINO small | 80.11 ± 1.51 | 76.12 ± 2.12 | 74.49 ± 1.27 | 74.66 ± 1.35 | 97.97 ± 0.26
DINO base | 82.44 ± 0.44 | 78.54 ± 0.31 | 77.15 ± 0.67 | 77.59 ± 0.27 | 97.21 ± 0.08
DINOv2 small | 77.87 ± 0.62 | 72.63 ± 0.73 | 72.16 ± 0.67 | 71.82 ± 0.80 | 97.62 ± 0.12
DINOv2 base | 73.97 ± 1.66 | 68.20 ± 1.96 | 67.25 ± 2.18 | 66.70 ± 2.17 | 97.01 ± 0.31
Radio DINO tiny sp | 80.57 ± 0.68 | 76.71 ± 0.78 | 75.87 ± 0.89 | 76.1 ± 0.91 | 97.68 ± 0.15
Radio DINO small sp | 79.98 ± 0.45 | 75.8 ± 0.07 | 74.83 ± 0.83 | 74.97 ± 0.38 | 97.55 ± 0.11
Radio DINO tiny | 81.53 ± 0.61 | 78.1 ± 0.53 | 77.43 ± 1.04 | 76.88 ± 0.64 | 98.06 ± 0.09
Radio DINO small | 82.3 ± 0.81 | 78.63 ± 0.91 | 77.67 ± 0.84 | 77.73 ± 1.2 | 98.27 ± 0.12
Radio DINO base | 82.81 ± 0.96 | 79.51 ± 1.14 | 77.75 ± 1.1 | 78.15 ± 1.17 | 98.28 ± 0.15
"""

_TABLE_9 = """
DINO small | 53.16 | 36.86 | 41.58 | 36.60 | 55.63
DINO base | 88.61 | 88.48 | 85.00 | 86.38 | 97.28
Radio DINO tiny sp | 81.01 | 88.42 | 75.00 | 78.63 | 93.90
Radio DINO small sp | 86.08 | 91.11 | 81.67 | 84.77 | 96.97
Radio DINO tiny | 75.95 | 84.24 | 69.15 | 71.51 | 91.49
Radio DINO small | 83.54 | 89.78 | 78.33 | 81.83 | 94.85
Radio DINO base | 92.41 | 94.25 | 90.00 | 91.73 | 98.35
"""

_TABLE_10 = """
DINO small | 67.80 | 51.10 | 0.72
DINO base | 65.80 | 49.60 | 0.80
Radio DINO tiny | 68.90 | 52.80 | 0.65
Radio DINO tiny sp | 66.40 | 50.10 | 0.65
Radio DINO small | 68.30 | 52.40 | 0.72
Radio DINO small sp | 71.70 | 56.50 | 0.70
Radio DINO base | 69.50 | 53.50 | 0.80
"""


def _rows(text: str) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(line.split(" | ")) for line in text.strip().splitlines())


_RETRIEVED = ("Model", "Accuracy (%)", "Precision (%)", "Recall (%)", "F1 (%)")
_CLASSIFIED = (*_RETRIEVED, "AUC (%)")
_SEGMENTED = ("Model", "Dice (%)", "IoU (%)", "Trainable parameters (M)")

TABLE_3: dict[int, PaperTable] = {
    k: PaperTable(3, RADIMAGENET, _RETRIEVED, _rows(text))
    for k, text in ((1, _TABLE_3_K1), (5, _TABLE_3_K5), (20, _TABLE_3_K20))
}
"""Nearest neighbours (section 5.1), by their number k."""

FINE_TUNED: tuple[PaperTable, ...] = (
    PaperTable(4, "BreastMNIST", _CLASSIFIED, _rows(_TABLE_4)),
    PaperTable(5, "PneumoniaMNIST", _CLASSIFIED, _rows(_TABLE_5)),
    PaperTable(6, "OrganAMNIST", _CLASSIFIED, _rows(_TABLE_6)),
    PaperTable(7, "OrganCMNIST", _CLASSIFIED, _rows(_TABLE_7)),
    PaperTable(8, "OrganSMNIST", _CLASSIFIED, _rows(_TABLE_8)),
    PaperTable(9, BUSI, _CLASSIFIED, _rows(_TABLE_9)),
)
"""Tables 4 to 8 (section 5.2) and 9 (section 7.1)."""

TABLE_9_TEST_IMAGES = 79
"""All accuracies of table 9 are whole numbers of 79 images, and several are of no number out of the 156 of table 1."""

TABLE_10 = PaperTable(10, BUSI, _SEGMENTED, _rows(_TABLE_10))
"""Segmentation heads on frozen features (section 7.2)."""

SECTION_7_3: tuple[tuple[str, str], ...] = (("DINO base", "77.82"), ("Radio DINO base", "81.12"))
"""Mean F1 (%) of logistic regression on CLS features at 448, 224, 112 and 56 px, on BUSI."""

SECTION_7_4: tuple[tuple[str, str], ...] = (("Radio DINO base", "13.8"),)
"""Dice (%) of Grad-CAM at a threshold of 20 % against the masks, on BUSI. Of DINO base the paper says only that it is
"by 2.8%" less."""
