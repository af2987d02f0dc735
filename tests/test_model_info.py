from __future__ import annotations

import json

import pytest

from radiodino.runtime.errors import ModelFileError
from radiodino.runtime.model_file import read_model_file
from radiodino.runtime.model_info import SCHEMA_VERSION, parse_model_info
from radiodino.runtime.notice import NOTICES


@pytest.fixture
def first(toy_fp16) -> dict:
    """A document of schema 1, as the first files have it."""
    document = json.loads(read_model_file(toy_fp16).document)
    assert document["schema"] == 1
    return document


FOURTH = {"quantisation": None, "bf16_residual": False}
"""What schema 4 added."""


@pytest.fixture
def document(first) -> dict:
    """The same of the present schema."""
    added = {"notice": NOTICES["random"], "classifier": None, "segmenter": None}
    return first | added | FOURTH | {"schema": SCHEMA_VERSION}


def test_document_round_trips(document):
    info = parse_model_info(json.dumps(document), "file")
    assert json.loads(info.to_json()) == document
    assert info.preprocessing.resize == (64, 64)
    assert info.outputs[0].shape == (-1, 48)


def test_it_says_what_a_clinic_must_know(document):
    info = parse_model_info(json.dumps(document), "file")
    assert info.weights.kind == "random"
    assert len(info.weights.sha256) == 64
    assert info.verification["passed"] is True
    assert "not for diagnosis" in info.intended_use
    assert set(info.tools) >= {"radiodino", "torch", "timm", "onnx", "opset"}


def test_a_document_of_schema_1_is_given_what_it_lacks(first, document):
    """Random weights say so, whenever their file was made."""
    assert "notice" not in first
    assert parse_model_info(json.dumps(first), "file") == parse_model_info(json.dumps(document), "file")


@pytest.mark.parametrize(("kind", "notice"), [("demo", NOTICES["demo"]), ("published", None), ("file", None)])
def test_the_kind_of_the_weights_decides_the_notice_of_schema_1(first, kind, notice):
    first["weights"]["kind"] = kind
    assert parse_model_info(json.dumps(first), "file").notice == notice


def test_a_notice_is_not_lost(document):
    """Neither where a document leaves out what its weights demand, nor where it says what this reader does not know."""
    without = document | {"notice": None}
    assert parse_model_info(json.dumps(without), "file").notice == NOTICES["random"]
    other = document | {"notice": "not for clinical use", "weights": document["weights"] | {"kind": "new"}}
    assert parse_model_info(json.dumps(other), "file").notice == "not for clinical use"


def test_demonstration_weights_say_what_they_are():
    assert "a demonstration, not Radio DINO's weights, not for clinical use" in NOTICES["demo"]


def changed(document, path, value):
    *parents, last = path
    place = document
    for key in parents:
        place = place[key]
    if value is KeyError:
        del place[last]
    else:
        place[last] = value
    return json.dumps(document)


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        (["schema"], SCHEMA_VERSION + 1, "upgrade radiodino"),
        (["schema"], 0, "export the file again"),
        (["schema"], "1", "no schema version"),
        (["schema"], True, "no schema version"),
        (["notice"], KeyError, f"not of schema {SCHEMA_VERSION} .*'notice' is missing"),
        (["notice"], 3, "'notice' is of the wrong type"),
        (["variant"], KeyError, "'variant' is missing"),
        (["variant"], 3, "'variant' is of the wrong type"),
        (["image_size"], "224", "'image_size' is of the wrong type"),
        (["image_size"], True, "'image_size' is of the wrong type"),
        (["surprise"], 1, "'surprise' is unknown"),
        (["preprocessing", "mean"], [0.5, 0.5], "'preprocessing.mean' is of the wrong type"),
        (["preprocessing", "std"], KeyError, "'preprocessing.std' is missing"),
        (["preprocessing"], 5, "'preprocessing.' is no object"),
        (["outputs"], [{"name": "embedding"}], "is missing"),
        (["weights", "licence"], 3, "'weights.licence' is of the wrong type"),
    ],
)
def test_a_document_that_does_not_fit_is_refused(document, path, value, reason):
    with pytest.raises(ModelFileError, match=reason):
        parse_model_info(changed(document, path, value), "file")


@pytest.mark.parametrize("text", ["", "not json", "[]", "3", "null"])
def test_what_is_no_document_is_refused(text):
    with pytest.raises(ModelFileError):
        parse_model_info(text, "file")


def test_heads_travel_in_the_document(document):
    head = {"training_set": "busi.zip", "metrics": {"accuracy": 0.9}, "name": "classifier.pth", "sha256": 64 * "0"}
    document |= {
        "task": "classify+segment",
        "classifier": head | {"classes": ["benign", "malignant"], "temperature": 2.0, "thresholds": {"malignant": 0.4}},
        "segmenter": head | {"label": "lesion", "threshold": 0.5, "head": "lite"},
    }
    info = parse_model_info(json.dumps(document), "file")
    assert info.classifier.classes == ("benign", "malignant")
    assert info.classifier.thresholds == {"malignant": 0.4}
    assert info.segmenter.threshold == 0.5
    assert json.loads(info.to_json()) == document
    del document["segmenter"]["threshold"]
    with pytest.raises(ModelFileError, match=r"'segmenter\.threshold' is missing"):
        parse_model_info(json.dumps(document), "file")


def test_a_document_of_schema_2_has_no_heads(document):
    second = {name: value for name, value in document.items() if name not in ("classifier", "segmenter", *FOURTH)}
    assert parse_model_info(json.dumps(second | {"schema": 2}), "file") == parse_model_info(
        json.dumps(document), "file"
    )


def test_how_an_int8_file_was_quantised_travels_in_the_document(document):
    measure = {"output": "embedding", "name": "smallest cosine", "value": 0.997, "limit": 0.995}
    measure |= {"images": 200, "passed": True}
    document |= {
        "precision": "int8",
        "quantisation": {
            "method": "static",
            "layers": [{"name": "blocks.0.attn.qkv", "method": "mse", "alpha": 0.5}],
            "kept_float": ["blocks.0.mlp.fc2"],
            "kept_share": 0.05,
            "float_share": 0.2,
            "calibration": {
                "sources": ["busi.zip"],
                "count": 200,
                "held_out": 200,
                "seed": 0,
                "sha256": 64 * "0",
                "notes": [],
            },
            "gate": [{"engine": "openvino 1", "compute": "bf16", "optimised": True, "measures": [measure]}],
            "limits": [],
        },
    }
    info = parse_model_info(json.dumps(document), "file")
    assert info.quantisation.layers[0].alpha == 0.5
    assert info.quantisation.gate[0].passed
    assert json.loads(info.to_json()) == document
    document["quantisation"]["gate"][0]["measures"][0]["passed"] = False
    assert not parse_model_info(json.dumps(document), "file").quantisation.gate[0].passed
    del document["quantisation"]["calibration"]["sha256"]
    with pytest.raises(ModelFileError, match=r"'quantisation\.calibration\.sha256' is missing"):
        parse_model_info(json.dumps(document), "file")


def test_a_document_of_schema_3_has_nothing_quantised(document):
    third = {name: value for name, value in document.items() if name not in FOURTH} | {"schema": 3}
    info = parse_model_info(json.dumps(third), "file")
    assert info.quantisation is None
    assert not info.bf16_residual
