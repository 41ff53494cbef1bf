"""Reads an order: `item, quantity, price` a line, untidy as people write it, into a list of records."""


def record(line):
    item, quantity, price = (part.strip() for part in line.split(","))
    whole, _, cents = price.partition(".")
    return {
        "item": " ".join(item.lower().split()),
        "quantity": int(quantity),
        "cents": int(whole) * 100 + int(cents.ljust(2, "0")),
    }


def main(text):
    lines = [line.partition("#")[0].strip() for line in text.splitlines()]
    return [record(line) for line in lines if line]
