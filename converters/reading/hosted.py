"""Fetching weights through the library that hosts them, where it is installed and there is a network."""

from pathlib import Path

from converters.timm_names import TAGS, timm_model
from efn_compose.errors import ConfigError, UnreadableCheckpointError, describe_problems


def timm_file(name: str) -> Path:
    """Return the local file of weights that timm hosts, fetching it on the first call.

    Args:
        name: Model and tag, "tf_efficientnet_b0.ns_jft_in1k".

    Raises:
        ConfigError: The model or the tag is unknown; the known ones are listed.
        UnreadableCheckpointError: It could not be fetched; the message says which
            file to fetch by hand.

    Example:
        >>> timm_file("efficientnet_b0.ra_in1k").name  # doctest: +SKIP
        'model.safetensors'
    """
    model, _, tag = name.partition(".")
    if model not in TAGS or tag not in TAGS[model]:
        tags = [f"timm:{model}.{known}" for known in TAGS.get(model, ())]
        models = tags or [f"timm:{known}.{tags[0]}" for known, tags in TAGS.items()]
        known = timm_model(model)
        why = "no published weights" if known and not tags else "no such weights at timm"
        raise ConfigError(describe_problems(f"timm:{name}: {why}. Known:", models))
    repository = f"timm/{name}"
    try:
        from huggingface_hub import hf_hub_download

        config = hf_hub_download(repository, "config.json")
        path = Path(hf_hub_download(repository, "model.safetensors"))
    except ImportError:
        raise _by_hand(name, "huggingface_hub is not installed (pip install timm)") from None
    except Exception as error:  # The library raises a dozen kinds, of several packages.
        raise _by_hand(name, f"{type(error).__name__}: {str(error).splitlines()[0]}") from None
    if Path(config).parent != path.parent:
        raise _by_hand(name, "the library put its two files in different folders")
    return path


def _by_hand(name: str, reason: str) -> UnreadableCheckpointError:
    return UnreadableCheckpointError(
        describe_problems(
            f"timm:{name}: could not be fetched ({reason}).",
            [
                "Fetch these two files by hand into one folder:",
                f"- https://huggingface.co/timm/{name}/resolve/main/model.safetensors",
                f"- https://huggingface.co/timm/{name}/resolve/main/config.json",
            ],
            f"Then: efn-compose convert model.safetensors --arch {name} -o {name}.h5",
        )
    )
