"""Files that lie under a checkpoint's name and are something else, each called by its name."""

import re
from pathlib import Path

from efn_compose.errors import UnreadableCheckpointError

_UNPACK = "Unpack it, and name the checkpoint inside."
_FETCH = "Fetch the file itself: the address led to a page and not to the weights."

#: How a file begins (a regular expression over its first 512 bytes), its name, and the next step.
_SIGNATURES: tuple[tuple[re.Pattern[bytes], str, str], ...] = tuple(
    (re.compile(pattern, re.DOTALL | re.IGNORECASE), name, step)
    for pattern, name, step in (
        (
            rb"version (https://git-lfs|http://git-media)",
            "a Git LFS pointer, which stands for the file",
            "Fetch the file it points to: git lfs pull.",
        ),
        (
            rb"(\.\./)*(\.git)?/annex/objects/",
            "a pointer of git-annex, which stands for the file",
            "Fetch the file it points to: git annex get.",
        ),
        (rb"\x1f\x8b", "a gzip archive", _UNPACK),
        (rb"bzh[1-9]1ay&sy", "a bzip2 archive", _UNPACK),
        (rb"\xfd7zXZ\x00", "an xz archive", _UNPACK),
        (rb"\x28\xb5\x2f\xfd", "a Zstandard archive", _UNPACK),
        (rb"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", _UNPACK),
        (rb"rar!\x1a\x07", "a RAR archive", _UNPACK),
        (rb".{257}ustar", "a tar archive", _UNPACK),
        (rb"\s*(\xef\xbb\xbf)?\s*<(!doctype html|html|head|body)", "an HTML page", _FETCH),
        (rb"\s*(\xef\xbb\xbf)?\s*<\?xml", "an XML document", _FETCH),
        (
            rb"....TFL3",
            "a TFLite file, which holds a compiled program and no weights to train on",
            "Convert the checkpoint it was made from.",
        ),
        (rb"GGUF|ggml|lmgg", "a GGUF file, which holds a language model", "Name the checkpoint."),
        (
            rb"\x80[\x02-\x05]",
            "a Python pickle, as other libraries than PyTorch write it",
            "Load it in its own library, and save its tensors there as .safetensors.",
        ),
        (
            rb"[\x80-\x8f\xde\xdf].{0,4}(params|batch_stats|model|opt_state|step)",
            "a MessagePack file, as Flax writes it",
            "Load it in Flax, and save its tensors as .safetensors.",
        ),
        (
            rb"\x93NUMPY",
            "one array of NumPy",
            "Name the checkpoint.",
        ),
        (
            rb"\x00+\Z",
            "zeros alone, a download that was broken off",
            "Fetch the file again.",
        ),
        (
            rb"\s*{.*\"weight_map\"",
            "the index of a checkpoint in several files",
            "Load it in its own library, and save it as one file.",
        ),
        (
            rb"\s*[{\[]\s*[\"}\]{\[]",
            "a JSON document, which describes a network and holds no weights",
            "Name the weight file beside it.",
        ),
        (rb"%pdf-", "a PDF document", _FETCH),
        (rb"\x89png|\xff\xd8\xff|gif8", "an image", "Name the checkpoint."),
    )
)


def refuse_other_kinds(path: Path, head: bytes) -> None:
    """Raise where a file is no checkpoint but something that is known.

    Args:
        path: The file, for the message.
        head: Its first bytes; 512 are enough.

    Raises:
        UnreadableCheckpointError: The file is empty, a pointer, an archive, a page, ...

    Example:
        >>> refuse_other_kinds(Path("b0.pth"), b"<html>")
        Traceback (most recent call last):
            ...
        efn_compose.errors.UnreadableCheckpointError: b0.pth: not a checkpoint but an HTML page. Fetch \
the file itself: the address led to a page and not to the weights.
    """
    if not head:
        raise UnreadableCheckpointError(f"{path}: the file is empty. Fetch or save it again.")
    for pattern, name, step in _SIGNATURES:
        if pattern.match(head):
            raise UnreadableCheckpointError(f"{path}: not a checkpoint but {name}. {step}")
