from __future__ import annotations

import re

from agent.ids import Ids


def test_names_are_of_one_form_and_no_two_are_alike() -> None:
    ids = Ids()
    taken = [ids.take() for _ in range(1000)]
    assert all(re.fullmatch(r"[0-9a-f]{12}", name) for name in taken)
    assert len({*taken, *(Ids().take() for _ in range(1000))}) == 2000
