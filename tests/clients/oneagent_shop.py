"""Every call of the OneAgent SDK that its published sample makes, in a program of our own: ``oneagent_shop.py``.

A request comes in, reads a message, calls a page, sends a message, asks a service of this process, and calls three
times a service in another thread, which asks a database and fails the last time. Work goes on over an in-process link.
Prints what the SDK says of itself.
"""

import threading

import oneagent
from oneagent.common import AgentState, DatabaseVendor, MessagingDestinationType, MessagingVendor
from oneagent.sdk import Channel, ChannelType

STATEMENTS = (
    "BEGIN",
    "SELECT id FROM card WHERE number = '4111'",
    "UPDATE card SET used = 1",
    "DELETE FROM hold",
    "END",
)


class Refused(Exception):
    """The card is not good."""


def serve(sdk, tag, is_good):
    """The service that is called, by its caller's tag alone."""
    call = sdk.trace_incoming_remote_call("charge", "Cards", "cards://all", protocol_name="SHOP_RPC", str_tag=tag)
    with call:
        place = Channel(ChannelType.UNIX_DOMAIN_SOCKET, "/run/cards.socket")
        with sdk.create_database_info("cards", DatabaseVendor.SQLSERVER, place) as database:
            for number, statement in enumerate(STATEMENTS):
                with sdk.trace_sql_database_request(database, statement) as query:
                    query.set_rows_returned(number)
                    query.set_round_trip_count(1)
        if not is_good:
            call.mark_failed(f"{__name__}.Refused", "card refused")


def charge(sdk, is_good=True):
    """Calls it in a thread of its own, and waits."""
    place = Channel(ChannelType.IN_PROCESS, "thread")
    call = sdk.trace_outgoing_remote_call("charge", "Cards", "cards://all", place, protocol_name="SHOP_RPC")
    try:
        with call:
            tag = call.outgoing_dynatrace_string_tag.decode()
            server = threading.Thread(target=serve, args=(sdk, tag, is_good))
            server.start()
            server.join()
            if not is_good:
                raise Refused("card refused")
    except Refused:
        pass


def receive(sdk, queue, tag):
    """Reads a message; the sender's tag is in it."""
    with (
        sdk.trace_incoming_message_receive(queue),
        sdk.trace_incoming_message_process(queue, str_tag=tag) as processing,
    ):
        processing.set_vendor_message_id("m1")
        processing.set_correlation_id("c1")


def send(sdk, queue):
    """Sends a message; the tag that goes with it."""
    with sdk.trace_outgoing_message(queue) as sending:
        sending.set_vendor_message_id("m2")
        sending.set_correlation_id("c2")
        return sending.outgoing_dynatrace_string_tag.decode()


def request(sdk, queue):
    """Serves a request; a link to it."""
    headers = {"Host": "shop.example", "X-Customer": "ada"}
    with (
        sdk.create_web_application_info("shop.example", "Shop", "/shop") as application,
        sdk.trace_incoming_web_request(
            application, "https://shop.example/shop/pay?card=7", "POST", headers, remote_address="10.0.0.7:4711"
        ) as incoming,
    ):
        incoming.add_parameter("amount", "30")
        incoming.add_response_header("Content-Type", "text/plain")
        receive(sdk, queue, None)
        sdk.add_custom_request_attribute("customer", "ada")
        sdk.add_custom_request_attribute("items", 3)
        sdk.add_custom_request_attribute("weight", 2.5)
        sdk.add_custom_request_attribute("nothing", None)
        with sdk.trace_outgoing_web_request("https://bank.example/rates?of=euro", "GET", {"Accept": "*/*"}) as call:
            assert call.outgoing_dynatrace_string_tag
            call.add_response_header("Server", "bank")
            call.set_status_code(200)
        tag = send(sdk, queue)
        with sdk.trace_custom_service("price", "Prices"):
            pass
        with sdk.trace_incoming_remote_call("main", "Shop", "shop://main"):
            link = sdk.create_in_process_link()
            for is_good in (True, True, False):
                charge(sdk, is_good)
        incoming.set_status_code(201)
    return tag, link


def main():
    """Runs it."""
    result = oneagent.initialize(["loglevelsdk=none"])
    sdk = oneagent.get_sdk()
    print(result.status, sdk.agent_state == AgentState.ACTIVE, flush=True)
    place = Channel(ChannelType.TCP_IP, "mq.internal:5672")
    with sdk.create_messaging_system_info(
        MessagingVendor.RABBIT_MQ, "orders", MessagingDestinationType.QUEUE, place
    ) as queue:
        tag, link = request(sdk, queue)
        receive(sdk, queue, tag)
    with sdk.trace_in_process_link(link):
        charge(sdk)
    print(oneagent.shutdown())


if __name__ == "__main__":
    main()
