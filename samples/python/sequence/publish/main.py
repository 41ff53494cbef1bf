"""Writes the receipt of an order, and prints it."""


def money(cents):
    return f"{cents // 100}.{cents % 100:02}"


def main(order):
    rows = [f"{line['quantity']} x {line['item']}  {money(line['total'])}" for line in order["lines"]]
    rows.append(f"total {money(order['total'])}, of which tax {money(order['tax'])}")
    receipt = "\n".join(rows)
    print(receipt)
    return receipt
