"""Adds what an order's lines cost, the order's total, and the tax of 10 % that the total contains. In cents."""

TAX_PERCENT = 10


def main(lines):
    lines = [{**line, "total": line["quantity"] * line["cents"]} for line in lines]
    total = sum(line["total"] for line in lines)
    net = (total * 100 + (100 + TAX_PERCENT) // 2) // (100 + TAX_PERCENT)
    return {"lines": lines, "total": total, "tax": total - net}
