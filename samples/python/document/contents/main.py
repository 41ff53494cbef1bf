"""Puts the table of contents and the index together: of the terms, those that stand on two pages or more."""


def main(pages):
    lines = ["Contents"]
    where = {}
    for page in pages:
        for number, title in page["headings"]:
            indent = "  " * number.count(".")
            lines.append(f"{indent}{number} {title}, {page['number']}")
        for term in page["terms"]:
            where.setdefault(term, []).append(str(page["number"]))
    lines.append("Index")
    lines += [f"{term} {', '.join(where[term])}" for term in sorted(where) if len(where[term]) > 1]
    lines.append(f"{sum(page['words'] for page in pages)} words on {len(pages)} pages")
    return "\n".join(lines)
