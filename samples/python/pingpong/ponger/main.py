"""Answers a ping."""


def main(_arg):
    return "ponged"
