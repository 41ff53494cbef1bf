"""The node's figures in Prometheus' form, by its own client library: read when somebody asks, kept by nobody.

Nothing is counted here on an invocation's way: what functions took is in `agent.stats` already.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST as CONTENT_TYPE
from prometheus_client.registry import Collector

from agent.core.worker import WorkerState
from agent.stats import bounds_s

if TYPE_CHECKING:
    from agent.http.door import Door

__all__ = ["CONTENT_TYPE", "render"]

_STATES: Final = tuple(str(state) for state in WorkerState if state is not WorkerState.GONE)


def render(door: Door) -> bytes:
    """All figures as they are now."""
    registry = CollectorRegistry()
    registry.register(_Figures(door))
    return generate_latest(registry)


class _Figures(Collector):
    def __init__(self, door: Door) -> None:
        self._door = door

    def describe(self) -> list[Metric]:
        """None ahead: nothing is asked of the node when this is registered."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Every family."""
        yield from self._node()
        yield from self._functions()
        yield from self._http()

    def _node(self) -> Iterator[Metric]:
        node = self._door.node
        info, totals = node.info(), node.totals()
        about = GaugeMetricFamily("mee6_info", "The agent.", labels=["id", "version", "driver"])
        about.add_metric([info.id, info.version, info.driver], 1)
        yield about
        states = Counter(worker.state for worker in node.workers())
        workers = GaugeMetricFamily("mee6_workers", "Workers by their state.", labels=["state"])
        for state in _STATES:
            workers.add_metric([state], states[state])
        yield workers
        pools = GaugeMetricFamily("mee6_pool_workers", "Workers without a function.", labels=["pool", "is"])
        for pool in info.pools:
            for name, count in (("ready", pool.ready), ("starting", pool.starting), ("wanted", pool.floor)):
                pools.add_metric([pool.name, name], count)
        yield pools
        for name, help_, value in (
            ("mee6_waiting_invocations", "Invocations that wait for a worker.", info.queued),
            ("mee6_workers_memory_bytes", "Of all workers, as measured last.", info.memory_bytes),
            ("mee6_agent_memory_bytes", "Resident memory of the agent.", info.rss_bytes),
            ("mee6_agent_start_time_seconds", "When the agent started, since 1970.",
             (info.started_ns + info.wall_offset_ns) / 1e9),
            ("mee6_draining", "1 while no new invocations are taken.", int(info.draining)),
            ("mee6_watchers", "Watchers of events.", info.watchers),
        ):  # fmt: skip
            yield GaugeMetricFamily(name, help_, value=value)
        guesses = CounterMetricFamily(
            "mee6_ahead_loads", "Functions loaded ahead of their calls, by what came of it.", labels=["outcome"]
        )
        guesses.add_metric(["hit"], info.ahead_hits)
        guesses.add_metric(["miss"], info.ahead_misses)
        yield guesses
        yield CounterMetricFamily(
            "mee6_ahead_saved_seconds",
            "That callers did not wait for starts and loads.",
            value=info.ahead_saved_ns / 1e9,
        )
        yield CounterMetricFamily("mee6_handovers", "Runtimes that came to the agent.", value=totals.handovers)

    def _functions(self) -> Iterator[Metric]:
        labels = ["user", "function"]
        starts = CounterMetricFamily(
            "mee6_invocations", "Invocations that have ended, by how they found a worker.", labels=[*labels, "start"]
        )
        failures = CounterMetricFamily("mee6_failures", "Of those, the ones that failed.", labels=labels)
        took = HistogramMetricFamily(
            "mee6_invocation_seconds", "From acceptance to result, calls within workflows included.", labels=labels
        )
        for (user, name), counts in self._door.node.totals().functions.items():
            begun = 0
            for start, count in counts.starts.items():
                starts.add_metric([user, name, start], count)
                begun += count
            if counts.invocations > begun:
                starts.add_metric([user, name, "none"], counts.invocations - begun)
            failures.add_metric([user, name], counts.failures)
            sum_, buckets = 0, []
            for bound, count in zip(bounds_s(), counts.buckets, strict=True):
                sum_ += count
                buckets.append((bound, sum_))
            took.add_metric([user, name], buckets, counts.total_ns / 1e9)
        yield from (starts, failures, took)

    def _http(self) -> Iterator[Metric]:
        door = self._door
        answers = CounterMetricFamily("mee6_http_responses", "Answers over HTTP by their status.", labels=["status"])
        for status, count in sorted(door.answered.items()):
            answers.add_metric([str(status)], count)
        yield answers
        yield GaugeMetricFamily("mee6_http_connections", "Connections.", value=door.connections)
        yield GaugeMetricFamily("mee6_http_inflight", "Invocations under way over HTTP.", value=door.inflight)
        yield GaugeMetricFamily(
            "mee6_http_inflight_bound", "How many may be, now: more are refused.", value=door.bound.now
        )
