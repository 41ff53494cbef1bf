"""Who may call a function from a page in a browser: nobody but pages of the same origin, unless its manifest says so.

Pure. A browser asks before it sends what a form could not (a preflight), and sends some requests without asking;
so a request that names a foreign origin is refused before the function runs, not only its answer kept from the page.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from agent.http.route import Refuse, allowed
from mee6.manifest import Http

EXPOSED: Final = "X-Call-Id, X-Duration-Seconds, Retry-After"
MAX_AGE_S: Final = 600

_HEADER_LIST: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~, -]{0,2000}")

Headers = tuple[tuple[str, str], ...]


def check(headers: Mapping[str, str], http: Http, name: str) -> Headers | Refuse:
    """What an answer to this request says of its origin, or why there is none.

    A page's pictures and scripts name no origin, but browsers say that they are fetched for another site's page.
    """
    origin, host = headers.get("origin"), headers.get("host", "")
    if origin is None and headers.get("sec-fetch-site") == "cross-site" and headers.get("sec-fetch-mode") != "navigate":
        origin = "another site"
    if origin is None:
        return (("Vary", "Origin"),) if http.cors and "*" not in http.cors else ()
    if "*" in http.cors:
        return (("Access-Control-Allow-Origin", "*"), ("Access-Control-Expose-Headers", EXPOSED))
    if origin in http.cors:
        return (
            ("Access-Control-Allow-Origin", origin),
            ("Access-Control-Expose-Headers", EXPOSED),
            ("Vary", "Origin"),
        )
    if origin.partition("://")[2] == host:
        return ()
    if "://" not in origin:
        detail = f"pages of {origin[:200]!r} may not call {name!r}; its activity.json can allow all with"
        return Refuse(403, "not_allowed", f'{detail}: "http": {{"cors": ["*"]}}')
    return Refuse(
        403,
        "not_allowed",
        f"pages of {origin[:200]} may not call {name!r}; allow them in its activity.json: "
        f'"http": {{"cors": ["{origin[:200]}"]}}',
    )


def preflight(granted: Headers, asked: str | None, http: Http) -> Headers:
    """The headers of an answer to OPTIONS.

    Args:
        asked: `Access-Control-Request-Headers`.
    """
    methods = ", ".join(allowed(http))
    answer: Headers = (("Allow", methods), *granted)
    if any(name == "Access-Control-Allow-Origin" for name, _ in granted):
        answer += (("Access-Control-Allow-Methods", methods), ("Access-Control-Max-Age", str(MAX_AGE_S)))
        if asked and _HEADER_LIST.fullmatch(asked):
            answer += (("Access-Control-Allow-Headers", asked),)
    return answer
