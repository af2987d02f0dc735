"""Any timm backbone as a source of embeddings: its pooled features before the classifier."""

from __future__ import annotations

import dataclasses
import os
import urllib.parse
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn

from radiodino.runtime.errors import InputError, WeightsError
from radiodino.runtime.extras import require

from ..published.fetch import HUB, PROBE_SECONDS
from ..published.unreachable import unreachable
from ..weights.sha256 import values_sha256
from ..weights.wording import one_line
from .device import choose_device
from .network import NetworkSource
from .presets import get_preset

if TYPE_CHECKING:
    from .open import SourceOptions

_HUB_FILES = ("model.safetensors", "pytorch_model.bin")  # what timm looks for


def open_preset(text: str, options: SourceOptions) -> NetworkSource:
    """The rival of the paper's Table 3 called `text`; see `open_timm` and `radiodino.train.features.presets`."""
    preset = get_preset(text)
    return _opened(preset.model, preset.paper_row, options)


def open_timm(text: str, options: SourceOptions) -> NetworkSource:
    """The timm model called `text`, without its classifier.

    Images have the size, mean and standard deviation of its own data configuration, but are resized as everywhere in
    this package (bilinear, to a square, nothing cropped), so that all models see the same picture.

    Args:
        text: timm's name, with the tag of pretrained weights or without: ``resnet50``, ``resnet50.a1_in1k``.
        options: ``pretrained`` takes timm's weights, which are fetched unless its cache holds them; otherwise weights
            are random. An ``image_size`` other than the model's own is passed on to it.

    Raises:
        InputError: where there is no such model or tag, or it does not take images of this size.
        WeightsError: where pretrained weights are asked for and there are none, or they cannot be reached or loaded.
        BackendError: see `choose_device`.
    """
    return _opened(text, text, options)


def _opened(model_name: str, name: str, options: SourceOptions) -> NetworkSource:
    require("train", "timm")
    from timm.data.config import resolve_model_data_config

    device = choose_device(options.accelerator)
    stated = _stated(model_name)
    if options.pretrained:
        _refuse_unreachable(model_name, stated)
    channels, height, width = stated.get("input_size") or (3, 224, 224)
    if channels != 3 or (options.image_size is None and height != width):
        raise InputError(
            f"timm:{model_name} takes images of {channels} × {height} × {width}: expected a model for square images "
            "of 3 channels"
        )
    size = height if options.image_size is None else options.image_size
    network = _built(model_name, size, size != height, stated, options)
    if size != height:
        _refuse_partial_patches(network, model_name, size, cut=options.cut)
    data = cast(Any, resolve_model_data_config)(network)
    weights = "pretrained" if options.pretrained else f"random, seed {options.seed}"
    tag = f".{stated['tag']}" if options.pretrained and "." not in model_name and stated.get("tag") else ""
    source = NetworkSource(
        network,
        name=name if options.pretrained else f"{name} (random weights)",
        size=1,  # until the network has been asked
        image_size=size,
        network_size=size,
        provenance={
            "kind": "timm" if options.pretrained else "random",
            "source": f"timm:{model_name}{tag}, {weights}",
            "sha256": values_sha256(network.state_dict()),
            "licence": stated.get("license") if options.pretrained else None,
            "detail": f"pooled features before the classifier, {_parameters(network):.1f} M parameters",
        },
        device=device,
        precision=options.precision or "fp32",
        mean=tuple(data["mean"]),
        std=tuple(data["std"]),
    )
    source.size = _embedding_length(network, model_name, size, device)
    return source


def _stated(model_name: str) -> dict[str, Any]:
    """What timm states of the model and its pretrained weights."""
    import timm
    from timm.models import get_pretrained_cfg

    architecture, _, tag = model_name.partition(".")
    if not timm.is_model(architecture):
        near = get_close_matches(architecture, timm.list_models(), 3)
        raise InputError(
            f"timm {timm.__version__} has no model '{architecture}'"
            + (f" (near: {', '.join(near)})" if near else "")
            + ": see timm.list_models()"
        )
    tags = [known.partition(".")[2] for known in timm.list_pretrained(f"{architecture}.*")]
    if tag and tag not in tags:
        raise InputError(
            f"timm {timm.__version__} has no weights '{tag}' of '{architecture}': it has {', '.join(tags) or 'none'}"
        )
    found = get_pretrained_cfg(model_name)
    return {} if found is None else dataclasses.asdict(found)


def _built(
    model_name: str, size: int, is_other_size: bool, stated: dict[str, Any], options: SourceOptions
) -> nn.Module:
    import timm

    def build(**extra: Any) -> nn.Module:
        # PyTorch's random state is left as it was.
        with torch.random.fork_rng(devices=[]), torch.device("cpu"):
            torch.default_generator.manual_seed(options.seed)
            found: nn.Module = timm.create_model(model_name, pretrained=options.pretrained, num_classes=0, **extra)
        return found.eval()

    try:
        if not is_other_size:
            return build()
        try:
            return build(img_size=size)
        except TypeError:  # a convolutional network takes any size and knows no such argument
            if stated.get("fixed_input_size"):
                raise
            return build()
    except MemoryError:
        raise
    except Exception as error:  # timm and the hub's client have no error of their own
        kind: type[Exception] = WeightsError if options.pretrained else InputError
        raise kind(
            f"timm cannot build {model_name} for {size} px{' with its weights' if options.pretrained else ''} "
            f"({one_line(str(error)) or type(error).__name__}): choose another size, or leave it out"
        ) from error


def _refuse_unreachable(model_name: str, stated: dict[str, Any]) -> None:
    """Say soon that weights are not to be had: timm would draw random ones, or try for minutes."""
    hub, url = stated.get("hf_hub_id"), stated.get("url")
    if not hub and not url:
        raise WeightsError(f"timm knows no pretrained weights of {model_name}: leave out --pretrained")
    if _is_cached(hub, url):
        return
    if hub:
        offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}
        address = (os.environ.get("HF_ENDPOINT") or HUB).rstrip("/")
    else:
        parts = urllib.parse.urlsplit(str(url))
        offline, address = False, f"{parts.scheme}://{parts.netloc}"
    silence = "HF_HUB_OFFLINE forbids the network" if offline else unreachable(address, PROBE_SECONDS)
    if silence:
        cache = "HF_HOME" if hub else "TORCH_HOME"
        raise WeightsError(
            f"the pretrained weights of timm:{model_name} are not in timm's cache and cannot be fetched ({silence}): "
            f"run this once on a machine with internet and copy its {cache} folder here, or leave out --pretrained "
            "for random weights"
        )


def _is_cached(hub: str | None, url: str | None) -> bool:
    if hub:
        require("train", "huggingface_hub")
        import huggingface_hub

        return any(isinstance(huggingface_hub.try_to_load_from_cache(hub, file), str) for file in _HUB_FILES)
    file = Path(urllib.parse.urlsplit(url or "").path).name
    return (Path(torch.hub.get_dir()) / "checkpoints" / file).is_file()


def _refuse_partial_patches(network: nn.Module, model_name: str, size: int, *, cut: bool) -> None:
    """A vision transformer leaves out rows and columns that fill no patch; that must be meant."""
    found = getattr(getattr(network, "patch_embed", None), "patch_size", 1)
    patch = found if isinstance(found, int) else int(found[0])
    if not cut and size % patch:
        raise InputError(
            f"{size} px are no multiple of the patch ({patch} px) of timm:{model_name}: use "
            f"{max(1, size // patch) * patch} px"
        )


def _embedding_length(network: nn.Module, model_name: str, size: int, device: torch.device) -> int:
    """D, found by one black image: timm's attributes do not tell it for every architecture."""
    try:
        with torch.inference_mode():
            found = network(torch.zeros(1, 3, size, size, device=device))
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise MemoryError(str(error)) from error
    except Exception as error:  # each architecture refuses a size in its own way
        raise InputError(
            f"timm:{model_name} does not take images of {size} px ({one_line(str(error)) or type(error).__name__}): "
            "choose another size"
        ) from error
    if found.ndim != 2:
        raise InputError(
            f"timm:{model_name} gives {tuple(found.shape)} for one image: expected one vector of pooled features"
        )
    return int(found.shape[1])


def _parameters(network: nn.Module) -> float:
    return sum(parameter.numel() for parameter in network.parameters()) / 1e6
