"""Finds where the scenes of a video change. The frames are in the workflow's folder; only figures travel."""

import mee6

CHUNK = 12


def main(video):
    """Makes the video that its argument describes, then looks for the cuts that were put into it."""
    mee6.invoke("frames", video)
    chunks = [
        {"first": first, "end": min(first + CHUNK, video["frames"]), "size": video["width"] * video["height"]}
        for first in range(0, video["frames"], CHUNK)
    ]
    changes = mee6.gather(*(("motion", chunk) for chunk in chunks))
    return mee6.invoke("scenes", [change for part in changes for change in part])
