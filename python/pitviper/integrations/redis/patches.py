"""Wrappers for redis-py."""

from collections.abc import Awaitable, Sequence
from typing import Any, Callable, Optional, cast

from pitviper import _native
from pitviper._guard import internal_error
from pitviper.instrument import option
from pitviper.integrations.redis import INTEGRATION

_SCOPE = "pitviper.redis"
_CLIENT = 3
#: Attribute of a connection pool or a cluster that holds the attributes all its spans have.
_PLACE = "_pitviper_place"

#: Arguments of one command, and commands of one pipeline, that are written out; the rest is ``...``.
_MAX_ARGUMENTS = 8
_MAX_COMMANDS = 16
#: Longest key that is written out, in characters.
_MAX_KEY = 256
#: Names of commands that are remembered; there are a few hundred.
_MAX_NAMES = 1_024
_MAX_NAME = 64

_MASKS = tuple(" ?" * count for count in range(_MAX_ARGUMENTS + 1))


def _words(text: str) -> "frozenset[str]":
    return frozenset(text.split())


#: Commands whose second word belongs to their name.
_CONTAINERS = _words(
    "ACL CLIENT CLUSTER COMMAND CONFIG DEBUG FUNCTION LATENCY MEMORY MODULE OBJECT PUBSUB SCRIPT SLOWLOG XGROUP XINFO"
)
#: Commands whose first argument is a key.
_KEYED = _words(
    "APPEND BITCOUNT BITFIELD BITPOS DECR DECRBY DUMP EXPIRE EXPIREAT EXPIRETIME GEOADD GEODIST GEOHASH GEOPOS "
    "GEOSEARCH GET GETBIT GETDEL GETEX GETRANGE GETSET HDEL HEXISTS HGET HGETALL HINCRBY HINCRBYFLOAT HKEYS HLEN "
    "HMGET HMSET HRANDFIELD HSCAN HSET HSETNX HSTRLEN HVALS INCR INCRBY INCRBYFLOAT LINDEX LINSERT LLEN LPOP LPOS "
    "LPUSH LPUSHX LRANGE LREM LSET LTRIM PERSIST PEXPIRE PEXPIREAT PFADD PSETEX PTTL RESTORE RPOP RPUSH RPUSHX SADD "
    "SCARD SET SETBIT SETEX SETNX SETRANGE SISMEMBER SMEMBERS SMISMEMBER SORT SPOP SRANDMEMBER SREM SSCAN STRLEN TTL "
    "TYPE XACK XADD XCLAIM XDEL XLEN XPENDING XRANGE XREVRANGE XTRIM ZADD ZCARD ZCOUNT ZINCRBY ZLEXCOUNT ZMSCORE "
    "ZPOPMAX ZPOPMIN ZRANDMEMBER ZRANGE ZRANGEBYSCORE ZRANK ZREM ZREMRANGEBYRANK ZREMRANGEBYSCORE ZREVRANGE ZREVRANK "
    "ZSCAN ZSCORE"
)
#: Commands whose arguments all are keys.
_ALL_KEYS = _words("DEL EXISTS MGET PFCOUNT PFMERGE RENAME SDIFF SINTER SUNION TOUCH UNLINK WATCH")
#: Commands whose first argument names what runs on the server.
_PROCEDURES = frozenset(("EVALSHA", "EVALSHA_RO", "FCALL", "FCALL_RO"))

#: What Redis calls the errors whose name the client cuts off.
_CODES = {
    "NoScriptError": "NOSCRIPT",
    "ReadOnlyError": "READONLY",
    "ExecAbortError": "EXECABORT",
    "NoPermissionError": "NOPERM",
    "BusyLoadingError": "LOADING",
    "ResponseError": "ERR",
}

_names: "dict[Any, str]" = {}

Method = Callable[..., Any]


def _name(command: Any) -> str:
    """The name of a command, given as it is sent: ``get``, ``b"GET"``, ``CONFIG GET``."""
    found = _names.get(command)
    if found is None:
        text = command.decode(errors="replace") if isinstance(command, bytes) else str(command)
        words = text[:_MAX_NAME].upper().split(None, 2)
        found = " ".join(words[: 2 if words and words[0] in _CONTAINERS else 1])
        if len(_names) >= _MAX_NAMES:
            _names.clear()
        _names[command] = found
    return found


def _text(name: str, args: "Sequence[Any]", keys: bool) -> str:
    """A command as it is recorded: values as ``?``, keys as well unless they are asked for."""
    count = len(args) - 1
    shown = ""
    if keys and count > 0:
        visible = 1 if name in _KEYED else min(count, _MAX_ARGUMENTS) if name in _ALL_KEYS else 0
        for key in args[1 : 1 + visible]:
            plain = key.decode(errors="replace") if isinstance(key, bytes) else str(key)
            shown += f" {plain[:_MAX_KEY]}"
            count -= 1
    if count > _MAX_ARGUMENTS:
        return f"{name}{shown}{_MASKS[_MAX_ARGUMENTS]} ..."
    return f"{name}{shown}{_MASKS[max(count, 0)]}"


def _place(client: Any) -> "dict[str, object]":
    """The attributes that say where a client's commands go."""
    owner: Any = getattr(client, "connection_pool", None) or client
    found: Optional[dict[str, object]] = getattr(owner, _PLACE, None)
    if found is None:
        found = {"db.system.name": "redis"}
        nodes: Any = getattr(client, "nodes_manager", None)
        if nodes is None:
            given: Any = getattr(owner, "connection_kwargs", {})
            found["db.namespace"] = str(given.get("db") or 0)
        else:
            # A cluster has one database, and any of its nodes tells where it is.
            node: Any = nodes.default_node
            given = {} if node is None else {"host": node.host, "port": node.port}
        if given.get("path"):
            found["server.address"] = given["path"]
        elif given.get("host"):
            found["server.address"] = given["host"]
            if given.get("port"):
                found["server.port"] = int(given["port"])
        if "server.address" in found:
            setattr(owner, _PLACE, found)
    return found


def _status(error: BaseException) -> Optional[str]:
    """The first word of Redis's own answer, also where the client cuts it off."""
    for base in type(error).__mro__:
        code = _CODES.get(base.__name__)
        if code is not None:
            word = str(error).split(" ", 1)[0]
            return word if word.isupper() and word.isalpha() else code
    return None


class _Recorder:
    """Records what was sent. The option is read when the integration is put in place."""

    def __init__(self) -> None:
        self._keys: bool = option(INTEGRATION, "keys")

    def command(self, client: Any, args: "tuple[Any, ...]", start: int, error: Optional[BaseException] = None) -> None:
        """A command that was answered."""
        try:
            name = _name(args[0]) if args else ""
            attributes = {
                **_place(client),
                "db.operation.name": name,
                "db.query.text": _text(name, args, self._keys),
            }
            if name in _PROCEDURES and len(args) > 1:
                attributes["db.stored_procedure.name"] = str(args[1])[:_MAX_KEY]
            _finish(name, attributes, start, error)
        except Exception as failure:
            internal_error(failure)

    def pipeline(self, pipeline: Any) -> "Optional[tuple[str, dict[str, object]]]":
        """The name and attributes of a pipeline that is about to be sent; None when there is nothing to send."""
        try:
            commands = _commands(pipeline)
            if not commands:
                return None
            names = {_name(args[0]) for args in commands}
            name = "MULTI" if _is_transaction(pipeline) else "PIPELINE"
            if len(names) == 1:
                name = f"{name} {names.pop()}"
            texts = [_text(_name(args[0]), args, self._keys) for args in commands[:_MAX_COMMANDS]]
            attributes = {
                **_place(pipeline),
                "db.operation.name": name,
                "db.query.text": "; ".join(texts) + ("; ..." if len(commands) > _MAX_COMMANDS else ""),
            }
            if len(commands) > 1:
                attributes["db.operation.batch.size"] = len(commands)
            return name, attributes
        except Exception as failure:
            internal_error(failure)
            return None

    def sent(self, about: "tuple[str, dict[str, object]]", start: int, error: Optional[BaseException] = None) -> None:
        """A pipeline that was answered."""
        try:
            _finish(*about, start, error)
        except Exception as failure:
            internal_error(failure)


def _finish(name: str, attributes: "dict[str, object]", start: int, error: Optional[BaseException]) -> None:
    if error is not None:
        attributes["db.response.status_code"] = _status(error)
    _native.finish_leaf(name, _CLIENT, start, attributes, error, _SCOPE)


def _commands(pipeline: Any) -> "list[Sequence[Any]]":
    """The arguments of each command in a pipeline."""
    strategy: Any = getattr(pipeline, "_execution_strategy", None)
    queue: Any = getattr(strategy, "_command_queue", None)
    if queue is None:
        # Of a cluster's asynchronous client before version 6.
        queue = getattr(pipeline, "command_stack", None) or getattr(pipeline, "_command_stack", None)
    found: list[Sequence[Any]] = []
    for command in queue or ():
        args = cast("Sequence[Any]", command[0] if isinstance(command, tuple) else command.args)
        if args:
            found.append(args)
    return found


def _is_transaction(pipeline: Any) -> bool:
    if hasattr(pipeline, "_execution_strategy"):
        return type(pipeline._execution_strategy).__name__.startswith("Transaction")
    names = ("transaction", "is_transaction", "explicit_transaction")
    # Clients have a method of that name.
    return any(getattr(pipeline, name, False) is True for name in names)


def command(original: Method) -> Method:
    """A client's ``execute_command(command, *arguments, **options)``."""
    recorder = _Recorder()

    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        start = _native.now()
        try:
            result = original(self, *args, **kwargs)
        except BaseException as error:
            recorder.command(self, args, start, error)
            raise
        recorder.command(self, args, start)
        return result

    return wrapper


def command_async(original: "Callable[..., Awaitable[Any]]") -> Method:
    """An asynchronous client's ``execute_command``."""
    recorder = _Recorder()

    async def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        start = _native.now()
        try:
            result = await original(self, *args, **kwargs)
        except BaseException as error:
            recorder.command(self, args, start, error)
            raise
        recorder.command(self, args, start)
        return result

    return wrapper


def pipeline(original: Method) -> Method:
    """A pipeline's ``execute``."""
    recorder = _Recorder()

    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        # Sending empties it.
        about = recorder.pipeline(self)
        if about is None:
            return original(self, *args, **kwargs)
        start = _native.now()
        try:
            result = original(self, *args, **kwargs)
        except BaseException as error:
            recorder.sent(about, start, error)
            raise
        recorder.sent(about, start)
        return result

    return wrapper


def pipeline_async(original: "Callable[..., Awaitable[Any]]") -> Method:
    """An asynchronous pipeline's ``execute``."""
    recorder = _Recorder()

    async def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        about = recorder.pipeline(self)
        if about is None:
            return await original(self, *args, **kwargs)
        start = _native.now()
        try:
            result = await original(self, *args, **kwargs)
        except BaseException as error:
            recorder.sent(about, start, error)
            raise
        recorder.sent(about, start)
        return result

    return wrapper
