"""botocore and boto3: a span for each operation of AWS, with what it was about.

One span for the whole operation, its retries included: the HTTP requests below it have none of their own.
Messages that are sent to SQS and SNS carry the trace in a message attribute, `traceparent`, unless
they have ten already. A span that receives messages is linked to those that sent them, when the application
asks for the attribute: `MessageAttributeNames=["traceparent"]` or `["All"]`.
"""

from pitviper.instrument import Integration, Patch, SpanShape

INTEGRATION = Integration(
    "botocore",
    distribution="botocore",
    minimum=(1, 20),
    patches=(Patch("botocore.client:BaseClient._make_api_call", "make_api_call"),),
    spans=(
        SpanShape(
            "{service}.{operation}",
            "client, or producer when messages are sent",
            "rpc.system rpc.service rpc.method cloud.region server.address server.port http.response.status_code "
            "http.request.resend_count aws.request_id aws.extended_request_id error.type aws.s3.bucket aws.s3.key "
            "db.system.name aws.dynamodb.table_names messaging.system messaging.operation.name "
            "messaging.operation.type messaging.destination.name messaging.message.id messaging.batch.message_count "
            "aws.sqs.queue.url aws.sns.topic.arn aws.kinesis.stream_name aws.step_functions.state_machine.arn "
            "aws.step_functions.activity.arn aws.secretsmanager.secret.arn faas.invoked_name "
            "faas.invoked_provider faas.invoked_region",
            "one operation, from the call to its parsed answer",
        ),
    ),
)
