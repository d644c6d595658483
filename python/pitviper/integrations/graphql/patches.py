"""Wrappers for the steps of an operation: parsing, validation, execution, and its fields."""

from contextlib import suppress
from contextvars import ContextVar, Token
from typing import Any, Callable, Optional

from pitviper import _native
from pitviper._guard import internal_error
from pitviper.instrument import option
from pitviper.integrations._server import INTERNAL, SERVER, error_type
from pitviper.integrations.graphql import INTEGRATION
from pitviper.integrations.graphql.documents import masked

_SCOPE = "pitviper.graphql"
_ERROR = 2
_UNKNOWN = "GraphQL Operation"
#: How many errors of an operation are recorded; ``graphql.error.count`` says how many there were.
_MAX_RECORDED = 16

Method = Callable[..., Any]


class _Operation:
    """An operation under way, and its span. None of its methods raises but :meth:`run`, what it runs."""

    __slots__ = ("_executor", "_recorded", "executed", "span")

    def __init__(self, name: str, attributes: "dict[str, object]", executor: Any = None) -> None:
        kind = SERVER if _native.current_span() is None else INTERNAL
        self.span = _native.start_span(name, kind, attributes, None, None, None, _SCOPE)
        #: Whether its execution has begun: what is executed below it then is an operation of its own.
        self.executed = executor is not None
        self._executor = executor
        self._recorded: dict[int, BaseException] = {}

    def run(self, original: Method, args: "tuple[Any, ...]", kwargs: "dict[str, Any]") -> Any:
        """Calls the original with the operation as the one under way; ends it with the result."""
        token = _under_way.set(self)
        before = _native.activate(self.span)
        try:
            result = original(*args, **kwargs)
        except BaseException as error:
            self.end(None, error)
            raise
        finally:
            _native.deactivate(before)
            _under_way.reset(token)
        if hasattr(result, "__await__"):
            return self._awaited(result)
        self.end(result)
        return result

    async def _awaited(self, result: Any) -> Any:
        token = _under_way.set(self)
        before = _native.activate(self.span)
        try:
            value = await result
        except BaseException as error:
            self.end(None, error)
            raise
        finally:
            _native.deactivate(before)
            _leave(token)
        self.end(value)
        return value

    def describe(self, name: str, attributes: "dict[str, object]") -> None:
        """Names the operation by what is executed."""
        self.executed = True
        self.span.update_name(name)
        self.span.set_attributes(attributes)

    def record(self, span: _native.Span, error: BaseException, at: Any = None) -> None:
        """Records an error at the span it comes from, unless another has it or there are many."""
        cause = _cause(error)
        if id(cause) in self._recorded or len(self._recorded) >= _MAX_RECORDED:
            return
        self._recorded[id(cause)] = cause
        path: Any = at or getattr(error, "path", None)
        span.record_exception(cause, {"graphql.error.path": _shown(path)} if path else None)

    def noted(self, errors: "list[BaseException]") -> None:
        """Says that a span has recorded these."""
        self._recorded.update((id(cause), cause) for cause in map(_cause, errors))

    def end(self, result: Any, failure: Optional[BaseException] = None) -> None:
        """Records the errors of a result, or what was raised instead of one, and ends the span."""
        try:
            errors = _errors(result, self._executor)
            if isinstance(failure, Exception):
                errors.append(failure)
            for error in errors:
                self.record(self.span, error)
            if errors:
                self.span.set_attribute("graphql.error.count", len(errors))
                _fail(self.span, errors[0])
        except Exception as error:
            internal_error(error)
        # Contexts that were copied meanwhile keep the operation, and are not to keep what it held.
        self._executor = None
        self._recorded = {}
        self.span.end()


_under_way: "ContextVar[Optional[_Operation]]" = ContextVar("pitviper_graphql_operation", default=None)


def _leave(token: "Token[Optional[_Operation]]") -> None:
    # A coroutine may be closed in another context than it ran in.
    with suppress(ValueError):
        _under_way.reset(token)


def _errors(result: Any, executor: Any) -> "list[Any]":
    """The errors of a result; up to 3.2 they are not in what the execution returns."""
    # What is delivered in parts has a first result.
    found = getattr(getattr(result, "initial_result", result), "errors", None)
    if found is None and executor is not None:
        collected = getattr(executor, "collected_errors", executor)
        found = getattr(collected, "errors", None)
    return list(found or ())


def _cause(error: BaseException) -> BaseException:
    return getattr(error, "original_error", None) or error


def _fail(span: _native.Span, error: BaseException) -> None:
    span.set_attribute("error.type", error_type(_cause(error)))
    span.set_status(_ERROR, getattr(error, "message", None) or str(error))


def _shown(path: Any) -> str:
    return ".".join(map(str, path.as_list() if hasattr(path, "as_list") else path))


def _described(executor: Any, with_document: bool) -> "tuple[str, dict[str, object]]":
    """The name of the operation that an executor is for, and its attributes."""
    node = executor.operation
    kind: str = node.operation.value
    attributes: dict[str, object] = {"graphql.operation.type": kind}
    if node.name is not None:
        attributes["graphql.operation.name"] = node.name.value
    if with_document and node.loc is not None:
        attributes["graphql.document"] = masked(node.loc.source)
    return kind, attributes


def request(original: Method) -> Method:
    """``graphql_impl``, which is ``graphql`` and ``graphql_sync``."""
    documents = option(INTEGRATION, "document")

    def begin(source: Any) -> Optional[_Operation]:
        try:
            # It may be no document, which only parsing will tell.
            return _Operation(_UNKNOWN, {"graphql.document": masked(source)} if documents else {})
        except Exception as error:
            internal_error(error)
            return None

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        operation = begin(args[1] if len(args) > 1 else kwargs.get("source", ""))
        return original(*args, **kwargs) if operation is None else operation.run(original, args, kwargs)

    return wrapper


def execute_operation(original: Method) -> Method:
    """``execute_operation`` of what executes one operation, or one event of a subscription."""
    documents = option(INTEGRATION, "document")

    def begin(executor: Any) -> Optional[_Operation]:
        try:
            operation = _under_way.get()
            if operation is not None and not operation.executed:
                # It has its document.
                operation.describe(*_described(executor, False))
                return None
            return _Operation(*_described(executor, documents), executor)
        except Exception as error:
            internal_error(error)
            return None

    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        operation = begin(self)
        if operation is None:
            return original(self, *args, **kwargs)
        return operation.run(original, (self, *args), kwargs)

    return wrapper


def parse_document(original: Method) -> Method:
    """``Parser.parse_document``. Without a span around it, it is most likely the schema that is read."""

    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        if _native.current_span() is None:
            return original(self, *args, **kwargs)
        start = _native.now()
        try:
            document = original(self, *args, **kwargs)
        except BaseException as error:
            _step("parse GraphQL", start, [error])
            raise
        _step("parse GraphQL", start, [])
        return document

    return wrapper


def visit(original: Method) -> Method:
    """``visit``, as validation calls it: with all rules at once."""

    def wrapper(root: Any, visitor: Any, *args: Any, **kwargs: Any) -> Any:
        found = _watch(visitor)
        if found is None:
            return original(root, visitor, *args, **kwargs)
        start = _native.now()
        try:
            result = original(root, visitor, *args, **kwargs)
        except BaseException as error:
            # Validation ends itself like this when it has found enough.
            _step("validate GraphQL", start, found or [error])
            raise
        _step("validate GraphQL", start, found)
        return result

    return wrapper


def _watch(visitor: Any) -> "Optional[list[BaseException]]":
    """Where the errors that the rules report will be; None if it is no operation that is validated."""
    try:
        rules: Any = getattr(getattr(visitor, "visitor", None), "visitors", None)
        if not rules or _native.current_span() is None:
            return None
        found: list[BaseException] = []
        # One for all rules, made for this document.
        context = rules[0].context
        report: Callable[[BaseException], None] = context.on_error

        def on_error(error: BaseException) -> None:
            found.append(error)
            report(error)

        context.on_error = on_error
        return found
    except Exception as error:
        internal_error(error)
        return None


def _step(name: str, start: int, errors: "list[BaseException]") -> None:
    """Records a step before the execution."""
    try:
        if not errors:
            _native.finish_leaf(name, INTERNAL, start, None, None, _SCOPE)
            return
        span = _native.start_span(name, INTERNAL, None, None, start, None, _SCOPE)
        for error in errors[:_MAX_RECORDED]:
            span.record_exception(_cause(error))
        span.set_attribute("graphql.error.count", len(errors))
        _fail(span, errors[0])
        span.end()
        operation = _under_way.get()
        if operation is not None:
            operation.noted(errors)
    except Exception as error:
        internal_error(error)


def execute_field(original: Method) -> Method:
    """``execute_field``: calls the resolver and completes what it returned, the fields below it included."""
    if not option(INTEGRATION, "resolvers"):
        return original

    def wrapper(self: Any, parent_type: Any, source: Any, details: Any, path: Any, *args: Any, **kwargs: Any) -> Any:
        span = _start_field(parent_type, details, path)
        if span is None:
            return original(self, parent_type, source, details, path, *args, **kwargs)
        before = _native.activate(span)
        try:
            value = original(self, parent_type, source, details, path, *args, **kwargs)
        except BaseException:
            # handle_field_error has seen it.
            span.end()
            raise
        finally:
            _native.deactivate(before)
        if hasattr(value, "__await__"):
            return _awaited_field(value, span)
        span.end()
        return value

    return wrapper


async def _awaited_field(value: Any, span: _native.Span) -> Any:
    before = _native.activate(span)
    try:
        return await value
    finally:
        _native.deactivate(before)
        span.end()


def _start_field(parent_type: Any, details: Any, path: Any) -> Optional[_native.Span]:
    """The span of a field; None for one that is only read from its object."""
    try:
        node = getattr(details[0], "node", details[0])
        name: str = node.name.value
        field = parent_type.fields.get(name)
        if field is None or field.resolve is None:
            return None
        attributes: dict[str, object] = {"graphql.field.name": name, "graphql.field.path": _shown(path)}
        label = f"resolve {parent_type.name}.{name}"
        return _native.start_span(label, INTERNAL, attributes, None, None, None, _SCOPE)
    except Exception as error:
        internal_error(error)
        return None


def handle_field_error(original: Method) -> Method:
    """``handle_field_error``: an error makes a field null, or the one above it."""
    if not option(INTEGRATION, "resolvers"):
        return original

    def wrapper(self: Any, error: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            span, operation = _native.current_span(), _under_way.get()
            # That of the field, or of the next one above it that has one.
            if span is not None and operation is not None and span.read_maker()[1] == _SCOPE:
                operation.record(span, error, args[-1] if args else None)
                _fail(span, error)
        except Exception as failure:
            internal_error(failure)
        return original(self, error, *args, **kwargs)

    return wrapper
