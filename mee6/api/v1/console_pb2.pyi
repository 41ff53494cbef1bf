from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class WatchRequest(_message.Message):
    __slots__ = ("kinds", "functions", "workers", "skip_snapshot")
    KINDS_FIELD_NUMBER: _ClassVar[int]
    FUNCTIONS_FIELD_NUMBER: _ClassVar[int]
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    SKIP_SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    kinds: _containers.RepeatedScalarFieldContainer[str]
    functions: _containers.RepeatedScalarFieldContainer[str]
    workers: _containers.RepeatedScalarFieldContainer[str]
    skip_snapshot: bool
    def __init__(self, kinds: _Optional[_Iterable[str]] = ..., functions: _Optional[_Iterable[str]] = ..., workers: _Optional[_Iterable[str]] = ..., skip_snapshot: _Optional[bool] = ...) -> None: ...

class WatchReply(_message.Message):
    __slots__ = ("snapshot", "batch")
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    snapshot: Snapshot
    batch: Batch
    def __init__(self, snapshot: _Optional[_Union[Snapshot, _Mapping]] = ..., batch: _Optional[_Union[Batch, _Mapping]] = ...) -> None: ...

class Snapshot(_message.Message):
    __slots__ = ("seq", "node", "workers", "functions", "invocations", "figures", "steps", "handovers", "missed")
    SEQ_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    FUNCTIONS_FIELD_NUMBER: _ClassVar[int]
    INVOCATIONS_FIELD_NUMBER: _ClassVar[int]
    FIGURES_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    HANDOVERS_FIELD_NUMBER: _ClassVar[int]
    MISSED_FIELD_NUMBER: _ClassVar[int]
    seq: int
    node: Node
    workers: _containers.RepeatedCompositeFieldContainer[Worker]
    functions: _containers.RepeatedCompositeFieldContainer[Function]
    invocations: _containers.RepeatedCompositeFieldContainer[Invocation]
    figures: _containers.RepeatedCompositeFieldContainer[Figures]
    steps: _containers.RepeatedCompositeFieldContainer[Step]
    handovers: _containers.RepeatedCompositeFieldContainer[Handover]
    missed: int
    def __init__(self, seq: _Optional[int] = ..., node: _Optional[_Union[Node, _Mapping]] = ..., workers: _Optional[_Iterable[_Union[Worker, _Mapping]]] = ..., functions: _Optional[_Iterable[_Union[Function, _Mapping]]] = ..., invocations: _Optional[_Iterable[_Union[Invocation, _Mapping]]] = ..., figures: _Optional[_Iterable[_Union[Figures, _Mapping]]] = ..., steps: _Optional[_Iterable[_Union[Step, _Mapping]]] = ..., handovers: _Optional[_Iterable[_Union[Handover, _Mapping]]] = ..., missed: _Optional[int] = ...) -> None: ...

class Batch(_message.Message):
    __slots__ = ("seq", "events")
    SEQ_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    seq: int
    events: _containers.RepeatedCompositeFieldContainer[Event]
    def __init__(self, seq: _Optional[int] = ..., events: _Optional[_Iterable[_Union[Event, _Mapping]]] = ...) -> None: ...

class Event(_message.Message):
    __slots__ = ("at_ns", "worker", "invocation", "step", "log", "handover", "function", "node", "figures")
    AT_NS_FIELD_NUMBER: _ClassVar[int]
    WORKER_FIELD_NUMBER: _ClassVar[int]
    INVOCATION_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    LOG_FIELD_NUMBER: _ClassVar[int]
    HANDOVER_FIELD_NUMBER: _ClassVar[int]
    FUNCTION_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    FIGURES_FIELD_NUMBER: _ClassVar[int]
    at_ns: int
    worker: Worker
    invocation: Invocation
    step: Step
    log: Log
    handover: Handover
    function: Function
    node: Node
    figures: Figures
    def __init__(self, at_ns: _Optional[int] = ..., worker: _Optional[_Union[Worker, _Mapping]] = ..., invocation: _Optional[_Union[Invocation, _Mapping]] = ..., step: _Optional[_Union[Step, _Mapping]] = ..., log: _Optional[_Union[Log, _Mapping]] = ..., handover: _Optional[_Union[Handover, _Mapping]] = ..., function: _Optional[_Union[Function, _Mapping]] = ..., node: _Optional[_Union[Node, _Mapping]] = ..., figures: _Optional[_Union[Figures, _Mapping]] = ...) -> None: ...

class Node(_message.Message):
    __slots__ = ("id", "version", "api", "driver", "isolation", "pause", "limits", "notes", "runtimes", "missing", "listen", "started_ns", "wall_offset_ns", "now_ns", "workers", "paused", "busy", "queued", "max_workers", "rss_bytes", "draining", "pid", "state_dir", "invocations", "failures", "pause_policy", "keep_alive_s", "linger_s", "memory_bytes", "memory_budget_bytes", "pools", "cpu_percent", "cores", "load", "memory_total_bytes", "memory_available_bytes", "agent_cpu", "workers_cpu", "loop_lag_ms", "watchers", "rate", "p50_ms", "p99_ms", "stopping", "http", "look_ahead", "ahead_hits", "ahead_misses", "ahead_saved_ns", "stored_blocks", "stored_bytes", "stored_over", "wait_for_busy", "order")
    ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    API_FIELD_NUMBER: _ClassVar[int]
    DRIVER_FIELD_NUMBER: _ClassVar[int]
    ISOLATION_FIELD_NUMBER: _ClassVar[int]
    PAUSE_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    RUNTIMES_FIELD_NUMBER: _ClassVar[int]
    MISSING_FIELD_NUMBER: _ClassVar[int]
    LISTEN_FIELD_NUMBER: _ClassVar[int]
    STARTED_NS_FIELD_NUMBER: _ClassVar[int]
    WALL_OFFSET_NS_FIELD_NUMBER: _ClassVar[int]
    NOW_NS_FIELD_NUMBER: _ClassVar[int]
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    PAUSED_FIELD_NUMBER: _ClassVar[int]
    BUSY_FIELD_NUMBER: _ClassVar[int]
    QUEUED_FIELD_NUMBER: _ClassVar[int]
    MAX_WORKERS_FIELD_NUMBER: _ClassVar[int]
    RSS_BYTES_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    STATE_DIR_FIELD_NUMBER: _ClassVar[int]
    INVOCATIONS_FIELD_NUMBER: _ClassVar[int]
    FAILURES_FIELD_NUMBER: _ClassVar[int]
    PAUSE_POLICY_FIELD_NUMBER: _ClassVar[int]
    KEEP_ALIVE_S_FIELD_NUMBER: _ClassVar[int]
    LINGER_S_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BUDGET_BYTES_FIELD_NUMBER: _ClassVar[int]
    POOLS_FIELD_NUMBER: _ClassVar[int]
    CPU_PERCENT_FIELD_NUMBER: _ClassVar[int]
    CORES_FIELD_NUMBER: _ClassVar[int]
    LOAD_FIELD_NUMBER: _ClassVar[int]
    MEMORY_TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    MEMORY_AVAILABLE_BYTES_FIELD_NUMBER: _ClassVar[int]
    AGENT_CPU_FIELD_NUMBER: _ClassVar[int]
    WORKERS_CPU_FIELD_NUMBER: _ClassVar[int]
    LOOP_LAG_MS_FIELD_NUMBER: _ClassVar[int]
    WATCHERS_FIELD_NUMBER: _ClassVar[int]
    RATE_FIELD_NUMBER: _ClassVar[int]
    P50_MS_FIELD_NUMBER: _ClassVar[int]
    P99_MS_FIELD_NUMBER: _ClassVar[int]
    STOPPING_FIELD_NUMBER: _ClassVar[int]
    HTTP_FIELD_NUMBER: _ClassVar[int]
    LOOK_AHEAD_FIELD_NUMBER: _ClassVar[int]
    AHEAD_HITS_FIELD_NUMBER: _ClassVar[int]
    AHEAD_MISSES_FIELD_NUMBER: _ClassVar[int]
    AHEAD_SAVED_NS_FIELD_NUMBER: _ClassVar[int]
    STORED_BLOCKS_FIELD_NUMBER: _ClassVar[int]
    STORED_BYTES_FIELD_NUMBER: _ClassVar[int]
    STORED_OVER_FIELD_NUMBER: _ClassVar[int]
    WAIT_FOR_BUSY_FIELD_NUMBER: _ClassVar[int]
    ORDER_FIELD_NUMBER: _ClassVar[int]
    id: str
    version: str
    api: int
    driver: str
    isolation: str
    pause: str
    limits: str
    notes: _containers.RepeatedScalarFieldContainer[str]
    runtimes: _containers.RepeatedScalarFieldContainer[str]
    missing: _containers.RepeatedScalarFieldContainer[str]
    listen: str
    started_ns: int
    wall_offset_ns: int
    now_ns: int
    workers: int
    paused: int
    busy: int
    queued: int
    max_workers: int
    rss_bytes: int
    draining: bool
    pid: int
    state_dir: str
    invocations: int
    failures: int
    pause_policy: str
    keep_alive_s: float
    linger_s: float
    memory_bytes: int
    memory_budget_bytes: int
    pools: _containers.RepeatedCompositeFieldContainer[Pool]
    cpu_percent: float
    cores: int
    load: _containers.RepeatedScalarFieldContainer[float]
    memory_total_bytes: int
    memory_available_bytes: int
    agent_cpu: float
    workers_cpu: float
    loop_lag_ms: float
    watchers: int
    rate: float
    p50_ms: float
    p99_ms: float
    stopping: bool
    http: str
    look_ahead: str
    ahead_hits: int
    ahead_misses: int
    ahead_saved_ns: int
    stored_blocks: int
    stored_bytes: int
    stored_over: int
    wait_for_busy: bool
    order: str
    def __init__(self, id: _Optional[str] = ..., version: _Optional[str] = ..., api: _Optional[int] = ..., driver: _Optional[str] = ..., isolation: _Optional[str] = ..., pause: _Optional[str] = ..., limits: _Optional[str] = ..., notes: _Optional[_Iterable[str]] = ..., runtimes: _Optional[_Iterable[str]] = ..., missing: _Optional[_Iterable[str]] = ..., listen: _Optional[str] = ..., started_ns: _Optional[int] = ..., wall_offset_ns: _Optional[int] = ..., now_ns: _Optional[int] = ..., workers: _Optional[int] = ..., paused: _Optional[int] = ..., busy: _Optional[int] = ..., queued: _Optional[int] = ..., max_workers: _Optional[int] = ..., rss_bytes: _Optional[int] = ..., draining: _Optional[bool] = ..., pid: _Optional[int] = ..., state_dir: _Optional[str] = ..., invocations: _Optional[int] = ..., failures: _Optional[int] = ..., pause_policy: _Optional[str] = ..., keep_alive_s: _Optional[float] = ..., linger_s: _Optional[float] = ..., memory_bytes: _Optional[int] = ..., memory_budget_bytes: _Optional[int] = ..., pools: _Optional[_Iterable[_Union[Pool, _Mapping]]] = ..., cpu_percent: _Optional[float] = ..., cores: _Optional[int] = ..., load: _Optional[_Iterable[float]] = ..., memory_total_bytes: _Optional[int] = ..., memory_available_bytes: _Optional[int] = ..., agent_cpu: _Optional[float] = ..., workers_cpu: _Optional[float] = ..., loop_lag_ms: _Optional[float] = ..., watchers: _Optional[int] = ..., rate: _Optional[float] = ..., p50_ms: _Optional[float] = ..., p99_ms: _Optional[float] = ..., stopping: _Optional[bool] = ..., http: _Optional[str] = ..., look_ahead: _Optional[str] = ..., ahead_hits: _Optional[int] = ..., ahead_misses: _Optional[int] = ..., ahead_saved_ns: _Optional[int] = ..., stored_blocks: _Optional[int] = ..., stored_bytes: _Optional[int] = ..., stored_over: _Optional[int] = ..., wait_for_busy: _Optional[bool] = ..., order: _Optional[str] = ...) -> None: ...

class Pool(_message.Message):
    __slots__ = ("name", "ready", "starting", "floor", "ceiling", "failure")
    NAME_FIELD_NUMBER: _ClassVar[int]
    READY_FIELD_NUMBER: _ClassVar[int]
    STARTING_FIELD_NUMBER: _ClassVar[int]
    FLOOR_FIELD_NUMBER: _ClassVar[int]
    CEILING_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    name: str
    ready: int
    starting: int
    floor: int
    ceiling: int
    failure: str
    def __init__(self, name: _Optional[str] = ..., ready: _Optional[int] = ..., starting: _Optional[int] = ..., floor: _Optional[int] = ..., ceiling: _Optional[int] = ..., failure: _Optional[str] = ...) -> None: ...

class Worker(_message.Message):
    __slots__ = ("id", "pool", "state", "username", "function", "version", "via", "invocation", "since_ns", "invocations", "reason", "runtime_pid", "memory_bytes", "cpu", "cpu_ns", "processes", "memory_limit_bytes", "cpus_limit", "handover", "proxy_pid", "started_ns")
    ID_FIELD_NUMBER: _ClassVar[int]
    POOL_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    USERNAME_FIELD_NUMBER: _ClassVar[int]
    FUNCTION_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    VIA_FIELD_NUMBER: _ClassVar[int]
    INVOCATION_FIELD_NUMBER: _ClassVar[int]
    SINCE_NS_FIELD_NUMBER: _ClassVar[int]
    INVOCATIONS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    RUNTIME_PID_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    CPU_FIELD_NUMBER: _ClassVar[int]
    CPU_NS_FIELD_NUMBER: _ClassVar[int]
    PROCESSES_FIELD_NUMBER: _ClassVar[int]
    MEMORY_LIMIT_BYTES_FIELD_NUMBER: _ClassVar[int]
    CPUS_LIMIT_FIELD_NUMBER: _ClassVar[int]
    HANDOVER_FIELD_NUMBER: _ClassVar[int]
    PROXY_PID_FIELD_NUMBER: _ClassVar[int]
    STARTED_NS_FIELD_NUMBER: _ClassVar[int]
    id: str
    pool: str
    state: str
    username: str
    function: str
    version: int
    via: str
    invocation: str
    since_ns: int
    invocations: int
    reason: str
    runtime_pid: int
    memory_bytes: int
    cpu: float
    cpu_ns: int
    processes: int
    memory_limit_bytes: int
    cpus_limit: float
    handover: str
    proxy_pid: int
    started_ns: int
    def __init__(self, id: _Optional[str] = ..., pool: _Optional[str] = ..., state: _Optional[str] = ..., username: _Optional[str] = ..., function: _Optional[str] = ..., version: _Optional[int] = ..., via: _Optional[str] = ..., invocation: _Optional[str] = ..., since_ns: _Optional[int] = ..., invocations: _Optional[int] = ..., reason: _Optional[str] = ..., runtime_pid: _Optional[int] = ..., memory_bytes: _Optional[int] = ..., cpu: _Optional[float] = ..., cpu_ns: _Optional[int] = ..., processes: _Optional[int] = ..., memory_limit_bytes: _Optional[int] = ..., cpus_limit: _Optional[float] = ..., handover: _Optional[str] = ..., proxy_pid: _Optional[int] = ..., started_ns: _Optional[int] = ...) -> None: ...

class Invocation(_message.Message):
    __slots__ = ("id", "username", "function", "version", "state", "worker", "start", "accepted_ns", "ended_ns", "error")
    ID_FIELD_NUMBER: _ClassVar[int]
    USERNAME_FIELD_NUMBER: _ClassVar[int]
    FUNCTION_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    WORKER_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_NS_FIELD_NUMBER: _ClassVar[int]
    ENDED_NS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    id: str
    username: str
    function: str
    version: int
    state: str
    worker: str
    start: str
    accepted_ns: int
    ended_ns: int
    error: str
    def __init__(self, id: _Optional[str] = ..., username: _Optional[str] = ..., function: _Optional[str] = ..., version: _Optional[int] = ..., state: _Optional[str] = ..., worker: _Optional[str] = ..., start: _Optional[str] = ..., accepted_ns: _Optional[int] = ..., ended_ns: _Optional[int] = ..., error: _Optional[str] = ...) -> None: ...

class Span(_message.Message):
    __slots__ = ("kind", "start_ns", "end_ns")
    KIND_FIELD_NUMBER: _ClassVar[int]
    START_NS_FIELD_NUMBER: _ClassVar[int]
    END_NS_FIELD_NUMBER: _ClassVar[int]
    kind: str
    start_ns: int
    end_ns: int
    def __init__(self, kind: _Optional[str] = ..., start_ns: _Optional[int] = ..., end_ns: _Optional[int] = ...) -> None: ...

class Step(_message.Message):
    __slots__ = ("id", "parent", "function", "version", "worker", "start", "via", "state", "pid", "error", "spans", "invocation", "name")
    ID_FIELD_NUMBER: _ClassVar[int]
    PARENT_FIELD_NUMBER: _ClassVar[int]
    FUNCTION_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    WORKER_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    VIA_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    SPANS_FIELD_NUMBER: _ClassVar[int]
    INVOCATION_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    id: str
    parent: str
    function: str
    version: int
    worker: str
    start: str
    via: str
    state: str
    pid: int
    error: str
    spans: _containers.RepeatedCompositeFieldContainer[Span]
    invocation: str
    name: str
    def __init__(self, id: _Optional[str] = ..., parent: _Optional[str] = ..., function: _Optional[str] = ..., version: _Optional[int] = ..., worker: _Optional[str] = ..., start: _Optional[str] = ..., via: _Optional[str] = ..., state: _Optional[str] = ..., pid: _Optional[int] = ..., error: _Optional[str] = ..., spans: _Optional[_Iterable[_Union[Span, _Mapping]]] = ..., invocation: _Optional[str] = ..., name: _Optional[str] = ...) -> None: ...

class Log(_message.Message):
    __slots__ = ("invocation", "function", "worker", "stream", "text", "dropped_bytes")
    INVOCATION_FIELD_NUMBER: _ClassVar[int]
    FUNCTION_FIELD_NUMBER: _ClassVar[int]
    WORKER_FIELD_NUMBER: _ClassVar[int]
    STREAM_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    DROPPED_BYTES_FIELD_NUMBER: _ClassVar[int]
    invocation: str
    function: str
    worker: str
    stream: str
    text: str
    dropped_bytes: int
    def __init__(self, invocation: _Optional[str] = ..., function: _Optional[str] = ..., worker: _Optional[str] = ..., stream: _Optional[str] = ..., text: _Optional[str] = ..., dropped_bytes: _Optional[int] = ...) -> None: ...

class Handover(_message.Message):
    __slots__ = ("worker", "state", "reason", "runtime_pid", "invocation", "username", "function", "proxy_pid", "stages")
    WORKER_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    RUNTIME_PID_FIELD_NUMBER: _ClassVar[int]
    INVOCATION_FIELD_NUMBER: _ClassVar[int]
    USERNAME_FIELD_NUMBER: _ClassVar[int]
    FUNCTION_FIELD_NUMBER: _ClassVar[int]
    PROXY_PID_FIELD_NUMBER: _ClassVar[int]
    STAGES_FIELD_NUMBER: _ClassVar[int]
    worker: str
    state: str
    reason: str
    runtime_pid: int
    invocation: str
    username: str
    function: str
    proxy_pid: int
    stages: _containers.RepeatedCompositeFieldContainer[Stage]
    def __init__(self, worker: _Optional[str] = ..., state: _Optional[str] = ..., reason: _Optional[str] = ..., runtime_pid: _Optional[int] = ..., invocation: _Optional[str] = ..., username: _Optional[str] = ..., function: _Optional[str] = ..., proxy_pid: _Optional[int] = ..., stages: _Optional[_Iterable[_Union[Stage, _Mapping]]] = ...) -> None: ...

class Stage(_message.Message):
    __slots__ = ("name", "at_ns")
    NAME_FIELD_NUMBER: _ClassVar[int]
    AT_NS_FIELD_NUMBER: _ClassVar[int]
    name: str
    at_ns: int
    def __init__(self, name: _Optional[str] = ..., at_ns: _Optional[int] = ...) -> None: ...

class Figures(_message.Message):
    __slots__ = ("username", "function", "rate", "p50_ms", "p99_ms", "invocations", "failures", "cold", "prewarmed", "warm", "queued", "running", "ahead")
    USERNAME_FIELD_NUMBER: _ClassVar[int]
    FUNCTION_FIELD_NUMBER: _ClassVar[int]
    RATE_FIELD_NUMBER: _ClassVar[int]
    P50_MS_FIELD_NUMBER: _ClassVar[int]
    P99_MS_FIELD_NUMBER: _ClassVar[int]
    INVOCATIONS_FIELD_NUMBER: _ClassVar[int]
    FAILURES_FIELD_NUMBER: _ClassVar[int]
    COLD_FIELD_NUMBER: _ClassVar[int]
    PREWARMED_FIELD_NUMBER: _ClassVar[int]
    WARM_FIELD_NUMBER: _ClassVar[int]
    QUEUED_FIELD_NUMBER: _ClassVar[int]
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    AHEAD_FIELD_NUMBER: _ClassVar[int]
    username: str
    function: str
    rate: float
    p50_ms: float
    p99_ms: float
    invocations: int
    failures: int
    cold: int
    prewarmed: int
    warm: int
    queued: int
    running: int
    ahead: int
    def __init__(self, username: _Optional[str] = ..., function: _Optional[str] = ..., rate: _Optional[float] = ..., p50_ms: _Optional[float] = ..., p99_ms: _Optional[float] = ..., invocations: _Optional[int] = ..., failures: _Optional[int] = ..., cold: _Optional[int] = ..., prewarmed: _Optional[int] = ..., warm: _Optional[int] = ..., queued: _Optional[int] = ..., running: _Optional[int] = ..., ahead: _Optional[int] = ...) -> None: ...

class Function(_message.Message):
    __slots__ = ("username", "name", "version", "runtime", "is_workflow", "removed")
    USERNAME_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    RUNTIME_FIELD_NUMBER: _ClassVar[int]
    IS_WORKFLOW_FIELD_NUMBER: _ClassVar[int]
    REMOVED_FIELD_NUMBER: _ClassVar[int]
    username: str
    name: str
    version: int
    runtime: str
    is_workflow: bool
    removed: bool
    def __init__(self, username: _Optional[str] = ..., name: _Optional[str] = ..., version: _Optional[int] = ..., runtime: _Optional[str] = ..., is_workflow: _Optional[bool] = ..., removed: _Optional[bool] = ...) -> None: ...

class LogsRequest(_message.Message):
    __slots__ = ("username", "function", "invocation", "follow", "tail", "since_s")
    USERNAME_FIELD_NUMBER: _ClassVar[int]
    FUNCTION_FIELD_NUMBER: _ClassVar[int]
    INVOCATION_FIELD_NUMBER: _ClassVar[int]
    FOLLOW_FIELD_NUMBER: _ClassVar[int]
    TAIL_FIELD_NUMBER: _ClassVar[int]
    SINCE_S_FIELD_NUMBER: _ClassVar[int]
    username: str
    function: str
    invocation: str
    follow: bool
    tail: int
    since_s: float
    def __init__(self, username: _Optional[str] = ..., function: _Optional[str] = ..., invocation: _Optional[str] = ..., follow: _Optional[bool] = ..., tail: _Optional[int] = ..., since_s: _Optional[float] = ...) -> None: ...

class LogsReply(_message.Message):
    __slots__ = ("at_ns", "log", "wall_ns")
    AT_NS_FIELD_NUMBER: _ClassVar[int]
    LOG_FIELD_NUMBER: _ClassVar[int]
    WALL_NS_FIELD_NUMBER: _ClassVar[int]
    at_ns: int
    log: Log
    wall_ns: int
    def __init__(self, at_ns: _Optional[int] = ..., log: _Optional[_Union[Log, _Mapping]] = ..., wall_ns: _Optional[int] = ...) -> None: ...

class TraceRequest(_message.Message):
    __slots__ = ("id", "username", "usual")
    ID_FIELD_NUMBER: _ClassVar[int]
    USERNAME_FIELD_NUMBER: _ClassVar[int]
    USUAL_FIELD_NUMBER: _ClassVar[int]
    id: str
    username: str
    usual: bool
    def __init__(self, id: _Optional[str] = ..., username: _Optional[str] = ..., usual: _Optional[bool] = ...) -> None: ...

class TraceReply(_message.Message):
    __slots__ = ("invocation", "steps", "wall_offset_ns", "arg_bytes", "result_bytes", "incomplete", "circumstances", "usual")
    INVOCATION_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    WALL_OFFSET_NS_FIELD_NUMBER: _ClassVar[int]
    ARG_BYTES_FIELD_NUMBER: _ClassVar[int]
    RESULT_BYTES_FIELD_NUMBER: _ClassVar[int]
    INCOMPLETE_FIELD_NUMBER: _ClassVar[int]
    CIRCUMSTANCES_FIELD_NUMBER: _ClassVar[int]
    USUAL_FIELD_NUMBER: _ClassVar[int]
    invocation: Invocation
    steps: _containers.RepeatedCompositeFieldContainer[Step]
    wall_offset_ns: int
    arg_bytes: int
    result_bytes: int
    incomplete: bool
    circumstances: _containers.RepeatedCompositeFieldContainer[Circumstances]
    usual: _containers.RepeatedCompositeFieldContainer[Usual]
    def __init__(self, invocation: _Optional[_Union[Invocation, _Mapping]] = ..., steps: _Optional[_Iterable[_Union[Step, _Mapping]]] = ..., wall_offset_ns: _Optional[int] = ..., arg_bytes: _Optional[int] = ..., result_bytes: _Optional[int] = ..., incomplete: _Optional[bool] = ..., circumstances: _Optional[_Iterable[_Union[Circumstances, _Mapping]]] = ..., usual: _Optional[_Iterable[_Union[Usual, _Mapping]]] = ...) -> None: ...

class Circumstances(_message.Message):
    __slots__ = ("step", "holding", "ended", "ended_ago_ns", "ready", "starting", "floor", "ahead", "leased", "limit", "hindered", "lost", "held_ns", "held_by")
    STEP_FIELD_NUMBER: _ClassVar[int]
    HOLDING_FIELD_NUMBER: _ClassVar[int]
    ENDED_FIELD_NUMBER: _ClassVar[int]
    ENDED_AGO_NS_FIELD_NUMBER: _ClassVar[int]
    READY_FIELD_NUMBER: _ClassVar[int]
    STARTING_FIELD_NUMBER: _ClassVar[int]
    FLOOR_FIELD_NUMBER: _ClassVar[int]
    AHEAD_FIELD_NUMBER: _ClassVar[int]
    LEASED_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    HINDERED_FIELD_NUMBER: _ClassVar[int]
    LOST_FIELD_NUMBER: _ClassVar[int]
    HELD_NS_FIELD_NUMBER: _ClassVar[int]
    HELD_BY_FIELD_NUMBER: _ClassVar[int]
    step: str
    holding: int
    ended: str
    ended_ago_ns: int
    ready: int
    starting: int
    floor: int
    ahead: int
    leased: int
    limit: int
    hindered: str
    lost: int
    held_ns: int
    held_by: str
    def __init__(self, step: _Optional[str] = ..., holding: _Optional[int] = ..., ended: _Optional[str] = ..., ended_ago_ns: _Optional[int] = ..., ready: _Optional[int] = ..., starting: _Optional[int] = ..., floor: _Optional[int] = ..., ahead: _Optional[int] = ..., leased: _Optional[int] = ..., limit: _Optional[int] = ..., hindered: _Optional[str] = ..., lost: _Optional[int] = ..., held_ns: _Optional[int] = ..., held_by: _Optional[str] = ...) -> None: ...

class Usual(_message.Message):
    __slots__ = ("function", "version", "part", "samples", "had", "p50_ns", "p95_ns", "had_p50_ns")
    FUNCTION_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PART_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    HAD_FIELD_NUMBER: _ClassVar[int]
    P50_NS_FIELD_NUMBER: _ClassVar[int]
    P95_NS_FIELD_NUMBER: _ClassVar[int]
    HAD_P50_NS_FIELD_NUMBER: _ClassVar[int]
    function: str
    version: int
    part: str
    samples: int
    had: int
    p50_ns: int
    p95_ns: int
    had_p50_ns: int
    def __init__(self, function: _Optional[str] = ..., version: _Optional[int] = ..., part: _Optional[str] = ..., samples: _Optional[int] = ..., had: _Optional[int] = ..., p50_ns: _Optional[int] = ..., p95_ns: _Optional[int] = ..., had_p50_ns: _Optional[int] = ...) -> None: ...

class NodesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class NodesReply(_message.Message):
    __slots__ = ("nodes",)
    NODES_FIELD_NUMBER: _ClassVar[int]
    nodes: _containers.RepeatedCompositeFieldContainer[Node]
    def __init__(self, nodes: _Optional[_Iterable[_Union[Node, _Mapping]]] = ...) -> None: ...

class WorkersRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class WorkersReply(_message.Message):
    __slots__ = ("workers",)
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    workers: _containers.RepeatedCompositeFieldContainer[Worker]
    def __init__(self, workers: _Optional[_Iterable[_Union[Worker, _Mapping]]] = ...) -> None: ...

class ConfigureRequest(_message.Message):
    __slots__ = ("pause", "keep_alive_s", "linger_s", "memory_budget_bytes", "prewarm", "ceiling", "look_ahead", "wait_for_busy", "order")
    class PrewarmEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class CeilingEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    PAUSE_FIELD_NUMBER: _ClassVar[int]
    KEEP_ALIVE_S_FIELD_NUMBER: _ClassVar[int]
    LINGER_S_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BUDGET_BYTES_FIELD_NUMBER: _ClassVar[int]
    PREWARM_FIELD_NUMBER: _ClassVar[int]
    CEILING_FIELD_NUMBER: _ClassVar[int]
    LOOK_AHEAD_FIELD_NUMBER: _ClassVar[int]
    WAIT_FOR_BUSY_FIELD_NUMBER: _ClassVar[int]
    ORDER_FIELD_NUMBER: _ClassVar[int]
    pause: str
    keep_alive_s: float
    linger_s: float
    memory_budget_bytes: int
    prewarm: _containers.ScalarMap[str, int]
    ceiling: _containers.ScalarMap[str, int]
    look_ahead: str
    wait_for_busy: bool
    order: str
    def __init__(self, pause: _Optional[str] = ..., keep_alive_s: _Optional[float] = ..., linger_s: _Optional[float] = ..., memory_budget_bytes: _Optional[int] = ..., prewarm: _Optional[_Mapping[str, int]] = ..., ceiling: _Optional[_Mapping[str, int]] = ..., look_ahead: _Optional[str] = ..., wait_for_busy: _Optional[bool] = ..., order: _Optional[str] = ...) -> None: ...

class ConfigureReply(_message.Message):
    __slots__ = ("node",)
    NODE_FIELD_NUMBER: _ClassVar[int]
    node: Node
    def __init__(self, node: _Optional[_Union[Node, _Mapping]] = ...) -> None: ...

class SetLimitsRequest(_message.Message):
    __slots__ = ("worker", "memory_bytes", "cpus")
    WORKER_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    CPUS_FIELD_NUMBER: _ClassVar[int]
    worker: str
    memory_bytes: int
    cpus: float
    def __init__(self, worker: _Optional[str] = ..., memory_bytes: _Optional[int] = ..., cpus: _Optional[float] = ...) -> None: ...

class SetLimitsReply(_message.Message):
    __slots__ = ("memory_bytes", "cpus")
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    CPUS_FIELD_NUMBER: _ClassVar[int]
    memory_bytes: int
    cpus: float
    def __init__(self, memory_bytes: _Optional[int] = ..., cpus: _Optional[float] = ...) -> None: ...

class EvictRequest(_message.Message):
    __slots__ = ("worker", "force")
    WORKER_FIELD_NUMBER: _ClassVar[int]
    FORCE_FIELD_NUMBER: _ClassVar[int]
    worker: str
    force: bool
    def __init__(self, worker: _Optional[str] = ..., force: _Optional[bool] = ...) -> None: ...

class EvictReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class PauseRequest(_message.Message):
    __slots__ = ("worker",)
    WORKER_FIELD_NUMBER: _ClassVar[int]
    worker: str
    def __init__(self, worker: _Optional[str] = ...) -> None: ...

class PauseReply(_message.Message):
    __slots__ = ("worker",)
    WORKER_FIELD_NUMBER: _ClassVar[int]
    worker: Worker
    def __init__(self, worker: _Optional[_Union[Worker, _Mapping]] = ...) -> None: ...

class ResumeRequest(_message.Message):
    __slots__ = ("worker",)
    WORKER_FIELD_NUMBER: _ClassVar[int]
    worker: str
    def __init__(self, worker: _Optional[str] = ...) -> None: ...

class ResumeReply(_message.Message):
    __slots__ = ("worker",)
    WORKER_FIELD_NUMBER: _ClassVar[int]
    worker: Worker
    def __init__(self, worker: _Optional[_Union[Worker, _Mapping]] = ...) -> None: ...

class DrainRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DrainReply(_message.Message):
    __slots__ = ("node",)
    NODE_FIELD_NUMBER: _ClassVar[int]
    node: Node
    def __init__(self, node: _Optional[_Union[Node, _Mapping]] = ...) -> None: ...

class UndrainRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class UndrainReply(_message.Message):
    __slots__ = ("node",)
    NODE_FIELD_NUMBER: _ClassVar[int]
    node: Node
    def __init__(self, node: _Optional[_Union[Node, _Mapping]] = ...) -> None: ...
