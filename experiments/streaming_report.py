"""What `streaming.py` has measured, as a table."""

from typing import Any


def report(found: dict[str, dict[str, Any]]) -> str:
    """Return the parts that are done as a table."""
    rows: list[tuple[str, str, str]] = []
    if "fill" in found:
        rates = found["fill"]["images_per_second"]
        each = ", ".join(f"{a / b:.2f}" for a, b in zip(rates["fill"], rates["plain"], strict=True))
        rows.append(
            (
                "first fill, in rates of decoding and resizing alone",
                f"{found['fill']['ratio']:.2f} ({each})",
                "0.90",
            )
        )
    if "throughput" in found:
        rows.append(
            (
                "training from the cache, in rates of training from memory",
                f"{found['throughput']['ratio']:.2f}",
                "0.95",
            )
        )
        rows.append(
            (
                "losses of both",
                "equal" if found["throughput"]["equal_losses"] else "NOT EQUAL",
                "equal",
            )
        )
    if "starts" in found:
        seconds = [start[-1] for start in found["starts"]["load_fingerprint_batch_seconds"]]
        rows.append(("first start, which decodes all", f"{seconds[0]:.0f} s", ""))
        rows.append(
            (
                "second start to the first batch",
                ", ".join(f"{s:.1f} s" for s in seconds[1:]),
                "under 3 s",
            )
        )
    if "table" in found:
        table = found["table"]
        rows.append(
            (
                "csv of 2,000,000 rows",
                f"{table['peak_bytes'] / 1e9:.2f} GB, {table['seconds']:.0f} s",
                "2 GB",
            )
        )
    workers = {}
    for name in ("small_search", "search"):
        if name in found:
            peaks = found[name]["peak_bytes"]
            workers[name] = max(value for key, value in peaks.items() if key.startswith("worker"))
            rows.append(
                (
                    f"{name}: lines of the journal, time",
                    f"{found[name]['evaluations']}, {found[name]['seconds'] / 60:.1f} min",
                    "",
                )
            )
            rows.append(
                (
                    f"{name}: peak of a worker, of all processes",
                    f"{workers[name] / 1e9:.2f} GB, {peaks['all'] / 1e9:.2f} GB",
                    "",
                )
            )
    if len(workers) == 2:
        more = workers["search"] - workers["small_search"]
        rows.append(("a worker's peak above that of 448 images", f"{more / 1e9:.2f} GB", "1.2 GB"))
    lines = [
        "| question | found | goal |",
        "|---|---|---|",
        *(f"| {a} | {b} | {c} |" for a, b, c in rows),
    ]
    return "\n".join(lines) + "\n"
