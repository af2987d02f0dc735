"""The kinds of map that explain an answer, by the names of the network's outputs."""

CAM, ATTENTION = "cam", "attention"
KINDS = (CAM, ATTENTION)
