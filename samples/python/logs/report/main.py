"""Puts the parts of an access log together: by path, the busiest first, with failures and the 95th percentile."""


def main(parts):
    paths = {}
    for part in parts:
        for path, found in part["paths"].items():
            whole = paths.setdefault(path, {"failed": 0, "took_ms": []})
            whole["failed"] += found["failed"]
            whole["took_ms"] += found["took_ms"]
    rows = [
        {
            "path": path,
            "requests": len(whole["took_ms"]),
            "failed": whole["failed"],
            "p95_ms": sorted(whole["took_ms"])[(len(whole["took_ms"]) * 95 - 1) // 100],
        }
        for path, whole in paths.items()
    ]
    rows.sort(key=lambda row: (-row["requests"], row["path"]))
    return {"paths": rows, "unread": sum(part["unread"] for part in parts)}
