"""One thumbnail of the workflow's picture: its longer edge is as many pixels as the argument says."""

from PIL import Image

import mee6


def main(edge):
    with Image.open(mee6.flow / "picture.png") as picture:
        small = picture.convert("RGB")
    small.thumbnail((edge, edge), Image.Resampling.BOX)
    name = f"thumbnail-{edge}.png"
    small.save(mee6.flow / name)
    colour = small.resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))
    return {"name": name, "width": small.width, "height": small.height, "colour": colour}
