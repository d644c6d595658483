"""botocore and boto3 against Moto: operations, what they were about, failures, retries, and messages."""

import io
import socket

import boto3
import botocore.config
import botocore.exceptions
import pytest
from sink import tree

from pitviper import tracer


@pytest.fixture
def aws(aws_url):
    """Makes a client of a service."""

    def client(service, **config):
        return boto3.client(
            service,
            region_name="eu-west-1",
            endpoint_url=config.pop("endpoint_url", aws_url),
            aws_access_key_id="key",
            aws_secret_access_key="secret",
            config=botocore.config.Config(**config),
        )

    return client


def only(spans, name):
    (span,) = (span for span in spans if span.name == name)
    return span


def test_an_operation_is_one_span(agent, aws, aws_url):
    s3 = aws("s3")
    with tracer.start_as_current_span("request"):
        s3.create_bucket(Bucket="shop", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        s3.put_object(Bucket="shop", Key="a/b", Body=b"hello")
        assert s3.get_object(Bucket="shop", Key="a/b")["Body"].read() == b"hello"
    spans = agent()
    assert tree(spans) == [
        ["internal request", ["client S3.CreateBucket"], ["client S3.PutObject"], ["client S3.GetObject"]]
    ]
    span = only(spans, "S3.PutObject")
    assert span.scope == "pitviper.botocore"
    described = dict(span.attributes)
    assert len(described.pop("aws.request_id")) > 10
    described.pop("aws.extended_request_id", None)
    assert described == {
        "rpc.system": "aws-api",
        "rpc.service": "S3",
        "rpc.method": "PutObject",
        "cloud.region": "eu-west-1",
        "server.address": "127.0.0.1",
        "server.port": int(aws_url.rpartition(":")[2]),
        "http.response.status_code": 200,
        "aws.s3.bucket": "shop",
        "aws.s3.key": "a/b",
    }


def test_transfers_in_threads_stay_in_the_trace(agent, aws):
    s3 = aws("s3")
    s3.create_bucket(Bucket="big", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    with tracer.start_as_current_span("request"):
        s3.upload_fileobj(io.BytesIO(b"x" * 100), "big", "file")
    assert ["internal request", ["client S3.PutObject"]] in tree(agent())


def test_an_error_of_the_service(agent, aws):
    with pytest.raises(botocore.exceptions.ClientError) as raised:
        aws("s3").get_object(Bucket="nowhere", Key="x")
    assert raised.value.response["Error"]["Code"] == "NoSuchBucket"
    (span,) = agent()
    assert (span.status, span.attributes["error.type"]) == ("error", "NoSuchBucket")
    assert span.attributes["http.response.status_code"] == 404
    assert [attributes["exception.type"] for _, attributes in span.events] == ["botocore.errorfactory.NoSuchBucket"]


def test_no_service_after_retries(agent, aws):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{unused.getsockname()[1]}"
        s3 = aws("s3", endpoint_url=nowhere, retries={"total_max_attempts": 2})
        with pytest.raises(botocore.exceptions.EndpointConnectionError):
            s3.list_buckets()
    assert tree(agent(), ("error.type",)) == [
        ["client S3.ListBuckets", {"error.type": "botocore.exceptions.EndpointConnectionError"}]
    ]


def test_retries_are_counted(agent, aws, http):
    # Anything but AWS: it answers each attempt with an error that is worth another.
    client = aws("s3", endpoint_url=http.url, retries={"total_max_attempts": 3}, s3={"addressing_style": "path"})
    client.meta.events.register(
        "before-sign.s3", lambda request, **_: setattr(request, "url", f"{http.url}/status/503")
    )
    with pytest.raises(botocore.exceptions.ClientError):
        client.list_buckets()
    assert len(http.seen) == 3
    (span,) = agent()
    assert span.attributes["http.request.resend_count"] == 2
    assert span.attributes["http.response.status_code"] == 503


def test_parameters_that_are_wrong_fail_before_a_request(agent, aws):
    with pytest.raises(botocore.exceptions.ParamValidationError):
        aws("s3").get_object(Bucket="shop")
    (span,) = agent()
    assert span.attributes["error.type"] == "botocore.exceptions.ParamValidationError"


def test_tables(agent, aws):
    dynamodb = aws("dynamodb")
    dynamodb.create_table(
        TableName="carts",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    dynamodb.batch_get_item(RequestItems={"carts": {"Keys": [{"id": {"S": "1"}}]}})
    assert [page["TableNames"] for page in dynamodb.get_paginator("list_tables").paginate()] == [["carts"]]
    spans = agent()
    assert only(spans, "DynamoDB.CreateTable").attributes["aws.dynamodb.table_names"] == ["carts"]
    assert only(spans, "DynamoDB.BatchGetItem").attributes["aws.dynamodb.table_names"] == ["carts"]
    assert {span.attributes["db.system.name"] for span in spans} == {"aws.dynamodb"}


def traceparent(span):
    return f"00-{span.trace_id}-{span.span_id}-03"


def test_messages_of_a_queue_carry_the_trace(agent, aws):
    sqs = aws("sqs")
    queue = sqs.create_queue(QueueName="orders")["QueueUrl"]
    own = {f"own{number}": {"DataType": "String", "StringValue": "1"} for number in range(10)}
    before = dict(own)
    with tracer.start_as_current_span("request"):
        sqs.send_message(QueueUrl=queue, MessageBody="one")
        sqs.send_message(QueueUrl=queue, MessageBody="full", MessageAttributes=own)
        entries = [{"Id": str(number), "MessageBody": str(number)} for number in range(2)]
        sqs.send_message_batch(QueueUrl=queue, Entries=entries)
    assert own == before
    assert entries == [{"Id": "0", "MessageBody": "0"}, {"Id": "1", "MessageBody": "1"}]
    found = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, MessageAttributeNames=["All"])["Messages"]
    spans = sorted(agent(), key=lambda span: span.start_ns)
    one, full, batch = (span for span in spans if span.kind == "producer")
    carried = {
        message["Body"]: (message.get("MessageAttributes") or {}).get("traceparent", {}).get("StringValue")
        for message in found
    }
    assert carried == {"one": traceparent(one), "full": None, "0": traceparent(batch), "1": traceparent(batch)}
    receive = only(spans, "SQS.ReceiveMessage")
    assert sorted(receive.links) == sorted([one.span_id, batch.span_id, batch.span_id])
    assert receive.attributes["messaging.operation.type"] == "receive"
    assert batch.attributes["messaging.batch.message_count"] == 2
    assert full.name == "SQS.SendMessage"
    named = {key: value for key, value in one.attributes.items() if key.startswith(("messaging", "aws.sqs"))}
    assert len(named.pop("messaging.message.id")) == 36
    assert named == {
        "messaging.system": "aws_sqs",
        "messaging.operation.type": "send",
        "messaging.operation.name": "SendMessage",
        "messaging.destination.name": "orders",
        "aws.sqs.queue.url": queue,
    }


def test_messages_of_a_topic_carry_the_trace(agent, aws):
    sns, sqs = aws("sns"), aws("sqs")
    queue = sqs.create_queue(QueueName="copies")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    topic = sns.create_topic(Name="news")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes={"RawMessageDelivery": "true"})
    sns.publish(TopicArn=topic, Message="hello")
    (message,) = sqs.receive_message(QueueUrl=queue, MessageAttributeNames=["All"])["Messages"]
    spans = agent()
    publish = only(spans, "SNS.Publish")
    assert publish.kind == "producer"
    assert message["MessageAttributes"]["traceparent"]["StringValue"] == traceparent(publish)
    assert publish.attributes["messaging.destination.name"] == "news"
    assert only(spans, "SQS.ReceiveMessage").links == [publish.span_id]


def test_functions_machines_and_secrets(agent, aws):
    with pytest.raises(botocore.exceptions.ClientError):
        aws("lambda").invoke(FunctionName="arn:aws:lambda:eu-west-1:123456789012:function:resize:1")
    machine = "arn:aws:states:eu-west-1:123456789012:stateMachine:orders"
    with pytest.raises(botocore.exceptions.ClientError):
        aws("stepfunctions").start_execution(stateMachineArn=machine)
    with pytest.raises(botocore.exceptions.ClientError):
        aws("secretsmanager").get_secret_value(SecretId="database")
    function, execution, secret = sorted(agent(), key=lambda span: span.start_ns)
    assert (function.name, function.attributes["faas.invoked_name"]) == ("Lambda.Invoke", "resize")
    assert function.attributes["faas.invoked_region"] == "eu-west-1"
    assert execution.attributes["aws.step_functions.state_machine.arn"] == machine
    assert secret.attributes["aws.secretsmanager.secret.arn"] == "database"


def test_disabled_and_uninstalled(run, sink, aws_url):
    source = """
import sys, boto3
from pitviper.instrument import engine
options = dict(region_name="eu-west-1", aws_access_key_id="k", aws_secret_access_key="s", endpoint_url=sys.argv[1])
client = boto3.client("s3", **options)
if len(sys.argv) > 2: engine.uninstall()
print(client.list_buckets()["ResponseMetadata"]["HTTPStatusCode"], "pitviper/integrations" in type(client)._make_api_call.__code__.co_filename)
"""
    done = run(source, aws_url, PITVIPER_INTEGRATIONS_DISABLED="botocore,urllib3,http_client")
    # boto3 itself complains of the oldest Pythons.
    assert done.stdout == "200 False\n" and "pitviper:" not in done.stderr
    done = run(source, aws_url, "uninstall")
    # boto3 itself complains of the oldest Pythons.
    assert done.stdout == "200 False\n" and "pitviper:" not in done.stderr
    assert sink.spans == []
