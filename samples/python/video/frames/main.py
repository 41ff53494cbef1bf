"""Makes the frames of a video, a byte a pixel, in one file: a square moves, and each cut changes the light."""

import mee6

SQUARE = 8
WHITE = 255


def frame(number, video):
    width, height = video["width"], video["height"]
    scene = sum(cut <= number for cut in video["cuts"])
    pixels = bytearray([scene * 97 % 200]) * (width * height)
    left, top = number * 2 % (width - SQUARE), number % (height - SQUARE)
    for row in range(top, top + SQUARE):
        start = row * width + left
        pixels[start : start + SQUARE] = bytes([WHITE]) * SQUARE
    return pixels


def main(video):
    with (mee6.flow / "frames.raw").open("wb") as file:
        for number in range(video["frames"]):
            file.write(frame(number, video))
