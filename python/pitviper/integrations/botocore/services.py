"""What the operations of single services are about, and how their messages carry a trace."""

from typing import Any, Optional, cast

from pitviper import _native

#: How many attributes a message of SQS or SNS may have.
_MAX_ATTRIBUTES = 10
#: The most messages that a receiving span is linked to; SQS gives at most ten at once.
_MAX_LINKS = 10

Parameters = dict[str, Any]

#: Parameters that are attributes as they are, by service.
_PLAIN = {
    "S3": (("Bucket", "aws.s3.bucket"), ("Key", "aws.s3.key")),
    "Kinesis": (("StreamName", "aws.kinesis.stream_name"),),
    "SFN": (
        ("stateMachineArn", "aws.step_functions.state_machine.arn"),
        ("activityArn", "aws.step_functions.activity.arn"),
    ),
    "Secrets Manager": (("SecretId", "aws.secretsmanager.secret.arn"),),
    "SQS": (("QueueUrl", "aws.sqs.queue.url"),),
    "SNS": (("TopicArn", "aws.sns.topic.arn"),),
}

#: Operations that concern messages: the type of operation, and the parameter with a batch.
_MESSAGING = {
    ("SQS", "SendMessage"): ("send", None),
    ("SQS", "SendMessageBatch"): ("send", "Entries"),
    ("SQS", "ReceiveMessage"): ("receive", None),
    ("SQS", "DeleteMessage"): ("settle", None),
    ("SQS", "DeleteMessageBatch"): ("settle", "Entries"),
    ("SNS", "Publish"): ("send", None),
    ("SNS", "PublishBatch"): ("send", "PublishBatchRequestEntries"),
}


def describe(service: str, operation: str, given: Any, region: Optional[str], attributes: "dict[str, object]") -> bool:
    """Adds what an operation is about to the attributes of its span.

    Returns:
        Whether it sends messages.
    """
    if not isinstance(given, dict):
        return False
    parameters = cast(Parameters, given)
    for parameter, name in _PLAIN.get(service, ()):
        value = parameters.get(parameter)
        if isinstance(value, str):
            attributes[name] = value
    if service == "DynamoDB":
        attributes["db.system.name"] = "aws.dynamodb"
        tables = _tables(parameters)
        if tables:
            attributes["aws.dynamodb.table_names"] = tables
    elif service == "Lambda" and "FunctionName" in parameters and operation.startswith("Invoke"):
        # A name, or an ARN, which ends in it: arn:aws:lambda:region:account:function:name:qualifier
        parts = str(parameters["FunctionName"]).split(":")
        attributes["faas.invoked_name"] = parts[6] if len(parts) > 6 else parts[-1]
        attributes["faas.invoked_provider"] = "aws"
        if region:
            attributes["faas.invoked_region"] = region
    messaging = _MESSAGING.get((service, operation))
    if messaging is None:
        return False
    kind, batch = messaging
    attributes["messaging.system"] = "aws_sqs" if service == "SQS" else "aws.sns"
    attributes["messaging.operation.type"] = kind
    attributes["messaging.operation.name"] = operation
    destination = str(parameters.get("QueueUrl") or parameters.get("TopicArn") or parameters.get("TargetArn") or "")
    if destination:
        attributes["messaging.destination.name"] = destination.rpartition("/" if service == "SQS" else ":")[2]
    if batch is not None:
        attributes["messaging.batch.message_count"] = len(parameters.get(batch) or ())
    return kind == "send"


def _tables(parameters: Parameters) -> "list[str]":
    table = parameters.get("TableName")
    if isinstance(table, str):
        return [table]
    items = parameters.get("RequestItems")
    return [str(name) for name in cast("dict[Any, Any]", items)] if isinstance(items, dict) else []


def with_trace(service: str, operation: str, given: Any) -> Any:
    """The parameters with the trace in each message; the caller's own stay as they are."""
    kind, batch = _MESSAGING.get((service, operation), ("", None))
    if kind != "send" or not isinstance(given, dict):
        return given
    parameters = cast(Parameters, given)
    headers: dict[str, str] = {}
    _native.inject_into(headers)
    if not headers:
        return parameters
    if batch is None:
        return _marked(parameters, headers)
    entries = parameters.get(batch)
    if not isinstance(entries, (list, tuple)):
        return parameters
    return {**parameters, batch: [_marked(entry, headers) for entry in cast("list[Any]", entries)]}


def _marked(message: Any, headers: "dict[str, str]") -> Any:
    if not isinstance(message, dict):
        return message
    own: Any = cast(Parameters, message).get("MessageAttributes") or {}
    added = {name: {"DataType": "String", "StringValue": value} for name, value in headers.items()}
    if not isinstance(own, dict):
        return cast(Any, message)
    attributes: Parameters = {**added, **cast(Parameters, own)}
    if len(attributes) > _MAX_ATTRIBUTES:
        return cast(Any, message)
    return {**cast(Parameters, message), "MessageAttributes": attributes}


def senders(operation: str, response: Any) -> "list[_native.SpanContext]":
    """The spans that sent the messages of a response."""
    if operation != "ReceiveMessage":
        return []
    found: list[_native.SpanContext] = []
    for message in (response.get("Messages") or ())[:_MAX_LINKS]:
        attributes: Any = message.get("MessageAttributes") or {}
        context = _native.extract({name: value.get("StringValue") for name, value in attributes.items()})
        if context is not None:
            found.append(context)
    return found
