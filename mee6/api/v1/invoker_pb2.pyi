from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AddMethod(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    UNKOWN: _ClassVar[AddMethod]
    LOCAL: _ClassVar[AddMethod]
    GLOBAL: _ClassVar[AddMethod]
UNKOWN: AddMethod
LOCAL: AddMethod
GLOBAL: AddMethod

class InvokeRequest(_message.Message):
    __slots__ = ("username", "actName", "arg", "data", "content_type", "timeout_s", "detach", "schedule")
    USERNAME_FIELD_NUMBER: _ClassVar[int]
    ACTNAME_FIELD_NUMBER: _ClassVar[int]
    ARG_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    CONTENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_S_FIELD_NUMBER: _ClassVar[int]
    DETACH_FIELD_NUMBER: _ClassVar[int]
    SCHEDULE_FIELD_NUMBER: _ClassVar[int]
    username: str
    actName: str
    arg: str
    data: bytes
    content_type: str
    timeout_s: float
    detach: bool
    schedule: str
    def __init__(self, username: _Optional[str] = ..., actName: _Optional[str] = ..., arg: _Optional[str] = ..., data: _Optional[bytes] = ..., content_type: _Optional[str] = ..., timeout_s: _Optional[float] = ..., detach: _Optional[bool] = ..., schedule: _Optional[str] = ...) -> None: ...

class InvokeResponse(_message.Message):
    __slots__ = ("result", "data", "content_type", "id")
    RESULT_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    CONTENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    result: str
    data: bytes
    content_type: str
    id: str
    def __init__(self, result: _Optional[str] = ..., data: _Optional[bytes] = ..., content_type: _Optional[str] = ..., id: _Optional[str] = ...) -> None: ...

class Fault(_message.Message):
    __slots__ = ("code", "message", "function", "error_type", "traceback", "invocation")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    FUNCTION_FIELD_NUMBER: _ClassVar[int]
    ERROR_TYPE_FIELD_NUMBER: _ClassVar[int]
    TRACEBACK_FIELD_NUMBER: _ClassVar[int]
    INVOCATION_FIELD_NUMBER: _ClassVar[int]
    code: str
    message: str
    function: str
    error_type: str
    traceback: str
    invocation: str
    def __init__(self, code: _Optional[str] = ..., message: _Optional[str] = ..., function: _Optional[str] = ..., error_type: _Optional[str] = ..., traceback: _Optional[str] = ..., invocation: _Optional[str] = ...) -> None: ...

class InvokeStreamRequest(_message.Message):
    __slots__ = ("seq", "invoke", "cancel")
    SEQ_FIELD_NUMBER: _ClassVar[int]
    INVOKE_FIELD_NUMBER: _ClassVar[int]
    CANCEL_FIELD_NUMBER: _ClassVar[int]
    seq: int
    invoke: InvokeRequest
    cancel: bool
    def __init__(self, seq: _Optional[int] = ..., invoke: _Optional[_Union[InvokeRequest, _Mapping]] = ..., cancel: _Optional[bool] = ...) -> None: ...

class InvokeStreamReply(_message.Message):
    __slots__ = ("seq", "response", "fault")
    SEQ_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    FAULT_FIELD_NUMBER: _ClassVar[int]
    seq: int
    response: InvokeResponse
    fault: Fault
    def __init__(self, seq: _Optional[int] = ..., response: _Optional[_Union[InvokeResponse, _Mapping]] = ..., fault: _Optional[_Union[Fault, _Mapping]] = ...) -> None: ...

class AddRequest(_message.Message):
    __slots__ = ("username", "actName", "method", "path", "env", "no_check")
    class EnvEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    USERNAME_FIELD_NUMBER: _ClassVar[int]
    ACTNAME_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    ENV_FIELD_NUMBER: _ClassVar[int]
    NO_CHECK_FIELD_NUMBER: _ClassVar[int]
    username: str
    actName: str
    method: AddMethod
    path: str
    env: _containers.ScalarMap[str, str]
    no_check: bool
    def __init__(self, username: _Optional[str] = ..., actName: _Optional[str] = ..., method: _Optional[_Union[AddMethod, str]] = ..., path: _Optional[str] = ..., env: _Optional[_Mapping[str, str]] = ..., no_check: _Optional[bool] = ...) -> None: ...

class AddResponse(_message.Message):
    __slots__ = ("activity", "unchanged", "missing")
    ACTIVITY_FIELD_NUMBER: _ClassVar[int]
    UNCHANGED_FIELD_NUMBER: _ClassVar[int]
    MISSING_FIELD_NUMBER: _ClassVar[int]
    activity: Activity
    unchanged: bool
    missing: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, activity: _Optional[_Union[Activity, _Mapping]] = ..., unchanged: _Optional[bool] = ..., missing: _Optional[_Iterable[str]] = ...) -> None: ...

class UploadRequest(_message.Message):
    __slots__ = ("header", "chunk")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    header: UploadHeader
    chunk: bytes
    def __init__(self, header: _Optional[_Union[UploadHeader, _Mapping]] = ..., chunk: _Optional[bytes] = ...) -> None: ...

class UploadHeader(_message.Message):
    __slots__ = ("username", "actName", "sha256", "size", "env", "no_check")
    class EnvEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    USERNAME_FIELD_NUMBER: _ClassVar[int]
    ACTNAME_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    ENV_FIELD_NUMBER: _ClassVar[int]
    NO_CHECK_FIELD_NUMBER: _ClassVar[int]
    username: str
    actName: str
    sha256: str
    size: int
    env: _containers.ScalarMap[str, str]
    no_check: bool
    def __init__(self, username: _Optional[str] = ..., actName: _Optional[str] = ..., sha256: _Optional[str] = ..., size: _Optional[int] = ..., env: _Optional[_Mapping[str, str]] = ..., no_check: _Optional[bool] = ...) -> None: ...

class UploadReply(_message.Message):
    __slots__ = ("progress", "added", "fault")
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    ADDED_FIELD_NUMBER: _ClassVar[int]
    FAULT_FIELD_NUMBER: _ClassVar[int]
    progress: str
    added: AddResponse
    fault: Fault
    def __init__(self, progress: _Optional[str] = ..., added: _Optional[_Union[AddResponse, _Mapping]] = ..., fault: _Optional[_Union[Fault, _Mapping]] = ...) -> None: ...

class ListRequest(_message.Message):
    __slots__ = ("username",)
    USERNAME_FIELD_NUMBER: _ClassVar[int]
    username: str
    def __init__(self, username: _Optional[str] = ...) -> None: ...

class ManagedActivity(_message.Message):
    __slots__ = ("name", "runtime", "added", "activity")
    NAME_FIELD_NUMBER: _ClassVar[int]
    RUNTIME_FIELD_NUMBER: _ClassVar[int]
    ADDED_FIELD_NUMBER: _ClassVar[int]
    ACTIVITY_FIELD_NUMBER: _ClassVar[int]
    name: str
    runtime: str
    added: str
    activity: Activity
    def __init__(self, name: _Optional[str] = ..., runtime: _Optional[str] = ..., added: _Optional[str] = ..., activity: _Optional[_Union[Activity, _Mapping]] = ...) -> None: ...

class ListResponse(_message.Message):
    __slots__ = ("activities",)
    ACTIVITIES_FIELD_NUMBER: _ClassVar[int]
    activities: _containers.RepeatedCompositeFieldContainer[ManagedActivity]
    def __init__(self, activities: _Optional[_Iterable[_Union[ManagedActivity, _Mapping]]] = ...) -> None: ...

class Activity(_message.Message):
    __slots__ = ("username", "name", "runtime", "version", "sha256", "size", "added_s", "is_workflow", "manifest")
    USERNAME_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    RUNTIME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    ADDED_S_FIELD_NUMBER: _ClassVar[int]
    IS_WORKFLOW_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_FIELD_NUMBER: _ClassVar[int]
    username: str
    name: str
    runtime: str
    version: int
    sha256: str
    size: int
    added_s: float
    is_workflow: bool
    manifest: str
    def __init__(self, username: _Optional[str] = ..., name: _Optional[str] = ..., runtime: _Optional[str] = ..., version: _Optional[int] = ..., sha256: _Optional[str] = ..., size: _Optional[int] = ..., added_s: _Optional[float] = ..., is_workflow: _Optional[bool] = ..., manifest: _Optional[str] = ...) -> None: ...

class RemoveRequest(_message.Message):
    __slots__ = ("username", "actName")
    USERNAME_FIELD_NUMBER: _ClassVar[int]
    ACTNAME_FIELD_NUMBER: _ClassVar[int]
    username: str
    actName: str
    def __init__(self, username: _Optional[str] = ..., actName: _Optional[str] = ...) -> None: ...

class RemoveResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DescribeRequest(_message.Message):
    __slots__ = ("username", "actName", "show_env")
    USERNAME_FIELD_NUMBER: _ClassVar[int]
    ACTNAME_FIELD_NUMBER: _ClassVar[int]
    SHOW_ENV_FIELD_NUMBER: _ClassVar[int]
    username: str
    actName: str
    show_env: bool
    def __init__(self, username: _Optional[str] = ..., actName: _Optional[str] = ..., show_env: _Optional[bool] = ...) -> None: ...

class DescribeResponse(_message.Message):
    __slots__ = ("activity", "versions", "missing", "workers", "stats", "env", "packages", "requirements", "url", "known", "foreseen", "demand")
    class EnvEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ACTIVITY_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    MISSING_FIELD_NUMBER: _ClassVar[int]
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    STATS_FIELD_NUMBER: _ClassVar[int]
    ENV_FIELD_NUMBER: _ClassVar[int]
    PACKAGES_FIELD_NUMBER: _ClassVar[int]
    REQUIREMENTS_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    KNOWN_FIELD_NUMBER: _ClassVar[int]
    FORESEEN_FIELD_NUMBER: _ClassVar[int]
    DEMAND_FIELD_NUMBER: _ClassVar[int]
    activity: Activity
    versions: _containers.RepeatedCompositeFieldContainer[Activity]
    missing: _containers.RepeatedScalarFieldContainer[str]
    workers: _containers.RepeatedScalarFieldContainer[str]
    stats: FunctionStats
    env: _containers.ScalarMap[str, str]
    packages: str
    requirements: _containers.RepeatedCompositeFieldContainer[Package]
    url: str
    known: str
    foreseen: _containers.RepeatedCompositeFieldContainer[Foreseen]
    demand: Demand
    def __init__(self, activity: _Optional[_Union[Activity, _Mapping]] = ..., versions: _Optional[_Iterable[_Union[Activity, _Mapping]]] = ..., missing: _Optional[_Iterable[str]] = ..., workers: _Optional[_Iterable[str]] = ..., stats: _Optional[_Union[FunctionStats, _Mapping]] = ..., env: _Optional[_Mapping[str, str]] = ..., packages: _Optional[str] = ..., requirements: _Optional[_Iterable[_Union[Package, _Mapping]]] = ..., url: _Optional[str] = ..., known: _Optional[str] = ..., foreseen: _Optional[_Iterable[_Union[Foreseen, _Mapping]]] = ..., demand: _Optional[_Union[Demand, _Mapping]] = ...) -> None: ...

class Foreseen(_message.Message):
    __slots__ = ("function", "chance", "after_ns", "lead_ns", "runs", "hits", "misses", "is_loaded_ahead")
    FUNCTION_FIELD_NUMBER: _ClassVar[int]
    CHANCE_FIELD_NUMBER: _ClassVar[int]
    AFTER_NS_FIELD_NUMBER: _ClassVar[int]
    LEAD_NS_FIELD_NUMBER: _ClassVar[int]
    RUNS_FIELD_NUMBER: _ClassVar[int]
    HITS_FIELD_NUMBER: _ClassVar[int]
    MISSES_FIELD_NUMBER: _ClassVar[int]
    IS_LOADED_AHEAD_FIELD_NUMBER: _ClassVar[int]
    function: str
    chance: float
    after_ns: int
    lead_ns: int
    runs: float
    hits: float
    misses: float
    is_loaded_ahead: bool
    def __init__(self, function: _Optional[str] = ..., chance: _Optional[float] = ..., after_ns: _Optional[int] = ..., lead_ns: _Optional[int] = ..., runs: _Optional[float] = ..., hits: _Optional[float] = ..., misses: _Optional[float] = ..., is_loaded_ahead: _Optional[bool] = ...) -> None: ...

class Demand(_message.Message):
    __slots__ = ("rate", "time_s", "tau", "samples", "executing")
    RATE_FIELD_NUMBER: _ClassVar[int]
    TIME_S_FIELD_NUMBER: _ClassVar[int]
    TAU_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    EXECUTING_FIELD_NUMBER: _ClassVar[int]
    rate: float
    time_s: float
    tau: float
    samples: int
    executing: int
    def __init__(self, rate: _Optional[float] = ..., time_s: _Optional[float] = ..., tau: _Optional[float] = ..., samples: _Optional[int] = ..., executing: _Optional[int] = ...) -> None: ...

class Package(_message.Message):
    __slots__ = ("name", "version", "asked")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ASKED_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: str
    asked: bool
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ..., asked: _Optional[bool] = ...) -> None: ...

class FunctionStats(_message.Message):
    __slots__ = ("invocations", "failures", "cold", "prewarmed", "warm", "p50_ms", "p99_ms", "ahead", "stored_blocks", "stored_bytes", "stored_over")
    INVOCATIONS_FIELD_NUMBER: _ClassVar[int]
    FAILURES_FIELD_NUMBER: _ClassVar[int]
    COLD_FIELD_NUMBER: _ClassVar[int]
    PREWARMED_FIELD_NUMBER: _ClassVar[int]
    WARM_FIELD_NUMBER: _ClassVar[int]
    P50_MS_FIELD_NUMBER: _ClassVar[int]
    P99_MS_FIELD_NUMBER: _ClassVar[int]
    AHEAD_FIELD_NUMBER: _ClassVar[int]
    STORED_BLOCKS_FIELD_NUMBER: _ClassVar[int]
    STORED_BYTES_FIELD_NUMBER: _ClassVar[int]
    STORED_OVER_FIELD_NUMBER: _ClassVar[int]
    invocations: int
    failures: int
    cold: int
    prewarmed: int
    warm: int
    p50_ms: float
    p99_ms: float
    ahead: int
    stored_blocks: int
    stored_bytes: int
    stored_over: int
    def __init__(self, invocations: _Optional[int] = ..., failures: _Optional[int] = ..., cold: _Optional[int] = ..., prewarmed: _Optional[int] = ..., warm: _Optional[int] = ..., p50_ms: _Optional[float] = ..., p99_ms: _Optional[float] = ..., ahead: _Optional[int] = ..., stored_blocks: _Optional[int] = ..., stored_bytes: _Optional[int] = ..., stored_over: _Optional[int] = ...) -> None: ...

class CancelRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class CancelResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ResultRequest(_message.Message):
    __slots__ = ("id", "wait_s")
    ID_FIELD_NUMBER: _ClassVar[int]
    WAIT_S_FIELD_NUMBER: _ClassVar[int]
    id: str
    wait_s: float
    def __init__(self, id: _Optional[str] = ..., wait_s: _Optional[float] = ...) -> None: ...
