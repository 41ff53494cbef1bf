"""Fails: an unreadable price is the cause, a `PriceError` the outcome. A number is accepted."""


class PriceError(Exception):
    pass


def price(text):
    try:
        return round(float(text), 2)
    except ValueError as error:
        raise PriceError(f"no price in '{text}'") from error


def main(arg):
    return price(arg)
