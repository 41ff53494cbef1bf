from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class TaskType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    UNKNOWN: _ClassVar[TaskType]
    LOAD: _ClassVar[TaskType]
    INVOKE: _ClassVar[TaskType]
    HANDOVER: _ClassVar[TaskType]
UNKNOWN: TaskType
LOAD: TaskType
INVOKE: TaskType
HANDOVER: TaskType

class ListenRequest(_message.Message):
    __slots__ = ("role", "runtime")
    ROLE_FIELD_NUMBER: _ClassVar[int]
    RUNTIME_FIELD_NUMBER: _ClassVar[int]
    role: str
    runtime: str
    def __init__(self, role: _Optional[str] = ..., runtime: _Optional[str] = ...) -> None: ...

class Task(_message.Message):
    __slots__ = ("type", "id", "arg", "session", "data", "content_type", "path", "chain")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    ARG_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    CONTENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    CHAIN_FIELD_NUMBER: _ClassVar[int]
    type: TaskType
    id: str
    arg: str
    session: str
    data: bytes
    content_type: str
    path: str
    chain: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, type: _Optional[_Union[TaskType, str]] = ..., id: _Optional[str] = ..., arg: _Optional[str] = ..., session: _Optional[str] = ..., data: _Optional[bytes] = ..., content_type: _Optional[str] = ..., path: _Optional[str] = ..., chain: _Optional[_Iterable[str]] = ...) -> None: ...

class ReportRequest(_message.Message):
    __slots__ = ("id", "result", "isError", "data", "content_type", "error_type", "traceback")
    ID_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    ISERROR_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    CONTENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    ERROR_TYPE_FIELD_NUMBER: _ClassVar[int]
    TRACEBACK_FIELD_NUMBER: _ClassVar[int]
    id: str
    result: str
    isError: bool
    data: bytes
    content_type: str
    error_type: str
    traceback: str
    def __init__(self, id: _Optional[str] = ..., result: _Optional[str] = ..., isError: _Optional[bool] = ..., data: _Optional[bytes] = ..., content_type: _Optional[str] = ..., error_type: _Optional[str] = ..., traceback: _Optional[str] = ...) -> None: ...

class ReportResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class HandoverRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class HandoverResponse(_message.Message):
    __slots__ = ("token",)
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    token: str
    def __init__(self, token: _Optional[str] = ...) -> None: ...

class CallRequest(_message.Message):
    __slots__ = ("invocation", "number", "name", "data", "content_type")
    INVOCATION_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    CONTENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    invocation: str
    number: int
    name: str
    data: bytes
    content_type: str
    def __init__(self, invocation: _Optional[str] = ..., number: _Optional[int] = ..., name: _Optional[str] = ..., data: _Optional[bytes] = ..., content_type: _Optional[str] = ...) -> None: ...

class CallResponse(_message.Message):
    __slots__ = ("data", "content_type")
    DATA_FIELD_NUMBER: _ClassVar[int]
    CONTENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    content_type: str
    def __init__(self, data: _Optional[bytes] = ..., content_type: _Optional[str] = ...) -> None: ...
