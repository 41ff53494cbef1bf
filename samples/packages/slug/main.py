from slugify import slugify


def main(arg):
    return slugify(arg)
