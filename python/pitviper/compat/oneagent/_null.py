"""What tracers talk to while the SDK is not initialized: nothing is traced, and nothing fails."""

from typing import Any, Callable

from pitviper._native import OneSdk

from .common import AgentForkState, AgentState, ErrorCode, TraceContextInfo

#: What functions answer, by how their names end; None by default.
_ANSWERS = (("_create", 0), ("_create_sql", 0), ("_get_outgoing_tag", b""))


class SDKNullInterface:
    """The interface of the native SDK, without one.

    Args:
        version: What it says of its version.
    """

    def __init__(self, version: str = "-/-") -> None:
        self._version = version

    def agent_get_version_string(self) -> str:
        return self._version

    def agent_found(self) -> bool:
        return False

    def agent_is_compatible(self) -> bool:
        return False

    def agent_get_current_state(self) -> int:
        return AgentState.NOT_INITIALIZED

    def agent_get_fork_state(self) -> int:
        return AgentForkState.ERROR

    def agent_set_warning_callback(self, callback: "Callable[[str], object] | None") -> int:
        return ErrorCode.SUCCESS

    def agent_set_verbose_callback(self, callback: "Callable[[str], object] | None") -> int:
        return ErrorCode.SUCCESS

    def initialize(self, init_flags: int = 0) -> int:
        return ErrorCode.AGENT_NOT_ACTIVE

    def shutdown(self) -> int:
        return ErrorCode.SUCCESS

    def stub_set_variable(self, assignment: str, replace: bool) -> int:
        return ErrorCode.AGENT_NOT_ACTIVE

    def stub_is_sdk_cmdline_arg(self, arg: str) -> bool:
        return arg.startswith("--dt_")

    def stub_process_cmdline_arg(self, arg: str, replace: bool) -> int:
        return ErrorCode.AGENT_NOT_ACTIVE

    def strerror(self, error_code: int) -> str:
        return f"Unknown error {error_code}"

    def tracecontext_get_current(self) -> "tuple[int, str, str]":
        return ErrorCode.NO_DATA, TraceContextInfo.INVALID_TRACE_ID, TraceContextInfo.INVALID_SPAN_ID

    def create_in_process_link(self) -> bytes:
        return b""

    def __getattr__(self, name: str) -> "Callable[..., Any]":
        if not hasattr(OneSdk, name):
            raise AttributeError(f"{type(self).__name__!r} has no attribute {name!r}")
        answer = next((answer for end, answer in _ANSWERS if name.endswith(end)), None)
        return lambda *arguments: answer
