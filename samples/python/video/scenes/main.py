"""Tells scenes by how much each frame differs from the one before: a cut is a change far beyond the usual one."""

FAR = 3


def main(changes):
    usual = sorted(changes)[len(changes) // 2]
    starts = [0] + [number for number, change in enumerate(changes) if change > FAR * usual]
    ends = [*starts[1:], len(changes)]
    return [{"from": start, "to": end - 1} for start, end in zip(starts, ends, strict=True)]
