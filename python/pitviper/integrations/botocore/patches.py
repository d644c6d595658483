"""Wraps the one method through which clients call operations."""

from typing import Any, Callable, Optional, cast
from urllib.parse import urlsplit

from pitviper import _native
from pitviper._guard import internal_error
from pitviper.integrations import _client
from pitviper.integrations.botocore import services

_SCOPE = "pitviper.botocore"
_CLIENT = 3
_PRODUCER = 4
_ERROR = 2


def make_api_call(original: Callable[..., Any]) -> Callable[..., Any]:
    """``BaseClient._make_api_call``."""

    def wrapper(self: Any, operation_name: Any, api_params: Any) -> Any:
        span = _start(self, operation_name, api_params)
        if span is None:
            return original(self, operation_name, api_params)
        try:
            api_params = services.with_trace(self.meta.service_model.service_id, operation_name, api_params)
        except Exception as error:
            internal_error(error)
        try:
            response = original(self, operation_name, api_params)
        except BaseException as error:
            _failed(span, error)
            raise
        try:
            _answered(span, response)
            for context in services.senders(operation_name, response):
                span.add_link(context)
        except Exception as error:
            internal_error(error)
        span.end()
        return response

    return wrapper


def _start(client: Any, operation: str, parameters: Any) -> Optional[_native.Span]:
    try:
        meta = client.meta
        service = meta.service_model.service_id
        attributes: dict[str, object] = {"rpc.system": "aws-api", "rpc.service": service, "rpc.method": operation}
        if meta.region_name:
            attributes["cloud.region"] = meta.region_name
        endpoint = urlsplit(meta.endpoint_url or "")
        if endpoint.hostname:
            attributes["server.address"] = endpoint.hostname
            attributes["server.port"] = endpoint.port or _client.DEFAULT_PORTS.get(endpoint.scheme)
        sends = services.describe(service, operation, parameters, meta.region_name, attributes)
        return _native.start_call(f"{service}.{operation}", _PRODUCER if sends else _CLIENT, attributes, _SCOPE)
    except Exception as error:
        internal_error(error)
        return None


def _answered(span: _native.Span, response: Any) -> None:
    """Notes what a response says of itself."""
    metadata: dict[str, Any] = response.get("ResponseMetadata") or {}
    for key, name in (
        ("HTTPStatusCode", "http.response.status_code"),
        ("RequestId", "aws.request_id"),
        ("HostId", "aws.extended_request_id"),
        ("RetryAttempts", "http.request.resend_count"),
    ):
        value = metadata.get(key)
        if value:
            span.set_attribute(name, value)
    message = response.get("MessageId")
    if isinstance(message, str):
        span.set_attribute("messaging.message.id", message)


def _failed(span: _native.Span, failure: BaseException) -> None:
    try:
        response = getattr(failure, "response", None)
        if isinstance(response, dict):
            answer: Any = cast(Any, response)
            _answered(span, answer)
            about: Any = answer.get("Error") or {}
            code = about.get("Code")
            if code:
                # botocore's exceptions are many, and all are ClientError; the code tells them apart.
                span.record_exception(failure)
                span.set_attribute("error.type", str(code))
                span.set_status(_ERROR, str(failure))
                span.end()
                return
    except Exception as error:
        internal_error(error)
    _client.failed(span, failure)
