"""The OneAgent SDK for Python on this agent: tracers made through it are our spans, in one tree with all others.

``import oneagent`` means this package where oneagent-sdk is not installed, and with ``pitviper run --compat oneagent``
also where it is. It calls the functions that our native library has for C programs, without ctypes.
"""

import logging
import sys
from collections.abc import Iterable
from threading import Lock
from typing import NamedTuple, Optional

from pitviper._native import OneSdk as _OneSdk
from pitviper.bootstrap import ensure_configured as _ensure_configured

from . import common, version
from ._null import SDKNullInterface
from .common import ErrorCode, SDKError, SDKInitializationError
from .version import __version__

__all__ = [
    "SDK",
    "WIN32",
    "ErrorCode",
    "InitResult",
    "SDKError",
    "SDKInitializationError",
    "SDKNullInterface",
    "__version__",
    "common",
    "get_sdk",
    "initialize",
    "logger",
    "sdk",
    "sdkopts_from_commandline",
    "shutdown",
    "try_get_sdk",
    "version",
]

_ensure_configured()

#: Silent until its level is lowered.
logger = logging.getLogger("py_sdk")
logger.setLevel(logging.CRITICAL + 1)

WIN32 = sys.platform == "win32"

#: The flag of the C interface for processes whose children trace.
_FORKABLE = 1


class _Fields(NamedTuple):
    status: int
    error: Optional[Exception]


class InitResult(_Fields):
    """How an initialization went; true unless it failed.

    Attributes:
        status: One of the constants.
        error: The exception that says why, or None.
    """

    __slots__ = ()

    STATUS_STUB_LOAD_ERROR = -2
    STATUS_INIT_ERROR = -1
    STATUS_INITIALIZED = 0
    STATUS_INITIALIZED_WITH_WARNING = 1
    STATUS_ALREADY_INITIALIZED = 2

    @classmethod
    def _value_name(cls, val: int) -> str:
        for name, value in vars(InitResult).items():
            if name.startswith("STATUS_") and value == val:
                return f"{cls.__name__}.{name}"
        return f"<Unknown {cls.__name__} value {val!r}>"

    def __bool__(self) -> bool:
        return self.status >= 0

    def __repr__(self) -> str:
        return f"InitResult(status={self._value_name(self.status)}, error={self.error!r})"


class _Uses:
    """Who uses the SDK, and what they use."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.count = 0
        self.native: Optional[_OneSdk] = None
        self.sdk: Optional[SDK] = None
        #: The native side counts this process among its users.
        self.is_initialized = False


_uses = _Uses()


def try_get_sdk() -> Optional[_OneSdk]:
    """The native interface, or None before :func:`initialize`."""
    return _uses.native


def get_sdk() -> "SDK":
    """The SDK. Before :func:`initialize` one that traces nothing, a new one each time."""
    return _uses.sdk or SDK(SDKNullInterface())


def initialize(sdkopts: "Iterable[str]" = (), sdklibname: Optional[str] = None, forkable: bool = False) -> InitResult:
    """Gets the SDK ready. Each call is to be matched by one of :func:`shutdown`.

    Args:
        sdkopts: Options, ``name=value``. Only those of the first call count, and of them ``agentactive=false``.
        sdklibname: Means nothing here: there is no library to be found.
        forkable: Changes what ``agent_fork_state`` says. Forked children are traced in any case.
    """
    with _uses.lock:
        result = _begin(sdkopts, forkable)
        if _uses.sdk is None:
            _uses.sdk = SDK(_uses.native)
        _uses.count += 1
        return result


def _begin(sdkopts: "Iterable[str]", forkable: bool) -> InitResult:
    if _uses.native is not None:
        logger.debug("initialize: initialized already, options %s are not looked at", sdkopts)
        return InitResult(InitResult.STATUS_ALREADY_INITIALIZED, None)
    native = _uses.native = _OneSdk()
    try:
        status = InitResult.STATUS_INITIALIZED
        for option in sdkopts:
            code = native.stub_set_variable(option, False)
            if code != ErrorCode.SUCCESS:
                status = InitResult.STATUS_INITIALIZED_WITH_WARNING
                logger.warning("initialize: option %r is not taken: %s", option, native.strerror(code))
        _check(native, native.initialize(_FORKABLE if forkable else 0), "onesdk_initialize_2")
    except Exception as error:
        if isinstance(error, SDKError) and error.code == ErrorCode.AGENT_NOT_ACTIVE:
            return InitResult(InitResult.STATUS_INITIALIZED_WITH_WARNING, error)
        logger.exception("initialize: failed")
        return InitResult(InitResult.STATUS_INIT_ERROR, error)
    _uses.is_initialized = True
    return InitResult(status, None)


def shutdown() -> Optional[Exception]:
    """Ends what one :func:`initialize` began; with the last of them the SDK. The agent goes on.

    Returns:
        What went wrong, or None.
    """
    with _uses.lock:
        native = _uses.native
        if native is None:
            logger.warning("shutdown: not initialized, or shut down already")
            _uses.count = 0
            return None
        if _uses.count > 1:
            _uses.count -= 1
            return None
        try:
            if _uses.is_initialized:
                _check(native, native.shutdown(), "shutdown")
        except SDKError as error:
            logger.warning("shutdown: failed", exc_info=True)
            return error
        _uses.count, _uses.native, _uses.sdk, _uses.is_initialized = 0, None, None, False
        return None


def _check(native: _OneSdk, code: int, what: str) -> None:
    if code != ErrorCode.SUCCESS:
        raise SDKError(code, f"{what}: {native.strerror(code)}")


def sdkopts_from_commandline(
    argv: "Optional[list[str]]" = None, remove: bool = False, prefix: str = "--dt_"
) -> "list[str]":
    """The SDK's options among a program's arguments, without what they begin with.

    Args:
        argv: The arguments; ``sys.argv`` by default.
        remove: Whether they are taken out of the arguments.
        prefix: What they begin with.
    """
    arguments: list[str] = sys.argv if argv is None else argv
    options = [argument[len(prefix) :] for argument in arguments if argument.startswith(prefix)]
    if remove:
        arguments[:] = [argument for argument in arguments if not argument.startswith(prefix)]
    return options


from . import sdk  # noqa: E402
from .sdk import SDK  # noqa: E402
