"""Thumbnails of a picture in several sizes, made in parallel: their files stay in the workflow's folder."""

import mee6

EDGES = (128, 64, 32)


def main(picture):
    (mee6.flow / "picture.png").write_bytes(picture)
    return mee6.gather(*(("thumbnail", edge) for edge in EDGES))
