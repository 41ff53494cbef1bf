"""How much each frame of a chunk differs from the one before it: thousandths of a grey step, over all pixels."""

import mee6


def main(chunk):
    first, end, size = chunk["first"], chunk["end"], chunk["size"]
    with (mee6.flow / "frames.raw").open("rb") as file:
        file.seek(max(first - 1, 0) * size)
        before = file.read(size)
        if first == 0:
            file.seek(0)
        changes = []
        for _ in range(first, end):
            frame = file.read(size)
            difference = sum(abs(now - then) for now, then in zip(frame, before, strict=True))
            changes.append(difference * 1000 // size)
            before = frame
    return changes
