"""Submissions on disk: a table like that of `predict`, or a competition's own template filled."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from efn_compose.data import ImageTable
from efn_compose.jobs.predictions.rows import Rows
from efn_compose.jobs.predictions.submission import Template
from efn_compose.jobs.predictions.writing import open_table
from efn_compose.store.atomic import write_text

#: Rows written at a time.
_CHUNK = 4096


def write_submission(
    path: Path,
    table: ImageTable,
    class_names: Sequence[str],
    template: Template | None,
    probability: np.ndarray,
    members: np.ndarray,
    called: np.ndarray | None = None,
) -> None:
    """Write what an ensemble says of the test images; the old file stands until the new one is whole.

    Args:
        path: The file.
        table: The test images.
        class_names: One per class.
        template: What to fill; None writes a table with `predicted` and `spread`.
        probability: (image, class) of the ensemble.
        members: (column, image, class) of its members, for the spread.
        called: (image,) what images are called; None: the classes of the largest numbers. Of ranks these
            are no calls.
    """
    stated = probability.astype(np.float32)
    predicted = stated.argmax(axis=1) if called is None else called
    if template is not None:
        write_text(path, template.fill(stated, predicted, class_names))
        return
    spread = members[:, np.arange(len(stated)), predicted].std(axis=0)
    with open_table(path, class_names) as writer:
        for start in range(0, len(stated), _CHUNK):
            part = slice(start, min(start + _CHUNK, len(stated)))
            names = tuple(table.image_name(n) for n in range(part.start, part.stop))
            writer.write(Rows(names, stated[part], predicted[part], spread[part]))
